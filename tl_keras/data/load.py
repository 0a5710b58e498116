"""From a config to a data set: list, audit, set duplicates apart, carve splits, fingerprint."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tl_keras import tasks
from tl_keras.config.cache import CacheConfig
from tl_keras.config.data import DataConfig
from tl_keras.data import changes, check_files, names, problems, sources, store, tfds
from tl_keras.data.examples import SPLITS, Dataset, Example, Listing, Quarantined
from tl_keras.data.splits import Splits, carve, stratum_of
from tl_keras.data.wording import count_of, left_out, shortened
from tl_keras.modalities.image import copies
from tl_keras.modalities.image.drawn import digits, glyph_masks
from tl_keras.run.progress import progress

# A file that stands in several splits is kept in the first of these alone.
KEPT_IN = ("test", "val", "train")
# Of a class that may look alike and is kept in one split: ten units are enough for three splits.
ALIKE_SHARE = 0.1
DARK = 64  # of 255: an image whose brightest value is below is almost black (14 bits in 16)
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


def load(
    config: DataConfig,
    cache_config: CacheConfig,
    strict: bool = True,
    task: str = tasks.DEFAULT,
) -> Dataset:
    """The data set of a config: audited, split, fingerprinted.

    Where not `strict`, what forbids training on it is a warning of it: torn groups, many bad
    files, a single class, a class that is missing from a split.

    Raises:
      ValueError: the data cannot be used: missing, too small, too many bad files.
    """
    if config.source == "digits":
        return _load_digits(config, task)
    if config.source == "glyphs":
        return _load_glyphs(config, task)
    began = time.time()  # Before the files are listed: what is written later may be another.
    listing, listed = _listing(config, cache_config), {}
    if config.source in sources.OF_FILES:
        listed = {"at": began, "data": changes.stamp(listing)}
    found = _audit(listing, config, store.subfolder(cache_config, store.AUDIT), task)
    faults = list(_torn_groups(found))
    found = _set_duplicates_apart(found)
    _check_readable(found, config)
    if listing.shards:
        alike, warnings = [], ["of pictures in shards near-duplicates are not looked for"]
    else:
        alike, warnings = _alike(found, config, listing.root, cache_config)
    splits = carve(found.splits, found.groups, config, alike)
    faults += problems.of_files(found.quarantined, _num_readable(found), config)
    where = f"data.path: {config.path or config.name!r}"
    faults += tasks.of(task, "targets").faults(found.classes, where)
    given = [split for split in ("val", "test") if found.splits[split]]
    faults += problems.of_splits(splits, found.classes, config, given, found.bad)
    warnings = [*warnings, *problems.missing_in_test(splits, found.classes)]
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
        task=task,
    )


def _listing(config: DataConfig, cache_config: CacheConfig) -> Listing:
    if config.source in sources.OF_FILES:
        return sources.OF_FILES[config.source](config)
    return tfds.list_tfds(config, store.subfolder(cache_config, store.TFDS))


def _audit(listing: Listing, config: DataConfig, memory: Path, task: str) -> _Found:
    files = [listed.file for listed in listing.files if listed.file not in listing.checked]
    checked = check_files.check_all(listing.root, files, config.max_pixels, memory, looks=True)
    checked |= listing.checked
    classes, code = tasks.of(task, "targets").named(listed.label for listed in listing.files)
    splits: Splits = {name: [] for name in SPLITS}
    quarantined, bad = list(listing.quarantined), defaultdict(list)
    for listed in listing.files:
        file = checked[listed.file]
        if file.reason:
            entry = Quarantined(listed.file, file.reason)
            quarantined.append(entry)
            bad[listed.label].append(entry)
            continue
        example = Example(
            listed.file,
            code(listed.label),
            file.digest,
            file.decoder,
            width=file.width,
            height=file.height,
            looks=file.looks,
        )
        splits[listed.split or "train"].append(example)
    groups = {listed.file: listed.group for listed in listing.files if listed.group}
    warnings = [*listing.warnings, *_alike_names(classes), *_dark(checked)]
    splits = _with_strata(splits, task)
    return _Found(classes, splits, groups, quarantined, warnings, bad, task=task)


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


def _alike_names(classes: tuple[str, ...]) -> list[str]:
    return [
        f"classes {' and '.join(map(names.quoted, group))} {difference} and are taken for "
        f"{len(group)} classes; if they are one, give them the same name"
        for group, difference in names.nearly_equal_groups(classes)
    ]


def _dark(checked: dict[str, check_files.Checked]) -> list[str]:
    """A warning of images that are readable and all but black."""
    dark = [file for file, own in checked.items() if not own.reason and own.peak < DARK]
    if not dark:
        return []
    peak = max(checked[file].peak for file in dark)
    return [
        f"almost black: {count_of(dark, 'image')} with no value above {peak} of 255: "
        f"{shortened(dark)}; 12-bit pictures stored as 16 bits, and masks of class numbers, look "
        "so: scale their values to 0..255"
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


def _set_duplicates_apart(found: _Found) -> _Found:
    """Quarantines content under several labels; keeps content of several splits in one."""
    labels, placed = defaultdict(set), defaultdict(set)
    for split, examples in found.splits.items():
        for example in examples:
            labels[example.digest].add(found.text(example))
            placed[example.digest].add(split)
    splits: Splits = {}
    quarantined, moved = list(found.quarantined), defaultdict(list)
    for split, examples in found.splits.items():
        splits[split] = []
        for example in examples:
            under = sorted(labels[example.digest])
            kept_in = next(name for name in KEPT_IN if name in placed[example.digest])
            if len(under) > 1:
                reason = f"the same image stands under {' and '.join(under)}"
                entry = Quarantined(example.file, reason)
                quarantined.append(entry)
                found.bad[found.text(example)].append(entry)
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
        warnings=found.warnings + warnings,
        omitted=omitted,
    )


def _alike(
    found: _Found, config: DataConfig, root: Path, cache_config: CacheConfig
) -> tuple[list[list[Example]], list[str]]:
    """Lists of examples that look alike and must not be parted by carved splits; warnings.

    Frames of one film may all look alike: a list that is a large part of its class is no list of
    copies, and is parted as if it were none.
    """
    examples = found.splits["train"]
    carved = not found.splits["val"] or (config.test > 0 and not found.splits["test"])
    if not carved:
        return [], []
    if len(examples) > copies.MAX_EXAMPLES:
        return [], [
            f"of more than {copies.MAX_EXAMPLES} pictures near-duplicates are not looked for"
        ]
    sizes = Counter(map(stratum_of, examples))
    kept, parted, warnings = [], [], []
    similar = copies.with_similar_hashes([example.looks for example in examples])
    suspects = [examples[i] for i in similar]
    if not suspects:
        return [], []
    if len(suspects) > MAX_SUSPECTS:
        warning = f"{len(suspects)} pictures may look alike, too many to keep them in one split"
        return [], [f"{warning}; where they belong together, name groups in a CSV"]
    for members in copies.clusters(_thumbnails(suspects, root, cache_config)):
        alike = [suspects[i] for i in members]
        if len(alike) <= ALIKE_SHARE * min(sizes[stratum_of(example)] for example in alike):
            kept.append(alike)
        else:
            parted.append(alike)
    if parted:
        count, largest = sum(map(len, parted)), max(parted, key=len)
        sets = f" in {len(parted)} sets" if len(parted) > 1 else ""
        warnings.append(
            f"{count} pictures look nearly equal{sets}, {largest[0].file!r} among them, and are "
            "split anyway; where they belong together, name groups in a CSV"
        )
    if kept:
        count = sum(map(len, kept))
        warnings.append(f"{count} near-duplicates stay with their like in one split")
    return kept, warnings


def _thumbnails(examples: list[Example], root: Path, config: CacheConfig) -> np.ndarray:
    """`(examples, 32, 32) uint8` grey; remembered, so that a second load opens no file."""

    def fill(array: np.ndarray) -> None:
        for i, example in enumerate(progress(examples, "near-duplicates", unit=" files")):
            array[i] = copies.read_thumbnail(root / example.file)

    shape = (len(examples), copies.THUMBNAIL, copies.THUMBNAIL)
    key = {
        "kind": "thumbnails of similar images",
        "digests": [example.digest for example in examples],
        "by": check_files.CHECKED_BY,
    }
    return store.keep(config, key, shape, np.uint8, fill).array


def _num_readable(found: _Found) -> int:
    return sum(len(examples) for examples in found.splits.values())


def _check_readable(found: _Found, config: DataConfig) -> None:
    if not _num_readable(found):
        first = "; ".join(left_out(found.quarantined)[:3]) or "it is empty"
        where = f"data.path: {config.path or config.name!r}"
        raise ValueError(f"{where} has no readable image; {first}")


def fingerprint(splits: Splits, classes: tuple[str, ...]) -> str:
    """SHA-256 over class names and every split's labels and contents; file names do not count."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for split in SPLITS:
        lines = sorted(f"{split} {example.label} {example.digest}\n" for example in splits[split])
        digest.update("".join(lines).encode())
    return digest.hexdigest()


def _load_digits(config: DataConfig, task: str) -> Dataset:
    images, labels = digits.render()
    images = np.ascontiguousarray(images)  # Its bytes are hashed.
    examples = [
        Example(f"digits/{i:04d}", int(label), hashlib.sha256(image).hexdigest(), "array", i)
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    names, (examples,) = _coded(digits.CLASSES, [examples], task)
    splits = carve({"train": examples, "val": [], "test": []}, {}, config)
    for fault in problems.of_splits(splits, names, config):
        raise ValueError(fault)
    return Dataset(names, splits, None, images, [], [], fingerprint(splits, names), task=task)


def _coded(
    classes: Sequence[str], lists: Sequence[list[Example]], task: str
) -> tuple[tuple[str, ...], list[list[Example]]]:
    """Names of the answers, and lists of examples of embedded classes with a task's targets."""
    if task == tasks.DEFAULT:
        return tuple(classes), list(lists)
    texts = [classes[example.label] for examples in lists for example in examples]
    names, code = tasks.of(task, "targets").named(texts)
    coded = {
        str(i): [replace(e, label=code(classes[e.label])) for e in examples]
        for i, examples in enumerate(lists)
    }
    return names, list(_with_strata(coded, task).values())


def _load_glyphs(config: DataConfig, task: str) -> Dataset:
    """Glyphs: val and test are drawn now, train when it is read."""
    if task != tasks.DEFAULT:
        raise ValueError(
            f"data.source: glyphs are drawn with their classes as they are read, and task is {task}"
        )
    classes = glyph_masks.CLASSES
    num_val, num_test = round(config.val * 10_000), round(config.test * 10_000)
    seed = 2 * config.split_seed  # Even seeds draw val and test, odd ones train.
    images, labels = _draw(seed, num_val + num_test, config.image_size)
    examples = [
        Example(f"glyphs/{i:06d}", int(label), hashlib.sha256(image).hexdigest(), "array", i)
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    _, drawn_labels = _draw(seed + 1, config.num_examples, 0)
    drawn = [
        Example(f"glyphs/train/{i:06d}", int(label), f"glyphs {seed + 1} {i}", "drawn", i)
        for i, label in enumerate(drawn_labels)
    ]
    splits = {"train": drawn, "val": examples[:num_val], "test": examples[num_val:]}
    mark = fingerprint(splits, classes)
    return Dataset(classes, splits, None, images, [], [], mark, drawn_seed=seed + 1)


def _draw(seed: int, count: int, size: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Images `(count, size, size, 3) uint8` (None for size 0) and labels `(count,) int64`."""
    import tensorflow as tf

    from tl_keras.modalities.image.drawn import glyphs

    # Traced, so that TensorFlow leaves out the drawing where labels alone are asked for.
    @tf.function(autograph=False)
    def chunk(indices):
        images, labels = glyphs.render(seed, indices, size or 64)
        return (images, labels) if size else (labels, labels)

    starts = range(0, count, 1024)
    drawn = [chunk(tf.range(start, min(start + 1024, count), dtype=tf.int64)) for start in starts]
    labels = np.concatenate([labels.numpy() for _, labels in drawn])
    images = np.concatenate([images.numpy() for images, _ in drawn]) if size else None
    return images, labels
