"""Loads the data set of a config: lists and checks files, handles duplicates, makes the splits."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.config.data import DRAWN
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since, check_files, contents, label_names, problems, store
from tl_keras.data.examples import SPLITS, Dataset, Example, Listing, Quarantined
from tl_keras.data.sources import tfds
from tl_keras.data.sources.of_files import OF_FILES
from tl_keras.data.splits import Splits, carve, stratum_of
from tl_keras.data.wording import count_of_examples, left_out, shortened
from tl_keras.modalities import nouns, part, plain_nouns
from tl_keras.run.progress import progress

# Content that lies in several splits is kept only in the first of these.
KEPT_IN = ("test", "val", "train")
# The largest share of a stratum, such as a class, that a set of near-duplicates may be if it is to
# be kept in one split: ten such sets are enough for three splits.
ALIKE_SHARE = 0.1
MAX_SUSPECTS = 5000  # Comparing every pair of suspected near-duplicates takes seconds.


@dataclass(frozen=True)
class _Audited:
    """The checked examples of the splits that the source provides, and the files left out."""

    classes: tuple[str, ...]
    splits: Splits
    groups: dict[str, str]  # by file, the name of its group
    quarantined: list[Quarantined]
    warnings: list[str]
    bad: dict[str, list[Quarantined]]  # files that cannot be used, by their label
    omitted: list[str] = field(default_factory=list)  # files whose content is in another split
    task: str = tasks.DEFAULT

    def text(self, example: Example) -> str:
        """Returns the label of an example as text."""
        return tasks.of(self.task, "targets").text(example.label, self.classes)


def load(config: RunConfig, strict: bool = True) -> Dataset:
    """Returns the data set of a config, checked and split.

    If `strict` is False, problems that prevent training become warnings: a group in several splits,
    too many bad files, a single class, a class without examples in a split.

    Raises:
      ValueError: the data cannot be used, for example because files are missing or too many are
        bad.
    """
    data = config.data
    if data.source in DRAWN:
        return _load_drawn(config)
    began = time.time()  # Before the files are listed, so that later changes have a later time.
    listing, listed = _listing(config), {}
    if data.source in OF_FILES:
        listed = {"at": began, "data": changed_since.stamp(listing)}
    audited = _audit(listing, config)
    faults = list(_groups_in_several_splits(audited))
    audited = _without_duplicates(audited, nouns(config.modality)[0])
    _check_readable(audited, config)
    if listing.shards:
        pictures = plain_nouns(config.modality)[1]
        why = f"because with data.stream the {pictures} are not unpacked to files"
        alike: list[Any] = []
        notes: list[str] = []
        warnings = [f"near-duplicates are not searched for, {why}"]
    else:
        alike, warnings, notes = _alike(audited, config, listing.root)
    splits = carve(audited.splits, audited.groups, data, alike)
    faults += problems.of_files(audited.quarantined, _num_readable(audited), data)
    where = f"data.path: {data.path or data.name!r}"
    faults += tasks.of(config.task, "targets").faults(audited.classes, where)
    given = [split for split in ("val", "test") if audited.splits[split]]
    faults += problems.of_splits(splits, audited.classes, config, given, audited.bad)
    warnings = [*warnings, *problems.missing_in_test(splits, audited.classes, config)]
    if faults and strict:
        raise ValueError(faults[0])
    refused = [f"{fault} (fix this before training)" for fault in faults]
    if listing.shards:
        measured = [e.file for split in ("val", "test") for e in splits[split]]
        in_shards = [file for file in measured if file in listing.checked]
        listing.shards.unpack(in_shards, listing.root)
    return Dataset(
        audited.classes,
        splits,
        listing.root,
        None,
        audited.quarantined,
        [*refused, *audited.warnings, *warnings],
        fingerprint(splits, audited.classes),
        listed=listed,
        omitted=[*audited.omitted, *(example.file for example in splits["rest"])],
        notes=notes,
        shards=listing.shards,
        task=config.task,
        nouns=nouns(config.modality),
    )


def _listing(config: RunConfig) -> Listing:
    if config.data.source in OF_FILES:
        return OF_FILES[config.data.source](config)
    folder = store.subfolder(config.cache, store.TFDS)
    return tfds.list_tfds(config, folder)


def _audit(listing: Listing, config: RunConfig) -> _Audited:
    folder = store.subfolder(config.cache, store.AUDIT)
    files = [listed.file for listed in listing.files if listed.file not in listing.checked]
    checked = check_files.check_all(listing.root, files, config.settings, folder, with_hashes=True)
    checked |= listing.checked
    classes, code = tasks.of(config.task, "targets").named(listed.label for listed in listing.files)
    splits: Splits = {name: [] for name in SPLITS}
    quarantined, bad = list(listing.quarantined), defaultdict(list)
    for listed in listing.files:
        file = checked[listed.file]
        if file.reason:
            entry = Quarantined(listed.file, file.reason)
            quarantined.append(entry)
            bad[listed.label].append(entry)
            continue
        example = Example(listed.file, code(listed.label), file.digest, checked=file)
        splits[listed.split or "train"].append(example)
    groups = {listed.file: listed.group for listed in listing.files if listed.group}
    warnings = [
        *listing.warnings,
        *_alike_names(classes, config.task),
        *check_files.checks_of(config.settings).warnings(checked),
    ]
    splits = _with_strata(splits, config.task)
    return _Audited(classes, splits, groups, quarantined, warnings, bad, task=config.task)


def _with_strata(splits: Splits, task: str) -> Splits:
    """Returns the splits with `Example.stratum` filled in; unchanged if all equal the labels."""
    targets = tasks.of(task, "targets")
    labels = [example.label for examples in splits.values() for example in examples]
    strata = targets.strata(np.array(labels, targets.DTYPE)).tolist()
    if strata == labels:
        return splits
    numbers = iter(strata)
    return {
        name: [replace(example, stratum=next(numbers)) for example in examples]
        for name, examples in splits.items()
    }


def _alike_names(classes: tuple[str, ...], task: str) -> list[str]:
    several = tasks.of(task, "names").NOUNS[1]
    return [
        f"{several} {' and '.join(map(label_names.quoted, group))} {difference} and count as "
        f"{len(group)} {several}; if they mean the same, give them the same name"
        for group, difference in label_names.nearly_equal_groups(classes)
    ]


def _groups_in_several_splits(audited: _Audited) -> Iterator[str]:
    """Yields a message for each group in several splits, which would leak between them."""
    where = defaultdict(set)
    for split, examples in audited.splits.items():
        for example in examples:
            if group := audited.groups.get(example.file):
                where[group].add(split)
    for group, splits in where.items():
        if len(splits) > 1:
            yield (
                f"data.path: group {group!r} is in {' and '.join(sorted(splits))}, but all "
                "examples of a group must be in one split; correct the column 'split' or 'group'"
            )


def _without_duplicates(audited: _Audited, noun: str) -> _Audited:
    """Quarantines equal files with different labels. Keeps other equal files in one split only.

    The first split of `KEPT_IN` that has such files keeps them; the other splits leave them out.
    """
    labels, placed = defaultdict(set), defaultdict(set)
    for split, examples in audited.splits.items():
        for example in examples:
            labels[example.digest].add(audited.text(example))
            placed[example.digest].add(split)
    splits: Splits = {}
    quarantined, moved = list(audited.quarantined), defaultdict(list)
    bad = {label: list(entries) for label, entries in audited.bad.items()}
    for split, examples in audited.splits.items():
        splits[split] = []
        for example in examples:
            given = sorted(labels[example.digest])
            kept_in = next(name for name in KEPT_IN if name in placed[example.digest])
            if len(given) > 1:
                reason = f"the same {noun} has the labels {' and '.join(given)}"
                entry = Quarantined(example.file, reason)
                quarantined.append(entry)
                bad.setdefault(audited.text(example), []).append(entry)
            elif split != kept_in:
                moved[split, kept_in].append(example.file)
            else:
                splits[split].append(example)
    warnings = [
        f"{count_of_examples(files)} left out of {split}, because the same content is in "
        f"{kept_in}: {shortened(files)}"
        for (split, kept_in), files in moved.items()
    ]
    omitted = [file for files in moved.values() for file in files]
    return replace(
        audited,
        splits=splits,
        quarantined=quarantined,
        bad=bad,
        warnings=audited.warnings + warnings,
        omitted=omitted,
    )


def _alike(
    audited: _Audited, config: RunConfig, root: Path
) -> tuple[list[list[Example]], list[str], list[str]]:
    """Returns three lists: near-duplicates, as sets that must stay in one split; warnings; notes.

    A set that is a large part of a stratum, such as a class, may be the frames of one film. It is
    not kept together, because then the stratum could not be divided among the splits.
    """
    examples, copies = audited.splits["train"], part(config.modality, "copies")
    pictures = plain_nouns(config.modality)[1]
    carved = not audited.splits["val"] or (config.data.test > 0 and not audited.splits["test"])
    if not carved:
        return [], [], []
    if len(examples) > copies.MAX_EXAMPLES:
        why = f"because {len(examples)} {pictures} are more than the limit of {copies.MAX_EXAMPLES}"
        return [], [f"near-duplicates are not searched for, {why}"], []
    sizes = Counter(map(stratum_of, examples))
    kept, separated, warnings = [], [], []
    similar = copies.with_similar_hashes([example.checked.looks for example in examples])
    suspects = [examples[i] for i in similar]
    if not suspects:
        return [], [], []
    if len(suspects) > MAX_SUSPECTS:
        warning = (
            f"{len(suspects)} {pictures} may be near-duplicates, but are not compared, because the "
            f"limit is {MAX_SUSPECTS}; near-duplicates may lie in different splits; to keep them "
            f"together, {problems.how_to_group(root)}"
        )
        return [], [warning], []
    for members in copies.clusters(_thumbnails(suspects, root, config)):
        alike = [suspects[i] for i in members]
        if len(alike) <= ALIKE_SHARE * min(sizes[stratum_of(example)] for example in alike):
            kept.append(alike)
        else:
            separated.append(alike)
    if separated:
        count, largest = sum(map(len, separated)), max(separated, key=len)
        sets = f" in {len(separated)} sets" if len(separated) > 1 else ""
        warnings.append(
            f"{count} {pictures}{sets}, such as {largest[0].file!r}, look nearly equal and may lie "
            f"in different splits; to keep them together, {problems.how_to_group(root)}"
        )
    count = sum(map(len, kept))
    notes = [f"{count} near-duplicates are kept in the same split or fold"] if kept else []
    return kept, warnings, notes


def _thumbnails(examples: list[Example], root: Path, config: RunConfig) -> np.ndarray:
    """Returns one thumbnail for each example; caches them, so that later loads open no files."""
    copies, content = part(config.modality, "copies"), contents.reader(root)

    def fill(array: np.ndarray) -> None:
        for i, example in enumerate(progress(examples, "near-duplicates", unit=" files")):
            array[i] = copies.read_thumbnail(content(example.file))

    key = {
        "kind": "thumbnails of similar images",
        "digests": [example.digest for example in examples],
        "by": check_files.checked_by(config.settings),
    }
    shape = (len(examples), *copies.SHAPE)
    return store.keep(config.cache, key, shape, np.uint8, fill).array


def _num_readable(audited: _Audited) -> int:
    return sum(len(examples) for examples in audited.splits.values())


def _check_readable(audited: _Audited, config: RunConfig) -> None:
    if not _num_readable(audited):
        reasons = "; ".join(left_out(audited.quarantined)[:3]) or "it is empty"
        where = f"data.path: {config.data.path or config.data.name!r}"
        raise ValueError(f"{where} has no readable {nouns(config.modality)[0]}; {reasons}")


def fingerprint(splits: Splits, classes: tuple[str, ...]) -> str:
    """Returns a SHA-256 (hex) of class names, labels and contents; file names do not affect it."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for split in SPLITS:
        lines = sorted(f"{split} {example.label} {example.digest}\n" for example in splits[split])
        digest.update("".join(lines).encode())
    return digest.hexdigest()


def _load_drawn(config: RunConfig) -> Dataset:
    drawn = part(config.modality, "sources").SOURCES[config.data.source](config)
    examples = [
        Example(file, int(label), hashlib.sha256(raw).hexdigest(), i)
        for i, (file, raw, label) in enumerate(
            zip(drawn.files, drawn.raw, drawn.labels, strict=True)
        )
    ]
    if drawn.parts is None:
        names, examples = _coded(drawn.classes, examples, config.task)
        splits = carve({"train": examples, "val": [], "test": []}, {}, config.data)
        for fault in problems.of_splits(splits, names, config):
            raise ValueError(fault)
    elif not tasks.of(config.task, "names").NAMED:
        raise ValueError(
            f"data.source: {config.data.source} has class labels, but the task {config.task} does "
            "not; expected another data.source, such as csv"
        )
    else:
        train = [
            Example(name, label, digest, i) for i, (name, label, digest) in enumerate(drawn.train)
        ]
        held_out = {split: examples[place] for split, place in drawn.parts.items()}
        names, splits = drawn.classes, {"train": train, **held_out}
    digest = fingerprint(splits, names)
    details = {"draw": drawn.draw, "task": config.task, "nouns": nouns(config.modality)}
    return Dataset(names, splits, None, drawn.raw, [], [], digest, **details)


def _coded(
    classes: Sequence[str], examples: list[Example], task: str
) -> tuple[tuple[str, ...], list[Example]]:
    """Returns the class names, and the examples with labels of the task's kind, such as floats."""
    if tasks.of(task, "names").NAMED:
        return tuple(classes), examples
    names, code = tasks.of(task, "targets").named(classes[example.label] for example in examples)
    coded = [replace(example, label=code(classes[example.label])) for example in examples]
    return names, _with_strata({"": coded}, task)[""]
