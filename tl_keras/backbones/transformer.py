"""The transformer encoders of text that a config can name, see `encoder`.

Importing this module imports neither Keras nor TensorFlow.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import (
    encoder,
    hugging_face_files,
    hugging_face_weights,
    run_vocabulary,
)
from tl_keras.backbones.encoder import Sizes
from tl_keras.backbones.options import Option, Value, check_options

if TYPE_CHECKING:
    import keras
    import numpy as np

MODALITY = "text"
VOCABULARY = "english"
_POOLING = Option(str, choices=encoder.POOLING)


@dataclasses.dataclass(frozen=True)
class Published:
    """A file model.safetensors on the Hugging Face Hub."""

    repository: str
    revision: str
    sha256: str

    @property
    def url(self) -> str:
        """The address of the file."""
        at = f"resolve/{self.revision}/model.safetensors"
        return f"https://huggingface.co/{self.repository}/{at}"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A transformer encoder: its sizes, its options, and its published weights."""

    sizes: Sizes
    options: Mapping[str, Option]
    published: Published | None = None


BACKBONES: dict[str, Backbone] = {
    # Licence: Apache-2.0.
    "MiniLM-L6": Backbone(
        Sizes(layers=6, width=384, heads=12, inner=1536, positions=512),
        {"layers": Option(int, 1, 6), "pooling": _POOLING},
        Published(
            "sentence-transformers/all-MiniLM-L6-v2",
            "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    ),
    "BERT": Backbone(
        Sizes(layers=4, width=256, heads=4, inner=1024, positions=512),
        {
            "layers": Option(int, 1, 48),
            "width": Option(int, 4, 4096),
            "heads": Option(int, 1, 64),
            "inner": Option(int, 4, 16_384),
            "positions": Option(int, 8, 8192),
            "pooling": _POOLING,
        },
    ),
}


def check(
    name: str, options: Mapping[str, Value], settings: Any = None, weights: str = "none"
) -> None:
    """Checks that a backbone can be built, without importing TensorFlow.

    Args:
      name: a key of `BACKBONES`.
      settings: the config section `text`; None: the length of texts is not checked.

    Raises:
      ValueError: an option is unknown or outside its range, `text.length` is too large, or the
        weights of an earlier run were trained with another vocabulary than `text.vocabulary`.
    """
    check_options(name, options, BACKBONES[name].options)
    sizes = sizes_of(name, options)
    if sizes.width % sizes.heads:
        raise ValueError(
            f"model.options.heads: expected a divisor of the width, {sizes.width}; received "
            f"{sizes.heads}"
        )
    if settings is not None:
        hugging_face_files.check_length(name, settings, sizes.positions)
        run_vocabulary.check(settings, weights)


def sizes_of(name: str, options: Mapping[str, Value]) -> Sizes:
    """Returns the sizes of a backbone, with those that `options` changes."""
    return dataclasses.replace(BACKBONES[name].sizes, **options)  # type: ignore[arg-type]


def options_of(name: str) -> Mapping[str, Option]:
    """Returns, by name, the type and range of each option of a backbone."""
    return BACKBONES[name].options


def words(name: str) -> tuple[str, ...]:
    """Returns the words of `model.weights` that this backbone takes; the first is the default."""
    return ("published",) if BACKBONES[name].published else ()


def block_pattern(name: str) -> str:
    """Returns the regular expression that finds an encoder's blocks."""
    return encoder.BLOCK


def auto_values(name: str, num_train: int) -> dict[str, Any]:
    """Returns the values of `auto` fields of `fit`, see `encoder.auto_values`."""
    return encoder.auto_values(num_train)


def decided(name: str, options: Mapping[str, Value], weights: str) -> dict[str, Any]:
    """Returns the vocabulary of a backbone's weights, and the number of its positions."""
    vocabulary = run_vocabulary.find(weights) or VOCABULARY
    return {"vocabulary": vocabulary, "length": sizes_of(name, options).positions}


def token_layers(name: str, options: Mapping[str, Value]) -> tuple[str, str]:
    """Returns the names of two layers, see `encoder.token_layers`."""
    return encoder.token_layers(sizes_of(name, options))


def build(
    name: str, options: Mapping[str, Value], settings: Any, dtype: str = "float32"
) -> "keras.Model":
    """Returns a functional model named `name`, with random weights, see `encoder.encoder`.

    Args:
      settings: the config section `text`, with the vocabulary.
      dtype: a Keras dtype policy, such as `mixed_bfloat16`.
    """
    from tl_keras.modalities.text.tokens import vocabulary

    check(name, options, settings)
    num_tokens = vocabulary.read(settings.vocabulary).num_tokens
    return encoder.encoder(name, sizes_of(name, options), num_tokens, dtype)


def official(name: str, options: Mapping[str, Value], settings: Any) -> "keras.Model":
    """Returns the backbone with its published weights, which are downloaded unless cached.

    Raises:
      ValueError: the weights cannot be downloaded, or the vocabulary is another one.
    """
    backbone = build(name, options, settings)
    folder, family = download(name), hugging_face_files.FAMILIES["bert"]
    sizes = sizes_of(name, options)
    arrays = hugging_face_weights.named(folder, sizes, family, settings, vocabulary=VOCABULARY)
    return encoder.with_weights(backbone, arrays)


def download(name: str) -> str:
    """Returns the folder with a backbone's published weights; downloads them unless cached.

    Raises:
      ValueError: the weights cannot be downloaded.
    """
    import keras

    published = BACKBONES[name].published
    assert published is not None
    subfolder = os.path.join("models", published.repository.rpartition("/")[2])
    try:
        file = keras.utils.get_file(
            "model.safetensors",
            published.url,
            file_hash=published.sha256,
            cache_subdir=subfolder,
        )
    except Exception as error:  # Keras raises a plain Exception when a download fails.
        reason = (str(error).strip() or repr(error)).splitlines()[0].replace(": None -- ", ": ")
        home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
        cached = os.path.join(home, subfolder, "model.safetensors")
        raise ValueError(
            f"model.weights: the published weights of {name} cannot be downloaded: {reason}; "
            f"without a network, download this file elsewhere and save it as {cached}, or set "
            "model.weights=FOLDER to a folder with that model (config.json, model.safetensors), or "
            "set model.backbone=StaticEmbedding, which needs no download"
        ) from error
    return os.path.dirname(file)


def from_folder(
    name: str, options: Mapping[str, Value], settings: Any, folder: str
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the arrays of a backbone's layers from a folder in Hugging Face's form.

    Raises:
      ValueError: the model in the folder has other sizes or another vocabulary, or a file is
        damaged.
    """
    sizes = sizes_of(name, options)
    of_folder = hugging_face_files.sizes_of(folder, {"pooling": sizes.pooling}, "model.weights")
    encoder.check_same(name, sizes, folder, of_folder)
    family = hugging_face_files.family_of(folder, "model.weights")
    return hugging_face_weights.named(folder, sizes, family, settings)
