"""Loads, checks and splits a data set without labels, for pre-training."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tl_keras.config.data import DRAWN
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since, check_files, contents, problems, store
from tl_keras.data.examples import SPLITS, Dataset, Example, Listing, Quarantined
from tl_keras.data.load import fingerprint
from tl_keras.data.load import load as load_labelled
from tl_keras.data.sources.of_files import OF_FILES
from tl_keras.data.sources.without_labels import list_examples
from tl_keras.data.splits import Splits, carve
from tl_keras.data.wording import left_out, number_of
from tl_keras.modalities import nouns, part

FEWEST = 10  # different examples


def load(config: RunConfig) -> Dataset:
    """Returns the data set of a config, checked and split into train and val, without labels.

    Of examples with equal content, the first is used. The validation set is carved by a hash of the
    content if the source names none. Test examples are left out, so that later runs can be
    measured on them: those that the source names, or those that a run with labels would carve.

    Raises:
      ValueError: the data cannot be used, for example because there are too few examples.
    """
    if config.data.stream:
        raise ValueError(
            "data.stream: not available with pretrain.objective "
            f"{config.pretrain.objective!r}; expected false"
        )
    if config.data.source in DRAWN:
        return _drawn(config)
    began = time.time()  # Before the files are listed, so that later changes have a later time.
    listing, listed = list_examples(config), {}
    if config.data.source in OF_FILES:
        listed = {"at": began, "data": changed_since.stamp(listing)}
    splits, quarantined = _checked(listing, config)
    splits = _measured_later(splits, config)
    splits, warnings = _without_copies(splits, nouns(config.modality))
    readable = sum(map(len, splits.values()))
    if readable:  # Without any, a clearer message follows.
        for fault in problems.of_files(quarantined, readable, config.data):
            raise ValueError(fault)
    dataset = _split(splits, config, quarantined)
    omitted = [example.file for example in dataset.splits["test"]]
    notes = []
    if omitted:
        count = number_of(len(omitted), *nouns(config.modality))
        notes = [f"{count} of test are left out, so that later runs can be measured on them"]
    checks = check_files.checks_of(config.settings)
    checked = {e.file: e.checked for split in ("train", "val") for e in dataset.splits[split]}
    return Dataset(
        (),
        {**dataset.splits, "test": []},
        listing.root,
        None,
        quarantined,
        [*listing.warnings, *warnings, *checks.warnings(checked)],
        dataset.fingerprint,
        listed=listed,
        omitted=[*omitted, *_left_over(listing, dataset, quarantined)],
        notes=notes,
        nouns=nouns(config.modality),
        objective=config.pretrain.objective,
    )


def _measured_later(splits: Splits, config: RunConfig) -> Splits:
    """Returns the splits with the test examples that a run on the same data with labels has.

    A source that names test examples, or has no usable labels, gives the same splits.
    """
    if splits["test"] or not config.data.test:
        return splits
    try:
        labelled = load_labelled(config, strict=False)
    except ValueError:  # There are no usable labels, which this objective does not need.
        return splits
    held_out = {example.digest for example in labelled.splits["test"]}
    test = [example for example in splits["train"] if example.digest in held_out]
    train = [example for example in splits["train"] if example.digest not in held_out]
    return {**splits, "train": train, "test": test}


def read(dataset: Dataset, split: str) -> Iterator[bytes]:
    """Returns the content of each example of a split."""
    return contents.of_examples(dataset, dataset.splits[split])


def _left_over(
    listing: Listing, dataset: Dataset, quarantined: Sequence[Quarantined]
) -> Iterator[str]:
    """Yields the files that are in no split, since their content occurs in another place."""
    known = {example.file for examples in dataset.splits.values() for example in examples}
    known.update(entry.file for entry in quarantined)
    yield from (listed.file for listed in listing.files if listed.file not in known)


def _checked(listing: Listing, config: RunConfig) -> tuple[Splits, list[Quarantined]]:
    """Returns the readable examples by the split that the source names, and the other files."""
    folder = store.subfolder(config.cache, store.AUDIT)
    files = [listed.file for listed in listing.files]
    checked = check_files.check_all(listing.root, files, config.settings, folder)
    splits: Splits = {name: [] for name in SPLITS}
    quarantined = list(listing.quarantined)
    for listed in listing.files:
        file = checked[listed.file]
        if file.reason:
            quarantined.append(Quarantined(listed.file, file.reason))
        else:
            example = Example(listed.file, 0, file.digest, checked=file)
            splits[listed.split or "train"].append(example)
    return splits, quarantined


def _without_copies(splits: Splits, words: tuple[str, str]) -> tuple[Splits, list[str]]:
    """Returns the splits in which each content occurs once, in test, else in val, else in train."""
    seen: set[str] = set()
    kept: Splits = {}
    copies: Counter[str] = Counter()
    for split in ("test", "val", "train"):
        kept[split] = []
        for example in splits[split]:
            if example.digest in seen:
                copies[split] += 1
            else:
                seen.add(example.digest)
                kept[split].append(example)
    if not copies.total():
        return kept, []
    count = number_of(copies.total(), *words)
    return kept, [f"{count} left out, because the same content occurs in another place"]


def _split(splits: Splits, config: RunConfig, quarantined: Sequence[Quarantined]) -> Dataset:
    """Returns a data set with train and val, of which val is carved if the source names none.

    Raises:
      ValueError: there are too few examples.
    """
    words = nouns(config.modality)
    count = len(splits["train"]) + len(splits["val"])
    if count < FEWEST or len(splits["train"]) < 2:
        where = f"data.path: {config.data.path or config.data.name or config.data.source!r}"
        reasons = "".join(f"; {line}" for line in left_out(list(quarantined))[:3])
        raise ValueError(
            f"{where} has {number_of(count, *words)} to pre-train on, of different content; "
            f"expected at least {FEWEST}, and many thousands for good results{reasons}"
        )
    data = config.data.model_copy(update={"test": 0.0, "examples_per_class": None})
    carved = carve(splits, {}, data)
    return Dataset((), carved, None, None, [], [], fingerprint(carved, ()))


def _drawn(config: RunConfig) -> Dataset:
    """Returns the data set of examples that the package generates."""
    drawn = part(config.modality, "sources").SOURCES[config.data.source](config)
    examples = [
        Example(file, 0, hashlib.sha256(raw).hexdigest(), i)
        for i, (file, raw) in enumerate(zip(drawn.files, drawn.raw, strict=True))
    ]
    splits, _ = _without_copies({"train": examples, "val": [], "test": []}, ("", ""))
    dataset = _split(_measured_later(splits, config), config, [])
    splits = {**dataset.splits, "test": []}
    return Dataset(
        *((), splits, None, drawn.raw, [], [], dataset.fingerprint),
        nouns=nouns(config.modality),
        objective=config.pretrain.objective,
    )
