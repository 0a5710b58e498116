"""The float32 LiteRT file of a SavedModel, which all other formats are made of."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tl_keras import tasks
from tl_keras.data.batches import examples_of
from tl_keras.data.inputs import Inputs
from tl_keras.export.formats import flatbuffer


def calibration_examples(train: Inputs, count: int, task: str = tasks.DEFAULT) -> np.ndarray:
    """At most `count` training examples, strata such as classes in turn, `(examples, ...)`."""
    strata = tasks.of(task, "targets").strata(train.labels)
    return examples_of(train.part(in_turn(strata, count)))


def in_turn(strata: np.ndarray, count: int) -> np.ndarray:
    """Places of at most `count` examples, as many of each stratum as there are, in order."""
    rank = np.empty(len(strata), np.int64)  # of an example within its stratum
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((strata, rank))[:count])


def convert(saved_model: Path, allow_flex: bool = False) -> bytes:
    """A LiteRT file of the signature `serve`.

    Args:
      allow_flex: whether it may need TensorFlow's own operators, which few devices have.

    Raises:
      ValueError: it needs them, and may not; or not even these are enough.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serve"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if allow_flex:
        converter.target_spec.supported_ops.append(tf.lite.OpsSet.SELECT_TF_OPS)
    try:
        model = flatbuffer.read(converter.convert())
    except ConverterError as error:
        needed = sorted(set(re.findall(r"tf\.(\w+)\(", str(error))))
        if not needed:
            raise
        raise ValueError(_lacking(needed, allow_flex)) from None
    flatbuffer.order_outputs(model)
    return flatbuffer.write(model)


def _lacking(operators: list[str], allow_flex: bool) -> str:
    names = ", ".join(operators)
    if allow_flex:
        return (
            f"export.formats: neither LiteRT nor Flex has an operator for {names}, which "
            "model.backbone needs; expected a backbone without, or [saved_model]"
        )
    return (
        f"export.allow_flex: LiteRT has no operator of its own for {names}, which model.backbone "
        "needs; expected a backbone without, or true for devices that bring TensorFlow's (Flex), "
        "or export.formats: [saved_model]"
    )
