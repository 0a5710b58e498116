"""Digests of a model's weights and of its graph, by which a model is recognised."""

import hashlib
import json

import keras
import numpy as np


def digest(model: keras.Model) -> str:
    """Returns the SHA-256 (hex) of a model's weights, in their order in the model.

    Shape, dtype and values of each weight affect the digest; its name does not.
    """
    result = hashlib.sha256()
    for weight in model.weights:
        array = weight.numpy()
        result.update(f"{array.shape} {array.dtype}\n".encode())
        result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def graph_digest(model: keras.Model) -> str:
    """Returns the SHA-256 (hex) of a model's graph: configs and connections of its layers.

    The weights do not affect it.
    """
    layers = json.loads(model.to_json())["config"]["layers"]
    return hashlib.sha256(json.dumps(layers, sort_keys=True).encode()).hexdigest()
