"""Computes activations of frozen prefixes once, and stores them on disk for every later use.

A frozen prefix in inference mode is a pure function of the prepared example. Its activations are
therefore identified by what they depend on: content, preparation and augmented view of the
examples, backbone, weights, and cut between frozen prefix and trained suffix. One pass over the
examples computes the activations at all requested cuts.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tl_keras.config.cache import CacheConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import store
from tl_keras.data.batching import batches, ragged
from tl_keras.data.batching.inputs import Inputs, Training, over_windows, preparation
from tl_keras.data.examples import Dataset
from tl_keras.data.store import Kept, Request
from tl_keras.maybe import Maybe
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.network.prefixes import Cut, Prefixes

BATCH_SIZE = 64


@dataclass(frozen=True)
class PassExamples:
    """The examples of one pass through a frozen prefix, and the key that identifies them.

    Attributes:
      examples: pairs of positions and the batch of examples at these positions; together, the
        batches contain every example once.
      count: number of examples.
      key: JSON values that identify the examples in the store: their content, preparation and
        augmented view.
      lengths: the length of each unaugmented example if their lengths differ, else None. An
        augmented view is at most as long.
    """

    examples: Iterable[tuple[batches.Rows, Any]]
    count: int
    key: dict[str, Any]
    lengths: Maybe[np.ndarray] = None


def unaugmented(inputs: Inputs, dataset: Dataset, split: str, config: RunConfig) -> PassExamples:
    """Returns the examples of a split, without augmentation, for a pass."""
    key = {
        "kind": split,
        "digests": [example.digest for example in dataset.splits[split]],
        **preparation(config.settings, dataset, split),
    }
    examples = batches.read_chunks(inputs, BATCH_SIZE)
    return PassExamples(examples, len(inputs), key, inputs.lengths)


def viewed(pass_examples: PassExamples, inputs: Inputs, how: Training, view: int) -> PassExamples:
    """Returns the examples of a pass over one augmented view of `pass_examples`.

    Args:
      pass_examples: the unaugmented examples.
      inputs: the unaugmented examples, as `Inputs`.
      how: how training examples are augmented.
      view: number of the augmented view.
    """
    operations = [entry.model_dump(mode="json") for entry in how.augmentations]
    key = {
        **pass_examples.key,
        "kind": f"{pass_examples.key['kind']}, view {view + 1}",
        "augment": operations,
        "seed": how.seed,
        "view": view,
    }
    examples = batches.numbered(batches.view(inputs, BATCH_SIZE, how, view))
    return replace(pass_examples, examples=examples, key=key)


def requests(
    all_prefixes: Prefixes, names: Sequence[str], pass_examples: PassExamples
) -> list[Request]:
    """Returns one request to the store of activations for each named cut."""
    cuts = [all_prefixes.cuts[name] for name in names]
    return [
        Request(
            {
                **pass_examples.key,
                **cut.key,
                "kind": f"{cut.key['kind']}, {pass_examples.key['kind']}",
                "dtype": cut.dtype,
            },
            _stored_shape(cut, pass_examples),
            cut.dtype,
        )
        for cut in cuts
    ]


def _stored_shape(cut: Cut, pass_examples: PassExamples) -> tuple[Any, ...]:
    """Returns the shape of the stored array: activations of different length are not padded."""
    if cut.shape[0] is None:
        return (int(pass_examples.lengths.sum()), *cut.shape[1:])
    return (pass_examples.count, *cut.shape)


def compute(
    all_prefixes: Prefixes,
    names: Sequence[str],
    pass_examples: PassExamples,
    config: CacheConfig,
    begin: Callable[[Sequence[Request]], None] = lambda _: None,
) -> dict[str, Kept]:
    """Returns {cut: activations `(examples, ...)`}, read from the store or computed in one pass.

    Prefixes run in inference mode, and each cut has its own dtype.

    Args:
      begin: called with the requests to the store of activations, before a pass starts. No pass
        runs if the store already has the activations of all named cuts.
    """
    requested = requests(all_prefixes, names, pass_examples)
    cuts = [all_prefixes.cuts[name] for name in names]
    positions = [list(all_prefixes.cuts).index(name) for name in names]

    def fill(arrays: list[np.ndarray | None]) -> None:
        begin(requested)
        rows_of = [
            None if array is None else _by_example(array, cut, pass_examples)
            for array, cut in zip(arrays, cuts, strict=True)
        ]
        with progress(None, "features", pass_examples.count, " examples") as bar:
            for rows, batch in pass_examples.examples:
                tensors, _ = all_prefixes.run(batch)
                for array, position, cut in zip(rows_of, positions, cuts, strict=True):
                    if array is not None:
                        array[rows] = tf.cast(tensors[position], cut.dtype).numpy()
                bar.update(len(batch))

    stored = store.keep_all(config, requested, fill)
    stored = [
        replace(kept, array=_by_example(kept.array, cut, pass_examples))
        for kept, cut in zip(stored, cuts, strict=True)
    ]
    return dict(zip(names, stored, strict=True))


def _by_example(array: Any, cut: Cut, pass_examples: PassExamples) -> Any:
    """Returns a stored array such that its rows are examples, even if their lengths differ."""
    return array if cut.shape[0] is not None else ragged.Ragged(array, pass_examples.lengths)


def check_finite(array: np.ndarray, dataset: Dataset, split: str, config: RunConfig) -> None:
    """Raises ValueError if pooled features, `(examples, channels)`, are NaN or infinite."""
    bad, model = np.flatnonzero(~np.isfinite(array).all(axis=1)), config.model
    if bad.size:
        nouns = dataset.nouns[1]
        raise ValueError(
            f"model.backbone: {model.backbone!r} with weights {model.weights!r} computes features "
            f"that are NaN or infinite for {bad.size} of {len(array)} {nouns} of {split}, the "
            f"first {dataset.splits[split][bad[0]].file!r}; expected finite features; check the "
            "weights, and check that the backbone was trained on the values into which "
            f"model.preprocessing turns {part(config.modality, 'config').SCALE}"
        )


def outputs(infer: Inference, inputs: Inputs) -> np.ndarray:
    """Returns a model's outputs on all examples as an array, `(examples, ...) float32`.

    For an example that is longer than the model takes, this is the mean over its windows.
    """
    return over_windows(functools.partial(_outputs, infer), inputs)


def _outputs(infer: Inference, inputs: Inputs) -> np.ndarray:
    array = np.empty((len(inputs), *infer.shape), np.float32)
    if inputs.array is None:
        _run(infer, batches.evaluation(inputs, BATCH_SIZE), array, "predict")
    else:  # Starting a tf.data pipeline takes longer than computing a few batches.
        for rows in progress(batches.chunks(inputs, BATCH_SIZE), "predict", unit=" batches"):
            examples = tf.nest.map_structure(tf.constant, inputs.take(rows))
            array[rows] = infer(examples).numpy()
    return array


def outputs_of_views(infer: Inference, inputs: Inputs, how: Training, views: int) -> np.ndarray:
    """Returns a model's mean outputs over several views of each example, `(examples, ...) float32`.

    The first view is the unaugmented example; the others are augmented as in training.

    Args:
      views: number of views, the unaugmented one included.
    """
    total = outputs(infer, inputs)
    array = np.empty_like(total)
    for view in range(views - 1):
        _run(infer, batches.view(inputs, BATCH_SIZE, how, view), array, f"view {view + 2}")
        total += array
    return total / np.float32(views)


def _run(infer: Inference, read: Iterable[Any], array: np.ndarray, title: str) -> None:
    """Fills `array`, `(examples, ...)`, with a model's outputs on the batches from `read`."""
    with progress(None, title, len(array), " examples") as bar:
        start = 0
        for batch in read:
            array[start : start + len(batch)] = infer(batch).numpy()
            start += len(batch)
            bar.update(len(batch))
