"""Static embeddings of text: a table of token vectors, whose mean is the features of a text.

The table is random, or ships with the package (`minilm`), or lies in a folder in the form of
Model2Vec. Importing this module imports neither Keras nor TensorFlow.
"""

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import (
    encoder,
    hugging_face_files,
    hugging_face_weights,
    model_file,
    run_vocabulary,
    safetensors,
)
from tl_keras.backbones.applications import with_stable_names
from tl_keras.backbones.options import Option, Value, check_options
from tl_keras.modalities.text.tokens import vocabulary as vocabularies

if TYPE_CHECKING:
    import keras
    import numpy as np

MODALITY = "text"
VOCABULARY = "english"
EMBEDDED = "minilm_words.npz"  # `table` int8 (tokens, dimensions), and `scale` float32 per row
DIMENSIONS = 128  # of the embedded table, and the default
WIDEST = 16_384  # dimensions of a folder's table
LONGEST = 8192  # tokens; the model takes any number, but longer texts gain nothing
TABLE = "embeddings_tokens"


def check(
    name: str, options: Mapping[str, Value], settings: Any = None, weights: str = "none"
) -> None:
    """Checks that the backbone can be built, without importing TensorFlow.

    Raises:
      ValueError: an option is unknown or outside its range, the folder has no table, or the weights
        of the folder or of an earlier run were trained with another vocabulary than
        `text.vocabulary`.
    """
    check_options(name, options, options_of(name))
    if weights == "own":
        tensors = _table_of(name, "model.backbone")
        if settings is not None:
            num_rows = tensors.get("mapping", tensors["embeddings"]).shape[0]
            hugging_face_weights.rows_of(name, num_rows, settings, "model.backbone")
    if settings is not None:
        run_vocabulary.check(settings, weights)
    dimensions = options.get("dimensions", DIMENSIONS)
    if weights == "minilm" and dimensions > DIMENSIONS:  # type: ignore[operator]
        raise ValueError(
            f"model.options.dimensions: the weights 'minilm' have {DIMENSIONS} dimensions, "
            f"received {dimensions}"
        )


def options_of(name: str) -> Mapping[str, Option]:
    """Returns the only option: the number of dimensions of a token's vector."""
    return {"dimensions": Option(int, 1, 4096)} if not model_file.is_folder(name) else {}


def words(name: str) -> tuple[str, ...]:
    """Returns the words of `model.weights` that this backbone takes; the first is the default."""
    return () if model_file.is_folder(name) else ("minilm",)


def block_pattern(name: str) -> str:
    """Returns the regular expression that finds the only block, the table."""
    return encoder.BLOCK


def auto_values(name: str, num_train: int) -> dict[str, Any]:
    """Returns the values of `auto` fields of `fit` for a pretrained table.

    The whole table is trained, from a strongly regularised head. The margin is small: on average
    over data sets with 16 to 256 texts of a class, the chosen model is then no less accurate than
    the head-only model, and with several classes it is more accurate.

    Returns an empty dict for a folder, since the rate suits the scale of the embedded table alone.

    Args:
      num_train: number of training examples.
    """
    if model_file.is_folder(name):
        return {}
    return {
        "freeze": 0.0,
        "epochs": round(min(25.0, max(3.0, 300 / num_train**0.5))),
        "learning_rate": 3e-3,
        "start": "regularised",
        "margin": 1.0,
    }


def decided(name: str, options: Mapping[str, Value], weights: str) -> dict[str, Any]:
    """Returns the vocabulary of the backbone's table, and the largest number of tokens."""
    of_table = name if model_file.is_folder(name) else VOCABULARY
    return {"vocabulary": run_vocabulary.find(weights) or of_table, "length": LONGEST}


def build(
    name: str, options: Mapping[str, Value], settings: Any, dtype: str = "float32"
) -> "keras.Model":
    """Returns one functional model with random weights.

    The model takes token ids `(batch, length) int32`, in which 0 is padding at the end of a text,
    and returns features `(batch, dimensions) float32`: the mean of the vectors of all tokens except
    padding, start, end and unknown tokens.

    Args:
      name: `StaticEmbedding`, or a folder in the form of Model2Vec.
      settings: the config section `text`, with the vocabulary.
      dtype: a Keras dtype policy. The mean and the output stay float32.
    """
    import keras

    check(name, options, settings)
    dimensions, normalised = int(options.get("dimensions", DIMENSIONS)), False
    if model_file.is_folder(name):
        table = _table_of(name, "model.backbone")["embeddings"]
        dimensions = table.shape[1]
        normalised = hugging_face_files.config_of(name).get("normalize") is True
    vocabulary = vocabularies.read(settings.vocabulary)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    is_counted = keras.ops.not_equal(token_ids, 0)
    left_out = {vocabulary.start, vocabulary.end, vocabulary.unknown} - {None}
    for token_id in sorted(left_out, key=int):  # type: ignore[arg-type]
        is_counted = keras.ops.logical_and(is_counted, keras.ops.not_equal(token_ids, token_id))
    table = keras.layers.Embedding(vocabulary.num_tokens, dimensions, name=TABLE, dtype=dtype)
    x = keras.ops.cast(table(token_ids), "float32")
    x = encoder.pooled(x, keras.ops.cast(is_counted, "float32"), "mean")
    if normalised:
        x = keras.layers.UnitNormalization(name="normalised", dtype="float32")(x)
    features = keras.layers.Activation("linear", dtype="float32", name="features")(x)
    stable = "backbone" if model_file.is_folder(name) else name
    return with_stable_names(keras.Model(token_ids, features), stable)


def official(name: str, options: Mapping[str, Value], settings: Any) -> "keras.Model":
    """Returns the backbone with the table that ships with the package.

    The dimensions of the table are in the order of their variance, so the first ones are used.

    Raises:
      ValueError: the vocabulary is another one.
    """
    import numpy as np

    backbone = build(name, options, settings)
    with (
        importlib.resources.as_file(
            importlib.resources.files("tl_keras.embedded") / EMBEDDED
        ) as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        values = arrays["table"].astype(np.float32) * np.reshape(arrays["scale"], (-1, 1))
    rows = hugging_face_weights.rows_of(
        "minilm", len(values), settings, "model.weights", VOCABULARY
    )
    layer = backbone.get_layer(TABLE)
    layer.set_weights([values[rows, : layer.output_dim]])
    return backbone


def from_folder(
    name: str, options: Mapping[str, Value], settings: Any, folder: str
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the table from a folder in the form of Model2Vec, as [(name of the layer, [table])].

    Raises:
      ValueError: a file is damaged, or the table belongs to another vocabulary.
    """
    import numpy as np

    field = "model.backbone" if folder == name else "model.weights"
    tensors = _table_of(folder, field)
    try:
        table = safetensors.load(tensors["embeddings"])
        mapping, weights = (
            safetensors.load(tensors[part]) if part in tensors else None
            for part in ("mapping", "weights")
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    # Tokens may share rows, and each token may have a weight.
    if mapping is not None:
        if not ((mapping >= 0) & (mapping < len(table))).all():
            raise ValueError(f"{field}: {folder!r} maps tokens to rows that do not exist")
        table = table[mapping.astype(np.int64)]
    if weights is not None:
        if weights.shape != table.shape[:1]:
            raise ValueError(
                f"{field}: {folder!r} has weights of shape {weights.shape} for {len(table)} tokens"
            )
        table = table * weights[:, None]
    rows = hugging_face_weights.rows_of(folder, len(table), settings, field)
    return [(TABLE, [table[rows]])]


def _table_of(folder: str, field: str) -> dict[str, safetensors.Tensor]:
    """Returns the tensors of a folder in the form of Model2Vec; `embeddings` is one of them."""
    try:
        tensors = safetensors.tensors_of(Path(folder))
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    if "embeddings" not in tensors or len(tensors["embeddings"].shape) != 2:
        raise ValueError(
            f"{field}: {os.path.join(folder, 'model.safetensors')!r} has no matrix 'embeddings'; "
            f"expected a folder in the form of Model2Vec; received {', '.join([*tensors][:5])}"
        )
    rows, dimensions = tensors["embeddings"].shape
    if not (rows and 1 <= dimensions <= WIDEST):
        raise ValueError(
            f"{field}: {folder!r} has 'embeddings' with the shape {(rows, dimensions)}; expected "
            f"(tokens, dimensions), with 1..{WIDEST} dimensions"
        )
    mapping = tensors.get("mapping")
    if mapping is not None and len(mapping.shape) != 1:
        raise ValueError(
            f"{field}: {folder!r} has 'mapping' with the shape {mapping.shape}; expected (tokens,)"
        )
    return tensors
