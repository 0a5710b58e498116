"""Lists examples of TensorFlow Datasets (TFDS), which are unpacked once into class folders.

The unpacked examples stay encoded, for example as JPEG. So checks, digests and splits work as for
any other folder. With `data.stream`, training examples are not unpacked, see `shards`.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tl_keras import tasks
from tl_keras.config.data import DataConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Listed, Listing
from tl_keras.data.sources.folders import list_class, list_folder
from tl_keras.data.sources.layout import split_of
from tl_keras.data.wording import number_of
from tl_keras.modalities import MODALITIES, nouns, part
from tl_keras.run.files import replacing, write_json
from tl_keras.run.progress import progress


@dataclass(frozen=True)
class _Source:
    """A data set of TFDS, with the class folders into which its examples are unpacked.

    Attributes:
      builder: the object of TFDS that downloads and reads the data set.
      modality: the modality of its examples.
      folders: the name of the class folder of each label, in the order of the labels in TFDS.
    """

    builder: Any
    modality: str
    folders: list[str]

    @property
    def feature(self) -> str:
        """The name of the feature that holds an example."""
        return part(self.modality, "sources").FEATURE


def list_tfds(config: RunConfig, folder: Path) -> Listing:
    """Unpacks a data set of TFDS, unless that is done already, and lists its files.

    The files lie in one folder for each label, below one folder for each split. `data.name` is the
    name of the data set's builder in TFDS, and `data.path` the folder where TFDS keeps prepared
    data.

    Args:
      folder: the folder of the cache into which examples are unpacked.

    Raises:
      ValueError: TFDS has no such builder, its features do not fit the modality or the task, or its
        data cannot be downloaded.
    """
    builder = _builder(config.data)
    names = _names_of_labels(builder, config)
    source = _Source(builder, config.modality, _folders(names, builder.name))
    folder = folder / _folder_name(builder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        return (_streamed if config.data.stream else _unpacked)(source, config, folder)


def list_unlabelled(config: RunConfig, folder: Path) -> Listing:
    """Unpacks a data set of TFDS, unless that is done already, and lists its files without labels.

    Splits with other names than train, val and test, such as `unsupervised`, belong to train.

    Args:
      folder: the folder of the cache into which examples are unpacked.

    Raises:
      ValueError: TFDS has no such builder, its features do not fit the modality, or its data cannot
        be downloaded.
    """
    builder = _builder(config.data)
    _feature(builder, config)
    source = _Source(builder, config.modality, [])
    folder = folder / f"{_folder_name(builder)}_without_labels"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        _prepare(builder, config.data.name)
        place = folder / _version(builder)
        listing = Listing(place, [])
        for name in builder.info.splits:
            done = place / f"{name}.json"
            if not done.exists():
                _unpack(source, name, place / name, labelled=False)
                write_json(done, {})
            list_class(place / name, "", split_of(name) or "train", listing)
    return listing


def _unpacked(source: _Source, config: RunConfig, folder: Path) -> Listing:
    """Returns a listing in which every example is an unpacked file."""
    builder, data = source.builder, config.data
    record, files = folder / "unpacked.json", folder / "files"
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    # Unpacked files stay usable if TFDS loses its data, but not if TFDS has other data now.
    if not known or builder.info.splits and known.get("version") != _version(builder):
        shutil.rmtree(files, ignore_errors=True)
        _prepare(builder, data.name)
        known = {"warnings": _unpack_all(source, files), "version": _version(builder)}
        write_json(record, known)
    data = data.model_copy(update={"path": str(files)})
    listing = list_folder(config.model_copy(update={"data": data}))
    listing.warnings.extend(known["warnings"])
    return listing


def _streamed(source: _Source, config: RunConfig, folder: Path) -> Listing:
    """Returns a listing in which training examples stay in shards and the others are files."""
    from tl_keras.data.sources import shards

    builder, labels = source.builder, source.folders
    _prepare(builder, config.data.name)
    _check_train(builder)
    train, *others = [name for name in builder.info.splits if split_of(name) == "train"]
    if others:
        raise ValueError(
            f"data.stream: {builder.name!r} has two splits for training, {train!r} and "
            f"{others[0]!r}, but only one can be streamed; set data.stream to false, which joins "
            "them"
        )
    place = folder / f"streamed_{_version(builder)}"
    for other in folder.glob("streamed_*"):  # Caches of earlier data of TFDS.
        if other != place:
            shutil.rmtree(other)
    listing = Listing(place, [], warnings=_unused(builder))
    for name in builder.info.splits:
        if split_of(name) in ("val", "test"):
            _add_files(source, name, listing)
    listing.shards = shards.Shards(builder, train, source.feature)
    entries = shards.census(listing.shards, config.settings, place / "census")
    labelled = [entry for entry in entries if entry.label >= 0]
    for entry in labelled:
        listing.files.append(Listed(entry.name, labels[entry.label], ""))
        listing.checked[entry.name] = entry.checked
    listing.warnings += _unlabelled(len(entries) - len(labelled), train, source)
    return listing


def _add_files(source: _Source, split: str, listing: Listing) -> None:
    """Unpacks a split, unless that is done already, and adds its files to `listing`."""
    record = listing.root / f"{split}.json"
    if not record.exists():
        unlabelled = _unpack(source, split, listing.root / split)
        write_json(record, _unlabelled(unlabelled, split, source))
    listing.warnings += json.loads(record.read_text(encoding="utf-8"))
    for label in sorted(source.folders):
        if (listing.root / split / label).is_dir():
            list_class(listing.root / split / label, label, split_of(split), listing)


def _version(builder: Any) -> str:
    """Returns a digest of the names, sizes and times of the files that TFDS has prepared.

    It changes if TFDS prepares the data set again from other data.
    """
    import tensorflow as tf

    files = [f.filename for s in builder.info.splits.values() for f in s.file_instructions]
    stats = [(file, tf.io.gfile.stat(file)) for file in sorted(files)]
    text = "\n".join(f"{file} {stat.length} {stat.mtime_nsec}" for file, stat in stats)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unused(builder: Any) -> list[str]:
    unused = [split for split in builder.info.splits if not split_of(split)]
    return [f"split {split!r} of {builder.name!r} is not used" for split in unused]


def _unlabelled(count: int, split: str, source: _Source) -> list[str]:
    if not count:
        return []
    what = f"{number_of(count, *nouns(source.modality))} in split {split!r} of"
    return [f"{what} {source.builder.name!r} {'has' if count == 1 else 'have'} no label"]


def _check_train(builder: Any) -> None:
    """Raises ValueError if the data set of a builder has no split for training."""
    splits = list(builder.info.splits)
    if "train" not in {split_of(split) for split in splits}:
        raise ValueError(
            f"data.name: {builder.name!r} has no split 'train'; it has "
            f"{', '.join(splits) or 'none'}"
        )


def _folder_name(builder: Any) -> str:
    """Returns the name of a builder's folder in the cache.

    The name depends on the data folder of TFDS, because two such data folders may hold different
    data under the same name.
    """
    place = hashlib.sha256(str(builder.data_dir).encode()).hexdigest()[:8]
    return f"{builder.info.full_name.replace('/', '_')}_{place}"


def _builder(config: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    if config.path and Path(config.path, "dataset_info.json").is_file():
        raise ValueError(
            f"data.path: {config.path!r} is the folder of one version of a data set; expected the "
            f"TFDS data folder {str(Path(config.path).parents[1])!r}"
        )
    # An import fails if a builder, or a name such as "huggingface:x", needs another package.
    not_found = (tfds.core.DatasetNotFoundError, AttributeError, AssertionError, ImportError)
    try:
        return tfds.builder(config.name, data_dir=config.path)
    except (*not_found, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"data.name: TFDS has no builder {config.name!r}: {reason}") from None


def _names_of_labels(builder: Any, config: RunConfig) -> list[str]:
    """Returns the names of the labels, in the order of the labels in TFDS.

    Raises:
      ValueError: the builder has no examples of the modality or no labels of the task.
    """
    label = _features(builder).get("label")
    names = tasks.of(config.task, "targets").names_in_tfds(label)
    _feature(builder, config, has_labels=names is not None)
    return names


def _features(builder: Any) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    features = builder.info.features
    return dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}


def _feature(builder: Any, config: RunConfig, has_labels: bool | None = None) -> None:
    """Checks that the examples of a builder are of the modality.

    Args:
      has_labels: whether the builder has labels of the task; None if no labels are needed.

    Raises:
      ValueError: the examples are of another modality, or the labels are missing.
    """
    sources, name, named = part(config.modality, "sources"), config.data.name, _features(builder)
    if sources.FEATURE is None:
        raise ValueError(f"data.source: tfds has no {nouns(config.modality)[1]}")
    example = named.get(sources.FEATURE)
    if not sources.is_feature(example) or has_labels is False:
        kind = config.modality if has_labels is None else f"{config.modality} {config.task}"
        wanted = f"the feature {sources.FEATURE!r}"
        if has_labels is not None:
            wanted = f"the features {sources.FEATURE!r} and 'label'"
        raise ValueError(
            f"data.name: {name!r} is not a data set for {kind}; expected {wanted}; received "
            f"{builder.info.features}{_other_modality(named, config.modality)}"
        )
    sources.check_feature(example, name)


def _other_modality(features: dict[str, Any], modality: str) -> str:
    """Returns which modality to set, as the end of a message, if features are of another one."""
    for other in MODALITIES:
        sources = part(other, "sources")
        feature = features.get(sources.FEATURE) if sources.FEATURE and other != modality else None
        if feature is not None and sources.is_feature(feature):
            examples = nouns(other)[1]
            return (
                f"; the feature {sources.FEATURE!r} has {examples}: set data.modality to {other!r}"
            )
    return ""


def _prepare(builder: Any, name: str) -> None:
    """Lets TFDS download and prepare the data set, unless that is done already."""
    try:
        builder.download_and_prepare()
    # Downloads fail with many kinds of exceptions, and all of them are for the user.
    except Exception as error:
        raise ValueError(
            f"data.name: {name!r} could not be downloaded: {str(error) or repr(error)}; without a "
            "network, prepare the data set elsewhere and set data.path to that TFDS data folder"
        ) from error


def _unpack_all(source: _Source, folder: Path) -> list[str]:
    """Unpacks the splits for training, validation and test.

    Returns warnings about other splits, and about examples without a label.
    """
    builder = source.builder
    used = [split for split in builder.info.splits if split_of(split)]
    _check_train(builder)
    warnings = _unused(builder)
    for split in used:
        unlabelled = _unpack(source, split, folder / split)
        warnings += _unlabelled(unlabelled, split, source)
    return warnings


def _folders(names: list[str], builder: str) -> list[str]:
    folders = [name.replace("/", "_").replace("\\", "_").lstrip(".") for name in names]
    if len(set(folders)) < len(names) or "" in folders:
        raise ValueError(
            f"data.name: {builder!r} has class names that cannot be folder names, because some are "
            "empty or equal after slashes are replaced and leading dots are removed; choose "
            "another data set"
        )
    return folders


def _unpack(source: _Source, split: str, folder: Path, labelled: bool = True) -> int:
    """Writes the stored bytes of each example of a split to a file in the folder of its label.

    Returns the number of examples that were left out because they have no label.

    Args:
      labelled: False if labels are not read; then all files lie in `folder` itself.
    """
    import tensorflow_datasets as tfds

    builder, feature = source.builder, source.feature
    encoded = builder.as_dataset(split=split, decoders={feature: tfds.decode.SkipDecoding()})
    total, unit = builder.info.splits[split].num_examples, f" {nouns(source.modality)[1]}"
    unlabelled = 0
    for i, example in enumerate(
        progress(encoded.as_numpy_iterator(), f"unpack {split}", total, unit)
    ):
        content, place = example[feature], folder
        if labelled:
            if example["label"] < 0:  # Test splits may have secret labels.
                unlabelled += 1
                continue
            place = folder / source.folders[example["label"]]
        suffix = part(source.modality, "sources").suffix_of(content)
        with replacing(place / f"{i:08d}{suffix}") as temporary:
            temporary.write_bytes(content)
    return unlabelled
