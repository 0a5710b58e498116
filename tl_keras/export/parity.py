"""Loads an exported file, runs it on real examples, and measures its speed and memory."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import CORES, Inputs
from tl_keras.export.formats import flatbuffer
from tl_keras.export.formats.feeding import feed
from tl_keras.run.files import not_a_pattern
from tl_keras.run.progress import progress
from tl_keras.run.result.exports import Latency

# Outputs by name; for classification `probabilities`, `(examples, classes)`, is one of them.
Outputs = dict[str, np.ndarray]
Runner = Callable[[Inputs], Outputs]
TIMED_RUNS = 50
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
MOST_AT_ONCE = 8  # interpreters in parallel; each holds its own copy of weights and activations


def load_saved_model(folder: Path) -> Runner:
    """Returns a function that runs the signature `serve` of a SavedModel on prepared examples."""
    with not_a_pattern(folder) as path:
        loaded = tf.saved_model.load(str(path))

    serve = loaded.signatures["serve"]
    (name,) = serve.structured_input_signature[1]

    def run(inputs: Inputs) -> Outputs:
        outputs = [serve(**{name: x}) for x in batches.evaluation(inputs, 64)]
        return {key: np.concatenate([batch[key] for batch in outputs]) for key in outputs[0]}

    return run


def load_interpreter(file: Path, threads: int = 1) -> Interpreter:
    """Loads a LiteRT file and returns its interpreter, ready to run."""
    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def run_once(interpreter: Interpreter, example: np.ndarray) -> Outputs:
    """Runs a LiteRT file on one prepared example.

    Returns:
      `{output name: array}` for this example. Quantised outputs are converted to floats.
    """
    feed(interpreter, example)
    interpreter.invoke()
    outputs = {}
    for output in interpreter.get_output_details():
        values = interpreter.get_tensor(output["index"])[0]
        scale, zero = output["quantization"]
        outputs[output["name"]] = (values.astype(np.float32) - zero) * scale if scale else values
    return outputs


def load_litert(file: Path, silent: bool = False) -> Runner:
    """Returns a function that runs a LiteRT file on prepared examples, one at a time on each core.

    The alternative, one example on several threads, is hardly faster than on one thread if only
    weights are quantised.

    Args:
      silent: True to hide the progress bar.
    """
    interpreters = [load_interpreter(file) for _ in range(min(CORES, MOST_AT_ONCE))]

    def run(inputs: Inputs) -> Outputs:
        outputs: list[Outputs] = [{}] * len(inputs)
        bar = progress(None, file.stem, len(inputs), " examples", silent=silent)
        with ThreadPoolExecutor(len(interpreters)) as pool:
            for rows, batch in batches.read_chunks(inputs, 64):
                examples = np.asarray(batch)
                shares = np.array_split(examples, len(interpreters))
                answers = [
                    a for share in pool.map(_invoke_all, interpreters, shares) for a in share
                ]
                for row, answer in zip(np.arange(len(inputs))[rows], answers, strict=True):
                    outputs[row] = answer
                bar.update(len(examples))
        bar.close()
        return {name: np.stack([output[name] for output in outputs]) for name in outputs[0]}

    return run


def _invoke_all(interpreter: Interpreter, examples: np.ndarray) -> list[Outputs]:
    return [_invoke(interpreter, example) for example in examples]


def _invoke(interpreter: Interpreter, example: np.ndarray) -> Outputs:
    # An overflow of float16 gives NaN or infinity, which counts as an answer of 0.
    outputs = run_once(interpreter, example).items()
    return {name: np.nan_to_num(values, nan=0.0, posinf=0.0) for name, values in outputs}


def latency(file: Path, inputs: Inputs, threads: int = 1) -> Latency:
    """Returns median, 95th percentile and minimum of the milliseconds for one example.

    They are measured in 50 runs, after 5 runs to warm up. If examples have different lengths, one
    of median length is measured.
    """
    loaded = load_interpreter(file, threads)
    if inputs.lengths is not None:
        inputs = inputs.part(np.argsort(inputs.lengths, kind="stable")[len(inputs) // 2 :][:1])
    example = next(batches.evaluation(inputs, 1).as_numpy_iterator())[0]
    seconds = []
    for _ in range(TIMED_RUNS + 5):
        started = time.perf_counter()
        _invoke(loaded, example)
        seconds.append(time.perf_counter() - started)
    least, median, p95 = np.percentile(seconds[5:], (0, 50, 95)) * 1e3
    measured = {"median": median, "p95": p95, "least": least}
    rounded = {name: round(float(value), 3) for name, value in measured.items()}
    length = None if inputs.lengths is None else int(inputs.lengths[0])
    return Latency(**rounded, threads=threads, length=length)


def arena_bytes(content: bytes) -> int | None:
    """Returns the bytes of memory for activations and unpacked weights while a LiteRT file runs.

    This holds for LiteRT's built-in kernels. It is computed from the addresses that the interpreter
    gives to its tensors. Temporary memory of kernels, and memory of a delegate such as XNNPACK, are
    not included. Returns None if the size of some tensor is unknown before the file runs, and for
    files that take examples of any length.
    """
    model = flatbuffer.read(content)
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    if -1 in interpreter.get_input_details()[0]["shape_signature"][1:]:
        return None
    interpreter.allocate_tensors()
    graph = model.subgraphs[0]
    unpacked = {
        int(operator.outputs[0])
        for operator in graph.operators
        if flatbuffer.kind(model, operator) == "DEQUANTIZE"
        and model.buffers[graph.tensors[operator.inputs[0]].buffer].data is not None
    }
    results = {int(i) for operator in graph.operators for i in operator.outputs}
    spans = []
    for i in {int(graph.inputs[0]), *results} - unpacked:
        try:
            values = interpreter.tensor(i)()
        except ValueError:  # The tensor has no memory yet.
            return None
        start = values.__array_interface__["data"][0]
        spans.append((start, start + values.nbytes))
    weights = sum(interpreter.tensor(i)().nbytes for i in unpacked)
    return max(end for _, end in spans) - min(start for start, _ in spans) + weights


def float_operators(content: bytes) -> dict[str, int]:
    """Returns the number of operators of each kind that have a float input or output.

    Operators that only quantise or dequantise are not counted.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    counts: dict[str, int] = {}
    for operator in graph.operators:
        kind = flatbuffer.kind(model, operator)
        ends = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
        types = {graph.tensors[i].type for i in ends}
        if kind not in CONVERSIONS and schema.TensorType.FLOAT32 in types:
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def num_bytes(path: Path) -> int:
    """Returns the size of a file, or of all files in a folder together."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
