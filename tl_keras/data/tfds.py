"""TensorFlow Datasets as files: each image is unpacked once, still encoded, into class folders.

So audit, digests and splits are those of every other folder. With `data.stream` training images
stay in their shards, see `shards`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from tl_keras.config import DataConfig
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.sources import SPLIT_FOLDERS, list_class, list_folder
from tl_keras.files import replacing, write_json

SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}


def list_tfds(config: DataConfig, cache: Path) -> Listing:
    """Class folders, below train/ and the like, of an image classification builder.

    `data.name` is the builder's name, `data.path` the folder where TFDS keeps prepared data.

    Raises:
      ValueError: no such builder, no image classification, or it cannot be downloaded.
    """
    builder = _builder(config)
    _check_features(builder, config.name)
    folder = cache / "tfds" / _folder_name(builder)
    folder.mkdir(parents=True, exist_ok=True)
    if config.stream:
        with FileLock(folder / ".lock"):
            _prepare(builder, config.name)
            return _streamed(builder, config, folder)
    record = folder / "unpacked.json"
    with FileLock(folder / ".lock"):
        if not record.exists():
            _prepare(builder, config.name)
            write_json(record, {"warnings": _unpack_all(builder, folder / "files")})
        warnings = json.loads(record.read_text(encoding="utf-8"))["warnings"]
    listing = list_folder(config.model_copy(update={"path": str(folder / "files")}))
    listing.warnings.extend(warnings)
    return listing


def _streamed(builder: Any, config: DataConfig, folder: Path) -> Listing:
    """Training examples in their shards, those of the other splits in files.

    Splits that the builder lacks are taken from the beginning of train, whose order is random.
    """
    from tl_keras.data import shards

    given = {SPLIT_FOLDERS[name]: name for name in builder.info.splits if name in SPLIT_FOLDERS}
    _check_train(builder)
    labels = _label_folders(builder.info.features["label"].names, builder.name)
    listing, first = Listing(folder / "files", []), 0
    for split, share in (("test", config.test), ("val", config.val)):
        if split in given and _files_of(builder, given[split], labels, folder, listing, split):
            continue
        if share > 0:
            if builder.info.disable_shuffling:
                raise ValueError(
                    f"data.stream: {builder.name!r} has no labelled split for {split}, and is kept "
                    "in order, so that none can be taken from train; expected false"
                )
            count = max(1, round(share * builder.info.splits[given["train"]].num_examples))
            part = f"{given['train']}[{first}:{first + count}]"
            _files_of(builder, part, labels, folder, listing, split)
            first += count
    streamed = shards.Shards(builder, f"{given['train']}[{first}:]", first)
    for entry in shards.census(streamed, config.max_pixels, folder / "census"):
        if entry.checked.reason == shards.UNLABELLED:
            listing.quarantined.append(Quarantined(entry.name, entry.checked.reason))
        else:
            listing.files.append(Listed(entry.name, labels[entry.label], "train"))
            listing.checked[entry.name] = entry.checked
    listing.shards = streamed
    return listing


def _files_of(
    builder: Any, part: str, labels: list[str], folder: Path, listing: Listing, split: str
) -> int:
    """Unpacks a split, or a part of one, and lists its files; how many there are."""
    place = part.replace("[", "_").replace(":", "_").removesuffix("]")
    record = folder / f"{place}.json"
    if not record.exists():
        write_json(record, {"unlabelled": _unpack(builder, part, labels, folder / "files" / place)})
    unlabelled = json.loads(record.read_text(encoding="utf-8"))["unlabelled"]
    if unlabelled:
        listing.warnings.append(f"{unlabelled} images of {part!r} have no label")
    before = len(listing.files)
    for label in sorted(labels):
        if (folder / "files" / place / label).is_dir():
            list_class(folder / "files" / place / label, split, listing)
    return len(listing.files) - before


def _check_train(builder: Any) -> None:
    splits = list(builder.info.splits)
    if "train" not in {SPLIT_FOLDERS.get(split) for split in splits}:
        raise ValueError(
            f"data.name: {builder.name!r} has no split 'train'; it has "
            f"{', '.join(splits) or 'none'}"
        )


def _folder_name(builder: Any) -> str:
    """Of one builder in one place: another folder may hold another data set of that name."""
    place = hashlib.sha256(str(builder.data_dir).encode()).hexdigest()[:8]
    return f"{builder.info.full_name.replace('/', '_')}_{place}"


def _builder(config: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    # An import fails where a builder, or a name such as "huggingface:x", needs another package.
    not_found = (tfds.core.DatasetNotFoundError, AttributeError, AssertionError, ImportError)
    try:
        return tfds.builder(config.name, data_dir=config.path)
    except (*not_found, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"data.name: TFDS has no builder {config.name!r}: {reason}") from None


def _check_features(builder: Any, name: str) -> None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    named = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = named.get("image"), named.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise ValueError(
            f"data.name: {name!r} is no image classification; expected features 'image' and "
            f"'label', found {features}"
        )
    if image.np_dtype != np.uint8:
        raise ValueError(
            f"data.name: {name!r} has images of {np.dtype(image.np_dtype)}; expected uint8"
        )


def _prepare(builder: Any, name: str) -> None:
    """Downloads and prepares, unless that was done."""
    try:
        builder.download_and_prepare()
    # Downloads fail in as many ways as there are servers; the user can mend all of them.
    except Exception as error:
        raise ValueError(
            f"data.name: {name!r} could not be downloaded: {error or repr(error)}; where there is "
            "no network, prepare it elsewhere and point data.path at that TFDS data folder"
        ) from error


def _unpack_all(builder: Any, folder: Path) -> list[str]:
    """Writes the images of every split that has a use; warnings about what is left out."""
    name, splits = builder.name, list(builder.info.splits)
    used = [split for split in splits if split in SPLIT_FOLDERS]
    _check_train(builder)
    labels = _label_folders(builder.info.features["label"].names, name)
    warnings = [f"split {split!r} of {name!r} is not used" for split in splits if split not in used]
    for split in used:
        if unlabelled := _unpack(builder, split, labels, folder / split):
            warnings.append(f"{unlabelled} images of {split!r} of {name!r} have no label")
    return warnings


def _label_folders(names: list[str], builder: str) -> list[str]:
    folders = [name.replace("/", "_").replace("\\", "_").lstrip(".") for name in names]
    if len(set(folders)) < len(names) or "" in folders:
        raise ValueError(f"data.name: {builder!r} has class names that no folders can have")
    return folders


def _unpack(builder: Any, split: str, labels: list[str], folder: Path) -> int:
    """Writes a split's images, still encoded, into class folders; how many were left out, having no
    label."""
    import tensorflow_datasets as tfds

    encoded = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    total = builder.info.splits[split].num_examples
    bar = tqdm(encoded.as_numpy_iterator(), f"unpack {split}", total, unit=" images", leave=False)
    unlabelled = 0
    for i, example in enumerate(bar):
        content, label = example["image"], example["label"]
        if label < 0:  # As in test splits whose labels are secret.
            unlabelled += 1
            continue
        suffix = SUFFIXES.get(content[:2], ".img")
        with replacing(folder / labels[label] / f"{i:08d}{suffix}") as temporary:
            temporary.write_bytes(content)
    return unlabelled
