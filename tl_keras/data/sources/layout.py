"""Interprets names of folders and files: splits, and leftovers of other programs."""

import re

from tl_keras.modalities import MODALITIES, part

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "holdout"), "test"),
}
PLAIN = {
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
}  # Names with no other meaning.
# Words that people add to the name of a split, as in `training_set`, `test images` or `TrainData`.
FILLERS = {
    *("set", "sets", "data", "dataset", "split", "folder", "files", "examples", "samples"),
    *(word for modality in MODALITIES for word in part(modality, "config").FOLDER_WORDS),
}
UNLABELLED = {"unlabeled", "unlabelled", "unsorted", "unsup", "unsupervised"}
# Files and folders that operating systems, NAS boxes and other programs leave behind. Thumbnails
# and deleted files among them must not be trained on.
LEFTOVERS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "lost+found"),
    *("recycled", "recycler", "found.000", "_gsdata_"),
    *("$recycle.bin", "system volume information", "network trash folder", "temporary items"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),
    *("__pycache__", "node_modules", "wandb", "mlruns", "lightning_logs"),
}
IN_CLOUD = re.compile(r"\..+\.icloud")  # The placeholder of a file that is only in iCloud.


def split_of(name: str) -> str:
    """Returns `train`, `val` or `test` if a name such as `training_set` names a split, else ""."""
    splits = {SPLIT_WORDS.get(word, "") for word in _words(name)}
    return splits.pop() if len(splits) == 1 else ""


def splits_in(name: str) -> set[str]:
    """Returns the splits whose names are words in `name`, such as `train` for `seg_train`."""
    return {SPLIT_WORDS[word] for word in _words(name) if word in SPLIT_WORDS}


def _words(name: str) -> list[str]:
    """Returns the words of a name in lower case, without numbers and `FILLERS` such as `set`.

    For example, the only word of `trainset_2` is `train`.
    """
    words = []
    for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+", name):
        word = word.lower()
        stems = [word.removesuffix(filler) for filler in FILLERS]
        stem = next((stem for stem in stems if stem in SPLIT_WORDS), word)
        if stem not in FILLERS:
            words.append(stem)
    return words


def is_unlabelled(name: str) -> bool:
    """Returns whether a folder name, such as `unlabelled`, says that the examples lack labels."""
    return bool(UNLABELLED & set(_words(name)))


def is_passed_over(name: str) -> bool:
    """Returns whether a file or folder of this name is ignored.

    Hidden files, backups such as `a.png~`, and leftovers of other programs such as `Thumbs.db` are
    ignored.
    """
    return name.startswith(".") or name.endswith("~") or name.lower() in LEFTOVERS
