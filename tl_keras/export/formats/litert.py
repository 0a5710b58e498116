"""Converts a SavedModel to a float32 LiteRT file, from which the quantised files are made."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tl_keras import tasks
from tl_keras.data.batching.batches import examples_of
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export.formats import flatbuffer


def calibration_examples(train: Inputs, count: int, task: str = tasks.DEFAULT) -> np.ndarray:
    """Returns at most `count` prepared training examples, `(examples, ...)`.

    They are spread evenly over the task's strata: for classification, over the classes.
    """
    strata = tasks.of(task, "targets").strata(train.labels)
    return examples_of(train.part(balanced(strata, count)))


def balanced(strata: np.ndarray, count: int) -> np.ndarray:
    """Returns sorted positions of at most `count` examples, spread evenly over the strata.

    If a stratum has fewer examples than its equal share, all its examples are included.

    Args:
      strata: the stratum of each example, such as its class, `(examples,) int`.
    """
    rank = np.empty(len(strata), np.int64)  # position of an example within its stratum
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((strata, rank))[:count])


def convert(saved_model: Path, allow_flex: bool = False) -> bytes:
    """Converts the signature `serve` of a SavedModel, and returns the content of the LiteRT file.

    The converter gives the input and output tensors names of its own. `metadata.add` renames them
    to their names in the signature.

    Args:
      allow_flex: whether the file may use TensorFlow's operators (Flex), which few devices have.

    Raises:
      ValueError: the model needs an operator that LiteRT lacks, and Flex is not allowed or does not
        have the operator either.
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
            f"model.backbone needs; expected a backbone without {names}, or "
            "export.formats: [saved_model]"
        )
    return (
        f"export.allow_flex: LiteRT has no operator of its own for {names}, which model.backbone "
        f"needs; expected a backbone without {names}, or export.formats: [saved_model], or, for "
        "devices whose runtime includes TensorFlow's operators (Flex), export.allow_flex: true"
    )
