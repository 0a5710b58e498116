"""Reads the weights of a text model's folder in Hugging Face's form, as arrays of an encoder.

Importing this module imports neither Keras nor TensorFlow.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import safetensors
from tl_keras.backbones.encoder import Sizes
from tl_keras.backbones.hugging_face_files import Family
from tl_keras.modalities.text.tokens import vocabulary as vocabularies

if TYPE_CHECKING:
    import numpy as np


def named(
    folder: str,
    sizes: Sizes,
    family: Family,
    settings: Any,
    field: str = "model.weights",
    vocabulary: str | None = None,
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the arrays of an encoder's layers, by name of the layer, in the encoder's order.

    Args:
      sizes: the sizes of the encoder.
      settings: the config section `text`, with the vocabulary.
      field: the field of the config that names the folder, for messages.
      vocabulary: location of the vocabulary of the weights; None: in the folder, see `rows_of`.

    Raises:
      ValueError: a tensor is missing or has another shape, a file is damaged, or the weights were
        trained with another vocabulary.
    """
    tensors = located(folder, sizes, family, field)
    num_rows = tensors["embeddings_tokens"][0].shape[0]
    rows = rows_of(folder, num_rows, settings, field, vocabulary)
    try:
        arrays = {
            layer: [safetensors.load(tensor) for tensor in parts]
            for layer, parts in tensors.items()
        }
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    arrays["embeddings_tokens"] = [arrays["embeddings_tokens"][0][rows]]
    positions, *segments = arrays["embeddings_positions"]
    positions = positions[len(positions) - sizes.positions :]
    # Every token is in segment 0.
    arrays["embeddings_positions"] = [positions + segments[0][0] if segments else positions]
    for parts in arrays.values():
        if len(parts) == 2 and parts[0].ndim == 2:  # PyTorch keeps (outputs, inputs).
            parts[0] = parts[0].T
    return list(arrays.items())


def rows_of(
    folder: str, num_rows: int, settings: Any, field: str, trained: str | None = None
) -> "np.ndarray":
    """Returns the row of the weights' embedding table for each id of the vocabulary.

    The vocabulary, `text.vocabulary`, has all or some of the tokens of the weights' vocabulary.

    Args:
      num_rows: number of rows of the table.
      settings: the config section `text`, with the vocabulary.
      field: the field of the config that names the folder, for messages.
      trained: location of the vocabulary of the weights. None: it is in the folder; if the folder
        has none, it is unknown. If it is unknown, as for "", only the number of rows is compared.

    Raises:
      ValueError: the weights were trained with another vocabulary.
    """
    import numpy as np

    vocabulary = vocabularies.read(settings.vocabulary)
    files = (os.path.join(folder, name) for name in ("tokenizer.json", "vocab.txt"))
    if trained is None and any(map(os.path.isfile, files)):
        trained = folder
    if trained:
        # Tables may have unused rows at the end, so the number of rows proves nothing.
        of_weights = vocabularies.read(trained)
        rows = np.asarray(of_weights.order)
        if rows.max() < num_rows and (ids := vocabulary.ids_in(of_weights)) is not None:
            return rows[ids]
        fits = False
    else:
        fits = sorted(vocabulary.order) == list(range(num_rows))
    if not fits:
        raise ValueError(
            f"{field}: {folder!r} was trained with another vocabulary than text.vocabulary, "
            f"{settings.vocabulary!r}: its table has {num_rows:,} tokens, the vocabulary has "
            f"{vocabulary.num_tokens:,}; use weights and vocabulary of the same model"
        )
    return np.asarray(vocabulary.order)


def located(
    folder: str, sizes: Sizes, family: Family, field: str
) -> dict[str, list[safetensors.Tensor]]:
    """Returns the tensors of each layer of an encoder, after checking their shapes.

    The keys are in the order of the encoder's layers. The values of the tensors are not read.

    Raises:
      ValueError: a tensor is missing or has another shape, or a file is damaged.
    """
    try:
        tensors = safetensors.tensors_of(Path(folder))
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    table = "embeddings.word_embeddings.weight"
    # The whole model may have a head, and then the encoder's tensors have a prefix, as in `bert.`.
    prefix = next((name.removesuffix(table) for name in tensors if name.endswith(table)), "")

    def find(name: str, *shape: int | None) -> safetensors.Tensor:
        try:
            return _find(tensors, prefix + name, shape)
        except ValueError as error:
            raise ValueError(f"{field}: {folder!r} {error}") from None

    def pair(name: str, outputs: int, inputs: int | None = None) -> list[safetensors.Tensor]:
        shape = (outputs,) if inputs is None else (outputs, inputs)
        return [find(f"{name}.weight", *shape), find(f"{name}.bias", outputs)]

    width = sizes.embedding or sizes.width
    positions = "embeddings.position_embeddings.weight"
    located = {
        "embeddings_tokens": [find(table, None, width)],
        "embeddings_positions": [find(positions, sizes.positions + family.reserved, width)],
        "embeddings_norm": pair("embeddings.LayerNorm", width),
    }
    segments = "embeddings.token_type_embeddings.weight"
    if prefix + segments in tensors:
        located["embeddings_positions"].append(find(segments, None, width))
    if width != sizes.width:
        located["embeddings_projection"] = pair(family.projection, sizes.width, width)
    shapes = {"inner": (sizes.inner, sizes.width), "outer": (sizes.width, sizes.inner)}
    for i in range(sizes.layers):
        for part, middle in family.parts.items():
            norm = part.endswith("norm")
            shape = (sizes.width,) if norm else shapes.get(part, (sizes.width, sizes.width))
            located[f"layer_{i}_{part}"] = pair(family.layer.format(i) + middle, *shape)
    return located


def _find(
    tensors: Mapping[str, safetensors.Tensor], name: str, shape: tuple[int | None, ...]
) -> safetensors.Tensor:
    """Returns the tensor of a name, or of the older name that TensorFlow gave it.

    Args:
      shape: the expected shape; None for a size that may be any number from 1.

    Raises:
      ValueError: the tensor is missing or has another shape.
    """
    older = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
    tensor = tensors.get(name) or tensors.get(older)
    if tensor is None:
        raise ValueError(f"has no tensor {name!r}")
    fits = len(tensor.shape) == len(shape) and all(
        size == expected or expected is None and size > 0
        for size, expected in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        expected = tuple("at least 1" if size is None else size for size in shape)
        raise ValueError(f"has {name!r} with the shape {tensor.shape}; expected {expected}")
    return tensor
