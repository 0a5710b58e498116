"""TensorFlow Datasets as files: each image is unpacked once, still encoded, into class folders.

So audit, digests and splits are those of every other folder.
"""

from pathlib import Path
from typing import Any

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
    info = builder.info
    folder = cache / "tfds" / info.full_name.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "unpacked.json").exists():
            _prepare(builder, config.name)
            for split in info.splits:
                if split in SPLIT_FOLDERS:
                    _unpack(builder, split, folder / "files")
            write_json(folder / "unpacked.json", {"name": info.full_name})
    listing = list_folder(config.model_copy(update={"path": str(folder / "files")}))
    ignored = [split for split in info.splits if split not in SPLIT_FOLDERS]
    listing.warnings.extend(f"split {split!r} of {config.name!r} is not used" for split in ignored)
    return listing


def _builder(config: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(config.name, data_dir=config.path)
    except (tfds.core.DatasetNotFoundError, AttributeError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"data.name: TFDS has no builder {config.name!r}: {reason}") from None


def _check_features(builder: Any, name: str) -> None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    image, label = (
        (features.get(key) if hasattr(features, "get") else None) for key in ("image", "label")
    )
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise ValueError(
            f"data.name: {name!r} is no image classification; expected features 'image' and "
            f"'label', found {features}"
        )


def _prepare(builder: Any, name: str) -> None:
    """Downloads and prepares, unless that was done."""
    try:
        builder.download_and_prepare()
    # Downloads fail in as many ways as there are servers; the user can mend all of them.
    except Exception as error:
        raise ValueError(
            f"data.name: {name!r} could not be downloaded: {error}; where there is no network, "
            "prepare it elsewhere and point data.path at that TFDS data folder"
        ) from error


def _unpack(builder: Any, split: str, folder: Path) -> None:
    import tensorflow_datasets as tfds

    names = builder.info.features["label"].names
    encoded = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    total = builder.info.splits[split].num_examples
    bar = tqdm(encoded.as_numpy_iterator(), f"unpack {split}", total, unit=" images", leave=False)
    for i, example in enumerate(bar):
        content = example["image"]
        label = names[example["label"]].replace("/", "_").replace("\\", "_").lstrip(".")
        suffix = SUFFIXES.get(content[:2], ".img")
        with replacing(folder / split / label / f"{i:08d}{suffix}") as temporary:
            temporary.write_bytes(content)
