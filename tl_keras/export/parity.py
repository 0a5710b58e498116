"""Loads an exported file back, runs it on real examples, and compares it with model.keras."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tl_keras.data import batches
from tl_keras.data.inputs import CORES, Inputs
from tl_keras.export.formats import flatbuffer
from tl_keras.run.files import not_a_pattern
from tl_keras.run.progress import progress
from tl_keras.run.result.exports import Latency

Outputs = dict[str, np.ndarray]  # by name: for classes `probabilities (examples, classes)`, ...
Runner = Callable[[Inputs], Outputs]
TIMED_RUNS = 50
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
MOST_AT_ONCE = 8  # interpreters; each has weights and activations of its own


def load_saved_model(folder: Path) -> Runner:
    """The `serve` signature of a SavedModel."""
    with not_a_pattern(folder) as path:
        loaded = tf.saved_model.load(str(path))

    serve = loaded.signatures["serve"]
    (name,) = serve.structured_input_signature[1]

    def run(inputs: Inputs) -> Outputs:
        found = [serve(**{name: x}) for x in batches.evaluation(inputs, 64)]
        return {name: np.concatenate([own[name] for own in found]) for name in found[0]}

    return run


def load_interpreter(file: Path, threads: int = 1) -> Interpreter:
    """An interpreter of a LiteRT file, ready."""
    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def run_once(interpreter: Interpreter, example: np.ndarray) -> Outputs:
    """What a file makes of a prepared example, by name, dequantised where it is integer."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example[None])
    interpreter.invoke()
    found = {}
    for output in interpreter.get_output_details():
        values = interpreter.get_tensor(output["index"])[0]
        scale, zero = output["quantization"]
        found[output["name"]] = (values.astype(np.float32) - zero) * scale if scale else values
    return found


def load_litert(file: Path, silent: bool = False) -> Runner:
    """A LiteRT file, one example at a time on each core.

    Where weights alone are quantised, threads within an example gain little.

    Args:
      silent: without a progress bar of its own.
    """
    interpreters = [load_interpreter(file) for _ in range(min(CORES, MOST_AT_ONCE))]

    def run(inputs: Inputs) -> Outputs:
        found = []
        bar = progress(None, file.stem, len(inputs), " examples", silent=silent)
        with ThreadPoolExecutor(len(interpreters)) as pool:
            for examples in batches.evaluation(inputs, 64).as_numpy_iterator():
                shares = np.array_split(examples, len(interpreters))
                for share in pool.map(_invoke_all, interpreters, shares):
                    found += share
                bar.update(len(examples))
        bar.close()
        return {name: np.stack([own[name] for own in found]) for name in found[0]}

    return run


def _invoke_all(interpreter: Interpreter, examples: np.ndarray) -> list[Outputs]:
    return [_invoke(interpreter, example) for example in examples]


def _invoke(interpreter: Interpreter, example: np.ndarray) -> Outputs:
    """What a file makes of an example, by name, dequantised where it is integer."""
    # float16 may overflow: what is no number is no answer either.
    found = run_once(interpreter, example).items()
    return {name: np.nan_to_num(values, nan=0.0, posinf=0.0) for name, values in found}


def latency(file: Path, inputs: Inputs, threads: int = 1) -> Latency:
    """Milliseconds an example, of 50 runs after 5 unmeasured."""
    loaded = load_interpreter(file, threads)
    example = next(batches.evaluation(inputs, 1).as_numpy_iterator())[0]
    seconds = []
    for _ in range(TIMED_RUNS + 5):
        started = time.perf_counter()
        _invoke(loaded, example)
        seconds.append(time.perf_counter() - started)
    least, median, p95 = np.percentile(seconds[5:], (0, 50, 95)) * 1e3
    found = {"median": median, "p95": p95, "least": least}
    return Latency(**{k: round(float(value), 3) for k, value in found.items()}, threads=threads)


def arena_bytes(content: bytes) -> int | None:
    """Memory for what changes from example to example, as LiteRT's own kernels lay it out, and for
    weights that are unpacked; None where sizes are known only as the file runs.

    Read off the addresses that the interpreter gives its tensors. What a kernel needs while it
    runs, and what a delegate such as XNNPACK takes for itself, is not in it.
    """
    model = flatbuffer.read(content)
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    graph = model.subgraphs[0]
    unpacked = {
        int(operator.outputs[0])
        for operator in graph.operators
        if flatbuffer.kind(model, operator) == "DEQUANTIZE"
        and model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
    }
    made = {int(i) for operator in graph.operators for i in operator.outputs}
    spans = []
    for i in {int(graph.inputs[0]), *made} - unpacked:
        try:
            values = interpreter.tensor(i)()
        except ValueError:  # It has no place yet.
            return None
        start = values.__array_interface__["data"][0]
        spans.append((start, start + values.nbytes))
    weights = sum(interpreter.tensor(i)().nbytes for i in unpacked)
    return max(end for _, end in spans) - min(start for start, _ in spans) + weights


def float_operators(content: bytes) -> dict[str, int]:
    """How many operators of a file take or give floats, by kind; those that quantise or dequantise
    are no arithmetic and left out."""
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    found: dict[str, int] = {}
    for operator in graph.operators:
        kind = flatbuffer.kind(model, operator)
        ends = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
        types = {graph.tensors[i].type for i in ends}
        if kind not in CONVERSIONS and schema.TensorType.FLOAT32 in types:
            found[kind] = found.get(kind, 0) + 1
    return dict(sorted(found.items()))


def num_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
