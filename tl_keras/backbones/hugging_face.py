"""Builds the text model of a folder in Hugging Face's form as a backbone.

Such a folder has config.json, model.safetensors, and the vocabulary: tokenizer.json or vocab.txt.
The name of the backbone is the path of its folder. Importing this module imports neither Keras nor
TensorFlow.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import encoder, hugging_face_weights, run_vocabulary
from tl_keras.backbones import hugging_face_files as files
from tl_keras.backbones.options import Option, Value, check_options
from tl_keras.modalities.text.tokens import vocabulary as vocabularies

if TYPE_CHECKING:
    import keras
    import numpy as np

MODALITY = "text"


def check(
    name: str, options: Mapping[str, Value], settings: Any = None, weights: str = "own"
) -> None:
    """Checks that a folder can be a backbone, without importing TensorFlow.

    Raises:
      ValueError: a file is missing or damaged, the model is of another kind, an option is unknown
        or outside its range, `text.length` is too large, or the weights of the folder or of an
        earlier run were trained with another vocabulary than `text.vocabulary`.
    """
    check_options(name, options, options_of(name))
    sizes = files.sizes_of(name, options)
    if settings is not None:
        files.check_length(name, settings, sizes.positions)
        run_vocabulary.check(settings, weights)
    if weights == "own":
        located = hugging_face_weights.located
        tensors = located(name, sizes, files.family_of(name), "model.backbone")
        if settings is not None:
            num_rows = tensors["embeddings_tokens"][0].shape[0]
            hugging_face_weights.rows_of(name, num_rows, settings, "model.backbone")


def options_of(name: str) -> Mapping[str, Option]:
    """Returns the options: how many of the folder's layers are used, and the pooling."""
    layers = files.LARGEST["layers"]
    if files.is_folder(name):
        layers = files.sizes_of(name, {"pooling": "mean"}).layers
    return {"layers": Option(int, 1, layers), "pooling": Option(str, choices=encoder.POOLING)}


def words(name: str) -> tuple[str, ...]:
    """Returns no words of `model.weights`, since `own` stands for the weights in the folder."""
    return ()


def block_pattern(name: str) -> str:
    """Returns the regular expression that finds an encoder's blocks."""
    return encoder.BLOCK


def auto_values(name: str, num_train: int) -> dict[str, Any]:
    """Returns the values of `auto` fields of `fit`, see `encoder.auto_values`."""
    return encoder.auto_values(num_train)


def decided(name: str, options: Mapping[str, Value], weights: str) -> dict[str, Any]:
    """Returns the vocabulary of the backbone's weights, and the number of its positions."""
    if not files.is_folder(name):  # A finished run keeps its config when the folder is gone.
        return {}
    vocabulary = run_vocabulary.find(weights) or name
    return {"vocabulary": vocabulary, "length": files.sizes_of(name, {"pooling": "mean"}).positions}


def token_layers(name: str, options: Mapping[str, Value]) -> tuple[str, str]:
    """Returns the names of two layers, see `encoder.token_layers`."""
    return encoder.token_layers(files.sizes_of(name, options))


def build(
    name: str, options: Mapping[str, Value], settings: Any, dtype: str = "float32"
) -> "keras.Model":
    """Returns the folder's model with random weights, see `encoder.encoder`."""
    check(name, options, settings, weights="none")
    num_tokens = vocabularies.read(settings.vocabulary).num_tokens
    return encoder.encoder("backbone", files.sizes_of(name, options), num_tokens, dtype)


def official(name: str, options: Mapping[str, Value], settings: Any) -> "keras.Model":
    """Returns the folder's model with its weights."""
    backbone = build(name, options, settings)
    return encoder.with_weights(backbone, from_folder(name, options, settings, name))


def from_folder(
    name: str, options: Mapping[str, Value], settings: Any, folder: str
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the arrays of a backbone's layers from a folder in Hugging Face's form.

    Args:
      name: the folder of the backbone, which decides the sizes.
      folder: the folder with the weights, `name` or another one.

    Raises:
      ValueError: the model in the folder has other sizes, a tensor is missing or has another shape,
        a file is damaged, or the weights were trained with another vocabulary.
    """
    field = "model.backbone" if folder == name else "model.weights"
    sizes, family = files.sizes_of(name, options), files.family_of(folder, field)
    of_folder = files.sizes_of(folder, {"pooling": sizes.pooling}, field)
    encoder.check_same(name, sizes, folder, of_folder)
    return hugging_face_weights.named(folder, sizes, family, settings, field)
