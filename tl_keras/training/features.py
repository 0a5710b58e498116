"""Activations of frozen prefixes: computed once, kept on disk, shared by whoever asks again.

A prefix in inference mode is a pure function of the prepared example, so its activations are
known by what went in: contents, preparation, view, backbone, weights, cut. One pass over the
examples gives those at all depths that are asked for.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras.backbones import model_file
from tl_keras.backbones.weights import digest, graph_digest
from tl_keras.config.cache import CacheConfig
from tl_keras.config.model import ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import batches, store
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import Inputs, Training, preparation
from tl_keras.data.store import Kept, Request
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.training.network import freeze
from tl_keras.training.network.fold_batch_norm import Inference, fold_batch_norm

BATCH_SIZE = 64


@dataclass(frozen=True)
class Cut:
    """A depth at which a backbone is cut, and how activations there are kept.

    Attributes:
      name: of the last operation of the prefix.
      shape: of an example's activations.
      dtype: `float16` unless that changes the backbone's features by more than `TOLERANCE`;
        features themselves, which are small, are `float32`.
      seconds: an example takes from the input to here.
      key: what decides the activations beside the examples.
      input_bytes: of an example, where what follows the cut reads it beside activations; else 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    seconds: float
    key: dict[str, Any]
    input_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Of an example's activations, and of the example where it is read beside them."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize + self.input_bytes


@dataclass(frozen=True)
class Prefixes:
    """A backbone's prefixes at several depths, run in one pass.

    Attributes:
      cuts: by name, inputs first; the last is the backbone's output. Where what follows one of
        them reads the backbone's input, that is the first.
      run: examples to activations, a tensor a cut, and the time (s) at which each was there.
    """

    cuts: dict[str, Cut]
    run: Callable[[tf.Tensor], tuple[list[tf.Tensor], list[tf.Tensor]]]


# Of a vector of features, relative to its length, of any of the examples that are tried: half the
# precision of activations changes MobileNetV2's by some .001.
TOLERANCE = 0.005
TRIED = 8  # examples


def prefixes(
    backbone: keras.Model, names: Sequence[str], examples: tf.Tensor, config: ModelConfig
) -> Prefixes:
    """A backbone's prefixes at the named cuts and its output, tried and timed on some examples."""
    start, *_, end = backbone.operations
    wanted = {*names, end.name}
    reads = {name for name in names if freeze.reads_input(backbone, name)}
    operations = [o for o in backbone.operations if o.name in wanted or (o is start and reads)]
    run = _all_outputs(keras.Model(backbone.input, [o.output for o in operations]))
    run(examples)  # Traces.
    started = time.time()
    tensors, stamps = run(examples)
    cuts = {}
    for operation, tensor, stamp in zip(operations, tensors, stamps, strict=True):
        name, shape = operation.name, tuple(tensor.shape[1:])
        if operation is start:
            key = {"kind": f"input {name}", "cut": name}
            cuts[name] = Cut(name, shape, tensor.dtype.name, 0.0, key)
            continue
        prefix = keras.Model(backbone.input, operation.output)
        cuts[name] = Cut(
            name,
            shape,
            "float16" if _survives_half(backbone, name, tensor, examples) else "float32",
            max(float(stamp) - started, 0.0) / len(examples),
            _key(prefix, config),
            cuts[start.name].bytes if name in reads else 0,
        )
    return Prefixes(cuts, run)


def _all_outputs(model: keras.Model) -> Callable:
    folded = fold_batch_norm(model)
    batch = tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)

    def run(examples: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        tensors, stamps = tf.nest.flatten(folded(examples, training=False)), []
        for tensor in tensors:
            with tf.control_dependencies([tensor]):
                # Not `tf.timestamp`, which fails where a program asked for deterministic operators.
                stamps.append(tf.numpy_function(time.time, [], tf.float64))
        return tensors, stamps

    return tf.function(run, input_signature=[batch], autograph=False)


def _survives_half(
    backbone: keras.Model, cut: str, activations: tf.Tensor, examples: tf.Tensor
) -> bool:
    if cut == backbone.operations[-1].name:
        return False
    suffix = freeze.split(backbone, cut)[1]
    some, of = activations[:TRIED], examples[:TRIED]
    both = tf.concat([some, _rounded(some)], 0)
    both = suffix(freeze.taken(suffix, both, tf.concat([of, of], 0)), training=False)
    whole, half = np.split(both.numpy().astype(np.float32), 2)
    # Not a number, where something overflows, is no small change.
    with np.errstate(invalid="ignore"):
        change = np.linalg.norm(half - whole, axis=-1)
    return bool(np.all(change <= TOLERANCE * np.linalg.norm(whole, axis=-1)))


def _rounded(activations: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(activations, tf.float16), activations.dtype)


def _key(prefix: keras.Model, config: ModelConfig) -> dict[str, Any]:
    name = prefix.operations[-1].name
    return {
        "kind": f"{Path(config.backbone).name} at {name}",
        "cut": name,
        "weights": digest(prefix),
        "backbone": _identity(prefix, config),
        "computed_in": prefix.layers[-1].compute_dtype,
        "keras": keras.__version__,
    }


def _identity(prefix: keras.Model, config: ModelConfig) -> list:
    if model_file.is_file(config.backbone):  # Another model may stand there the next time.
        return [graph_digest(prefix)]
    return [config.backbone, sorted(config.options.items())]


@dataclass(frozen=True)
class Shown:
    """Examples as a prefix sees them, and what decides them.

    Attributes:
      examples: batches, each example once, in order.
      count: of the examples.
      key: contents, preparation, view.
    """

    examples: Iterable[Any]
    count: int
    key: dict[str, Any]


def unaugmented(inputs: Inputs, dataset: Dataset, split: str, config: RunConfig) -> Shown:
    """A split's examples as they are."""
    key = {
        "kind": split,
        "digests": [example.digest for example in dataset.splits[split]],
        **preparation(config.settings, dataset, split),
    }
    return Shown(batches.read_once(inputs, BATCH_SIZE), len(inputs), key)


def viewed(shown: Shown, inputs: Inputs, how: Training, view: int) -> Shown:
    """The examples of `shown` in the view that an epoch of training shows."""
    operations = [entry.model_dump(mode="json") for entry in how.augmentations]
    key = {
        **shown.key,
        "kind": f"{shown.key['kind']}, view {view + 1}",
        "augment": operations,
        "seed": how.seed,
        "view": view,
    }
    return Shown(batches.view(inputs, BATCH_SIZE, how, view), shown.count, key)


def requests(found: Prefixes, names: Sequence[str], shown: Shown) -> list[Request]:
    """What the store is asked for: activations at the named cuts."""
    cuts = [found.cuts[name] for name in names]
    return [
        Request(
            {
                **shown.key,
                **cut.key,
                "kind": f"{cut.key['kind']}, {shown.key['kind']}",
                "dtype": cut.dtype,
            },
            (shown.count, *cut.shape),
            cut.dtype,
        )
        for cut in cuts
    ]


def compute(
    found: Prefixes,
    names: Sequence[str],
    shown: Shown,
    config: CacheConfig,
    begin: Callable[[Sequence[Request]], None] = lambda _: None,
) -> dict[str, Kept]:
    """Activations at the named cuts, `(examples, ...)` of each cut's dtype, in inference mode.

    Args:
      begin: is called with all that is asked for before a pass, if the store lacks some of it.
    """
    asked = requests(found, names, shown)
    cuts = [found.cuts[name] for name in names]
    positions = [list(found.cuts).index(name) for name in names]

    def fill(arrays: list[np.ndarray | None]) -> None:
        begin(asked)
        with progress(None, "features", shown.count, " examples") as bar:
            start = 0
            for batch in shown.examples:
                tensors, _ = found.run(batch)
                for array, position, cut in zip(arrays, positions, cuts, strict=True):
                    if array is not None:
                        rows = tf.cast(tensors[position], cut.dtype).numpy()
                        array[start : start + len(batch)] = rows
                start += len(batch)
                bar.update(len(batch))

    return dict(zip(names, store.keep_all(config, asked, fill), strict=True))


def check_finite(array: np.ndarray, dataset: Dataset, split: str, config: RunConfig) -> None:
    """Raises ValueError where pooled features, `(examples, channels)`, are NaN or infinite."""
    bad, model = np.flatnonzero(~np.isfinite(array).all(axis=1)), config.model
    if bad.size:
        nouns = dataset.nouns[1]
        raise ValueError(
            f"model.backbone: {model.backbone!r} with weights {model.weights!r} gives features "
            f"that are not finite for {bad.size} of {len(array)} {nouns} of {split}, the first "
            f"{dataset.splits[split][bad[0]].file!r}; look at its weights, and at what it makes of "
            f"{part(config.modality, 'config').SCALE} (model.preprocessing)"
        )


def outputs(infer: Inference, inputs: Inputs) -> np.ndarray:
    """A model's outputs on every example, `(examples, ...) float32`, in memory."""
    array = np.empty((len(inputs), *infer.shape), np.float32)
    if inputs.array is None:
        _run(infer, batches.evaluation(inputs, BATCH_SIZE), array, "predict")
    else:  # A pipeline takes longer to start than a few batches take.
        starts = range(0, len(inputs), BATCH_SIZE)
        for start in progress(starts, "predict", unit=" batches"):
            rows = tf.nest.map_structure(tf.constant, inputs.take(slice(start, start + BATCH_SIZE)))
            found = infer(rows).numpy()
            array[start : start + len(found)] = found
    return array


def outputs_of_views(infer: Inference, inputs: Inputs, how: Training, views: int) -> np.ndarray:
    """Mean outputs over views of every example, `(examples, ...) float32`: itself, and what
    `views - 1` epochs of training would show."""
    total = outputs(infer, inputs)
    array = np.empty_like(total)
    for view in range(views - 1):
        _run(infer, batches.view(inputs, BATCH_SIZE, how, view), array, f"view {view + 2}")
        total += array
    return total / np.float32(views)


def _run(infer: Inference, read: Iterable[Any], array: np.ndarray, title: str) -> None:
    """Fills `array` `(examples, ...)` with a model's outputs on batches."""
    with progress(None, title, len(array), " examples") as bar:
        start = 0
        for batch in read:
            array[start : start + len(batch)] = infer(batch).numpy()
            start += len(batch)
            bar.update(len(batch))
