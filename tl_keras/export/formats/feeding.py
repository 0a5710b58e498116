"""Gives an example to the interpreter of a LiteRT file."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tl_keras.data.batching.ragged import lengths_of, padded


def feed(interpreter: Interpreter, example: np.ndarray) -> None:
    """Sets the input of an interpreter, whose tensors are allocated, to one prepared example.

    If the file takes examples of any length, zeros at the end of the example are left out, because
    they are padding.
    """
    entrance = interpreter.get_input_details()[0]
    if -1 in entrance["shape_signature"][1:]:
        example = example[: padded(lengths_of(example[None])[0])]
    shape = (1, *example.shape)
    if tuple(entrance["shape"]) != shape:
        interpreter.resize_tensor_input(entrance["index"], shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(entrance["index"], example[None])
