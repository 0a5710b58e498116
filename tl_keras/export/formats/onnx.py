"""Writes ONNX files with tf2onnx and runs them with ONNX Runtime.

Both are installed with the extra `onnx` of this package.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export.formats import saved_model
from tl_keras.export.formats.saved_model import Abstains

OPSET = 17  # Runtimes since 2022 read this version.


def write(model: keras.Model, file: Path, abstains: Abstains | None) -> None:
    """Writes a model as an ONNX file, from the prepared example to the answer.

    Args:
      abstains: computes a second output, `abstain` (1 if the model abstains), from the
        answers; None to write the model without this output.
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
    """Returns a function that runs an ONNX file on prepared examples.

    It returns `{output name: array (examples, ...)}`. The names are the name of the answer, such as
    `probabilities`, and `abstain` if the file has this output.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names, name = [output.name for output in session.get_outputs()], session.get_inputs()[0].name

    def run(inputs: Inputs) -> dict[str, np.ndarray]:
        examples = batches.evaluation(inputs, 64).as_numpy_iterator()
        outputs = zip(*(session.run(names, {name: x}) for x in examples), strict=True)
        return {key: np.concatenate(parts) for key, parts in zip(names, outputs, strict=True)}

    return run
