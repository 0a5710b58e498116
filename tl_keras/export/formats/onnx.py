"""Writes ONNX files with tf2onnx and runs them with ONNX Runtime; the extra `onnx` has both."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tl_keras.data import batches
from tl_keras.data.inputs import Inputs
from tl_keras.export.formats import saved_model
from tl_keras.export.formats.saved_model import Abstains

OPSET = 17  # Runtimes since 2022 read this version.


def write(model: keras.Model, file: Path, abstains: Abstains | None) -> None:
    """Writes an ONNX file of the function `serve`, from the model's input to its answer.

    Args:
      abstains: computes the second output, `abstain`; None for no such output.
    """
    import tensorflow as tf
    import tf2onnx

    serve = saved_model.serving(model, None, abstains)
    signature = [tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype, model.input.name)]
    proto, _ = tf2onnx.convert.from_function(serve, signature, opset=OPSET)
    outputs = sorted(proto.graph.output, key=lambda output: output.name == "abstain")
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    for end in (*proto.graph.input, *outputs):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    file.write_bytes(proto.SerializeToString())


def load(file: Path) -> Callable[[Inputs], dict[str, np.ndarray]]:
    """Returns a function from prepared examples to the outputs by name, `(examples, ...)`.

    The names are those of `saved_model.serving`: the answer's, such as `probabilities`, and maybe
    `abstain`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names, name = [output.name for output in session.get_outputs()], session.get_inputs()[0].name

    def run(inputs: Inputs) -> dict[str, np.ndarray]:
        examples = batches.evaluation(inputs, 64).as_numpy_iterator()
        outputs = zip(*(session.run(names, {name: x}) for x in examples), strict=True)
        return {key: np.concatenate(parts) for key, parts in zip(names, outputs, strict=True)}

    return run
