"""ONNX files, by tf2onnx; run by ONNX Runtime. Both come with the extra `onnx`."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from tl_keras.data import batches
from tl_keras.data.inputs import Inputs
from tl_keras.export.formats import saved_model
from tl_keras.export.formats.saved_model import Abstains

OPSET = 17  # What runtimes since 2022 read.


def write(model: keras.Model, file: Path, abstains: Abstains | None) -> None:
    """Writes the signature `serve`: the model's input to its answer."""
    import tensorflow as tf
    import tf2onnx

    serve = saved_model.serving(model, None, abstains)
    signature = [tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype, model.input.name)]
    made, _ = tf2onnx.convert.from_function(serve, signature, opset=OPSET)
    outputs = sorted(made.graph.output, key=lambda own: own.name == "abstain")
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    for end in (*made.graph.input, *outputs):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    file.write_bytes(made.SerializeToString())


def load(file: Path) -> Callable[[Inputs], dict[str, np.ndarray]]:
    """As `parity.load_litert`, of an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names, name = [output.name for output in session.get_outputs()], session.get_inputs()[0].name

    def run(inputs: Inputs) -> dict[str, np.ndarray]:
        read = batches.evaluation(inputs, 64).as_numpy_iterator()
        found = [session.run(names, {name: x}) for x in read]
        columns = zip(*found, strict=True)
        return {name: np.concatenate(own) for name, own in zip(names, columns, strict=True)}

    return run
