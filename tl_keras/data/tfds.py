"""TensorFlow Datasets as files: each image is unpacked once, still encoded, into class folders.

So audit, digests and splits are those of every other folder.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from tl_keras.config import DataConfig
from tl_keras.data.examples import Listing
from tl_keras.data.sources import SPLIT_FOLDERS, list_folder
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
    record = folder / "unpacked.json"
    with FileLock(folder / ".lock"):
        if not record.exists():
            _prepare(builder, config.name)
            write_json(record, {"warnings": _unpack_all(builder, folder / "files")})
        warnings = json.loads(record.read_text(encoding="utf-8"))["warnings"]
    listing = list_folder(config.model_copy(update={"path": str(folder / "files")}))
    listing.warnings.extend(warnings)
    return listing


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
    if "train" not in {SPLIT_FOLDERS[split] for split in used}:
        raise ValueError(
            f"data.name: {name!r} has no split 'train'; it has {', '.join(splits) or 'none'}"
        )
    labels = _label_folders(builder.info.features["label"].names, name)
    warnings = [f"split {split!r} of {name!r} is not used" for split in splits if split not in used]
    for split in used:
        if unlabelled := _unpack(builder, split, labels, folder):
            warnings.append(f"{unlabelled} images of {split!r} of {name!r} have no label")
    return warnings


def _label_folders(names: list[str], builder: str) -> list[str]:
    folders = [name.replace("/", "_").replace("\\", "_").lstrip(".") for name in names]
    if len(set(folders)) < len(names) or "" in folders:
        raise ValueError(f"data.name: {builder!r} has class names that no folders can have")
    return folders


def _unpack(builder: Any, split: str, labels: list[str], folder: Path) -> int:
    """Writes a split's images, still encoded; how many were left out, having no label."""
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
        with replacing(folder / split / labels[label] / f"{i:08d}{suffix}") as temporary:
            temporary.write_bytes(content)
    return unlabelled
