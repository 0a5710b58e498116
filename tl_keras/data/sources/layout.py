"""What the names of folders say: which are splits, which belong to somebody else."""

import re

from tl_keras.modalities import MODALITIES, part

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "holdout"), "test"),
}
PLAIN = {"train", "training", "val", "valid", "validation", "test", "testing"}  # No other meaning.
# What people add to the name of a split, as in `training_set`, `test images` or `TrainData`.
FILLERS = {
    *("set", "sets", "data", "dataset", "split", "folder", "files", "examples", "samples"),
    *(word for modality in MODALITIES for word in part(modality, "config").FOLDER_WORDS),
}
# What operating systems, NAS boxes and other programs leave in folders. Thumbnails and deleted
# files among it would be trained on.
LEFTOVERS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "lost+found"),
    *("recycled", "recycler", "found.000", "_gsdata_"),
    *("$recycle.bin", "system volume information", "network trash folder", "temporary items"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),
    *("__pycache__", "node_modules", "wandb", "mlruns", "lightning_logs"),
}
IN_CLOUD = re.compile(r"\..+\.icloud")  # A hidden file in the place of one that is in iCloud alone.


def split_of(name: str) -> str:
    """`train`, `val` or `test` where a name is one of a split, as `training_set`; else empty."""
    found = {SPLIT_WORDS.get(word, "") for word in _words(name)}
    return found.pop() if len(found) == 1 else ""


def splits_in(name: str) -> set[str]:
    """The splits that a name mentions beside other words, as in `seg_train` or `train_old`."""
    return {SPLIT_WORDS[word] for word in _words(name) if word in SPLIT_WORDS}


def _words(name: str) -> list[str]:
    """A name's words in lower case without fillers and numbers; `trainset` is `train`."""
    words = []
    for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+", name):
        word = word.lower()
        stems = [word.removesuffix(filler) for filler in FILLERS]
        stem = next((stem for stem in stems if stem in SPLIT_WORDS), word)
        if stem not in FILLERS:
            words.append(stem)
    return words


def is_unlabelled(name: str) -> bool:
    """Whether a folder is called after examples without labels."""
    return bool({"unlabeled", "unlabelled", "unsorted"} & set(_words(name)))


def is_passed_over(name: str) -> bool:
    """Whether a name is hidden or a leftover, which is neither used nor listed."""
    return name.startswith(".") or name.endswith("~") or name.lower() in LEFTOVERS
