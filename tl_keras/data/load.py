"""From a config to a data set: list, audit, set duplicates apart, carve splits, fingerprint."""

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
from tl_keras.data import changed_since, check_files, label_names, problems, store
from tl_keras.data.examples import SPLITS, Dataset, Example, Listing, Quarantined
from tl_keras.data.sources import tfds
from tl_keras.data.sources.of_files import OF_FILES
from tl_keras.data.splits import Splits, carve, stratum_of
from tl_keras.data.wording import count_of, left_out, shortened
from tl_keras.modalities import nouns, part, plain_nouns
from tl_keras.run.progress import progress

# A file that stands in several splits is kept in the first of these alone.
KEPT_IN = ("test", "val", "train")
# Of a stratum, such as a class, that may look alike and is kept in one split: ten units are
# enough for three splits.
ALIKE_SHARE = 0.1
MAX_SUSPECTS = 5000  # Each is compared with each, in seconds.


@dataclass(frozen=True)
class _Found:
    """Readable examples by split, before carving ("" is train too), and their groups."""

    classes: tuple[str, ...]
    splits: Splits
    groups: dict[str, str]
    quarantined: list[Quarantined]
    warnings: list[str]
    bad: dict[str, list[Quarantined]]  # by label, files of a known one that cannot be used
    omitted: list[str] = field(default_factory=list)  # files whose content another split has
    task: str = tasks.DEFAULT

    def text(self, example: Example) -> str:
        """An example's label, as the source had it or as it means."""
        return tasks.of(self.task, "targets").text(example.label, self.classes)


def load(config: RunConfig, strict: bool = True) -> Dataset:
    """The data set of a config: audited, split, fingerprinted.

    Where not `strict`, what forbids training on it is a warning of it: torn groups, many bad
    files, a single class, a class that a split lacks.

    Raises:
      ValueError: the data cannot be used: missing, too small, too many bad files.
    """
    data = config.data
    if data.source in DRAWN:
        return _load_drawn(config)
    began = time.time()  # Before the files are listed: what is written later may be another.
    listing, listed = _listing(config), {}
    if data.source in OF_FILES:
        listed = {"at": began, "data": changed_since.stamp(listing)}
    found = _audit(listing, config)
    faults = list(_torn_groups(found))
    found = _set_duplicates_apart(found, nouns(config.modality)[0])
    _check_readable(found, config)
    if listing.shards:
        pictures = plain_nouns(config.modality)[1]
        why = f"since the {pictures} stay in their shards"
        alike: list[Any] = []
        warnings = [f"near-duplicates are not searched for, {why}"]
    else:
        alike, warnings = _alike(found, config, listing.root)
    splits = carve(found.splits, found.groups, data, alike)
    faults += problems.of_files(found.quarantined, _num_readable(found), data)
    where = f"data.path: {data.path or data.name!r}"
    faults += tasks.of(config.task, "targets").faults(found.classes, where)
    given = [split for split in ("val", "test") if found.splits[split]]
    faults += problems.of_splits(splits, found.classes, config, given, found.bad)
    warnings = [*warnings, *problems.missing_in_test(splits, found.classes, config)]
    if faults and strict:
        raise ValueError(faults[0])
    refused = [f"{fault} (until then training is refused)" for fault in faults]
    if listing.shards:
        measured = [e.file for split in ("val", "test") for e in splits[split]]
        in_shards = [file for file in measured if file in listing.checked]
        listing.shards.unpack(in_shards, listing.root)
    return Dataset(
        found.classes,
        splits,
        listing.root,
        None,
        found.quarantined,
        [*refused, *found.warnings, *warnings],
        fingerprint(splits, found.classes),
        listed=listed,
        omitted=[*found.omitted, *(example.file for example in splits["rest"])],
        shards=listing.shards,
        task=config.task,
        nouns=nouns(config.modality),
    )


def _listing(config: RunConfig) -> Listing:
    if config.data.source in OF_FILES:
        return OF_FILES[config.data.source](config)
    folder = store.subfolder(config.cache, store.TFDS)
    return tfds.list_tfds(config, folder)


def _audit(listing: Listing, config: RunConfig) -> _Found:
    memory = store.subfolder(config.cache, store.AUDIT)
    files = [listed.file for listed in listing.files if listed.file not in listing.checked]
    checked = check_files.check_all(listing.root, files, config.settings, memory, looks=True)
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
    return _Found(classes, splits, groups, quarantined, warnings, bad, task=config.task)


def _with_strata(splits: Splits, task: str) -> Splits:
    """The examples, with strata where these are not their labels."""
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
        f"{several} {' and '.join(map(label_names.quoted, group))} {difference} and are taken for "
        f"{len(group)} {several}; if they are one, give them the same name"
        for group, difference in label_names.nearly_equal_groups(classes)
    ]


def _torn_groups(found: _Found) -> Iterator[str]:
    """A group that the user's own splits tear apart leaks."""
    where = defaultdict(set)
    for split, examples in found.splits.items():
        for example in examples:
            if group := found.groups.get(example.file):
                where[group].add(split)
    for group, splits in where.items():
        if len(splits) > 1:
            yield (
                f"data.path: group {group!r} stands in {' and '.join(sorted(splits))}; a group "
                "must not span splits: correct the column 'split' or 'group'"
            )


def _set_duplicates_apart(found: _Found, noun: str) -> _Found:
    """Quarantines content under several labels; keeps content of several splits in one."""
    labels, placed = defaultdict(set), defaultdict(set)
    for split, examples in found.splits.items():
        for example in examples:
            labels[example.digest].add(found.text(example))
            placed[example.digest].add(split)
    splits: Splits = {}
    quarantined, moved = list(found.quarantined), defaultdict(list)
    bad = {label: list(entries) for label, entries in found.bad.items()}
    for split, examples in found.splits.items():
        splits[split] = []
        for example in examples:
            under = sorted(labels[example.digest])
            kept_in = next(name for name in KEPT_IN if name in placed[example.digest])
            if len(under) > 1:
                reason = f"the same {noun} stands under {' and '.join(under)}"
                entry = Quarantined(example.file, reason)
                quarantined.append(entry)
                bad.setdefault(found.text(example), []).append(entry)
            elif split != kept_in:
                moved[split, kept_in].append(example.file)
            else:
                splits[split].append(example)
    warnings = [
        f"{count_of(files, 'file')} left out of {split}, since {kept_in} has the same content: "
        f"{shortened(files)}"
        for (split, kept_in), files in moved.items()
    ]
    omitted = [file for files in moved.values() for file in files]
    return replace(
        found,
        splits=splits,
        quarantined=quarantined,
        bad=bad,
        warnings=found.warnings + warnings,
        omitted=omitted,
    )


def _alike(found: _Found, config: RunConfig, root: Path) -> tuple[list[list[Example]], list[str]]:
    """Lists of examples that look alike and must not be parted by carved splits; warnings.

    Frames of one film may all look alike: a list that is a large part of its stratum is no list of
    copies, and is parted as if it were none.
    """
    examples, copies = found.splits["train"], part(config.modality, "copies")
    pictures = plain_nouns(config.modality)[1]
    carved = not found.splits["val"] or (config.data.test > 0 and not found.splits["test"])
    if not carved:
        return [], []
    if len(examples) > copies.MAX_EXAMPLES:
        return [], [
            f"near-duplicates are not searched for among more than {copies.MAX_EXAMPLES} {pictures}"
        ]
    sizes = Counter(map(stratum_of, examples))
    kept, parted, warnings = [], [], []
    similar = copies.with_similar_hashes([example.checked.looks for example in examples])
    suspects = [examples[i] for i in similar]
    if not suspects:
        return [], []
    if len(suspects) > MAX_SUSPECTS:
        warning = (
            f"{len(suspects)} {pictures} may be near-duplicates, more than the {MAX_SUSPECTS} that "
            "can be compared, and may lie in different splits"
        )
        return [], [f"{warning}; if they belong together, name groups in a CSV"]
    for members in copies.clusters(_thumbnails(suspects, root, config)):
        alike = [suspects[i] for i in members]
        if len(alike) <= ALIKE_SHARE * min(sizes[stratum_of(example)] for example in alike):
            kept.append(alike)
        else:
            parted.append(alike)
    if parted:
        count, largest = sum(map(len, parted)), max(parted, key=len)
        sets = f" in {len(parted)} sets" if len(parted) > 1 else ""
        warnings.append(
            f"{count} {pictures} look nearly equal{sets}, {largest[0].file!r} among them, and may "
            "lie in different splits; if they belong together, name groups in a CSV"
        )
    if kept:
        count = sum(map(len, kept))
        warnings.append(f"{count} near-duplicates stay with their like in one split")
    return kept, warnings


def _thumbnails(examples: list[Example], root: Path, config: RunConfig) -> np.ndarray:
    """`(examples, ...)` thumbnails; remembered, so that a second load opens no file."""
    copies = part(config.modality, "copies")

    def fill(array: np.ndarray) -> None:
        for i, example in enumerate(progress(examples, "near-duplicates", unit=" files")):
            array[i] = copies.read_thumbnail(root / example.file)

    key = {
        "kind": "thumbnails of similar images",
        "digests": [example.digest for example in examples],
        "by": check_files.checked_by(config.settings),
    }
    shape = (len(examples), *copies.SHAPE)
    return store.keep(config.cache, key, shape, np.uint8, fill).array


def _num_readable(found: _Found) -> int:
    return sum(len(examples) for examples in found.splits.values())


def _check_readable(found: _Found, config: RunConfig) -> None:
    if not _num_readable(found):
        first = "; ".join(left_out(found.quarantined)[:3]) or "it is empty"
        where = f"data.path: {config.data.path or config.data.name!r}"
        raise ValueError(f"{where} has no readable {nouns(config.modality)[0]}; {first}")


def fingerprint(splits: Splits, classes: tuple[str, ...]) -> str:
    """SHA-256 over answers' names, and labels and contents of every split; not over file names."""
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
            f"data.source: {config.data.source} gives class labels, which the task {config.task} "
            "does not take; expected another data.source, such as csv"
        )
    else:
        train = [
            Example(name, label, digest, i) for i, (name, label, digest) in enumerate(drawn.train)
        ]
        held_out = {split: examples[place] for split, place in drawn.parts.items()}
        names, splits = drawn.classes, {"train": train, **held_out}
    mark = fingerprint(splits, names)
    how = {"draw": drawn.draw, "task": config.task, "nouns": nouns(config.modality)}
    return Dataset(names, splits, None, drawn.raw, [], [], mark, **how)


def _coded(
    classes: Sequence[str], examples: list[Example], task: str
) -> tuple[tuple[str, ...], list[Example]]:
    """Names of the answers, and drawn examples with a task's targets in place of classes."""
    if tasks.of(task, "names").NAMED:
        return tuple(classes), examples
    names, code = tasks.of(task, "targets").named(classes[example.label] for example in examples)
    coded = [replace(example, label=code(classes[example.label])) for example in examples]
    return names, _with_strata({"": coded}, task)[""]
