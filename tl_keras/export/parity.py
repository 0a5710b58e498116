"""Loads an exported file back, runs it on real images, and compares it with model.keras."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tqdm import tqdm

from tl_keras.data import batches
from tl_keras.data.batches import Inputs
from tl_keras.evaluate import paired_interval

Runner = Callable[[Inputs], np.ndarray]  # images to (examples, classes) float32 probabilities
TIMED_RUNS = 50
MOST_AT_ONCE = 8  # interpreters; each has weights and activations of its own


def load_saved_model(folder: Path) -> Runner:
    """The `serve` signature of a SavedModel."""
    loaded = tf.saved_model.load(str(folder))

    def run(inputs: Inputs) -> np.ndarray:
        found = [
            loaded.signatures["serve"](image=images)["probabilities"].numpy()
            for images in batches.evaluation(inputs, 64)
        ]
        return np.concatenate(found)

    return run


def load_litert(file: Path) -> Runner:
    """A LiteRT file, one image at a time on each core.

    Where weights alone are quantised, threads within an image gain little.
    """
    interpreters = [_interpreter(file, 1) for _ in range(min(batches.CORES, MOST_AT_ONCE))]

    def run(inputs: Inputs) -> np.ndarray:
        found = []
        bar = tqdm(total=len(inputs), desc=file.stem, unit=" images", leave=False)
        with ThreadPoolExecutor(len(interpreters)) as pool:
            for images in batches.evaluation(inputs, 64).as_numpy_iterator():
                shares = np.array_split(images, len(interpreters))
                found += itertools.chain(*pool.map(_invoke_all, interpreters, shares))
                bar.update(len(images))
        bar.close()
        return np.stack(found)

    return run


def _invoke_all(interpreter: Interpreter, images: np.ndarray) -> list[np.ndarray]:
    return [_invoke(interpreter, image) for image in images]


def _interpreter(file: Path, threads: int) -> Interpreter:
    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _invoke(interpreter: Interpreter, image: np.ndarray) -> np.ndarray:
    """Probabilities `(classes,) float32`, dequantised where the file's output is integer."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    output = interpreter.get_output_details()[0]
    values = interpreter.get_tensor(output["index"])[0]
    scale, zero_point = output["quantization"]
    if scale:
        values = (values.astype(np.float32) - zero_point) * np.float32(scale)
    return values


def compare(found: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, agreement of decisions, and largest difference of a probability."""
    return {
        "accuracy": float((found.argmax(-1) == labels).mean()),
        "agreement": float((found.argmax(-1) == reference.argmax(-1)).mean()),
        "max_abs_diff": float(np.abs(found - reference).max()),
    }


def status_of_accuracy(
    found: np.ndarray, reference: np.ndarray, labels: np.ndarray, bound: float
) -> str:
    """ "ok" unless the 95% interval of the accuracy lost, paired by example, lies over `bound`."""
    lost = (reference.argmax(-1) == labels).astype(int) - (found.argmax(-1) == labels)
    low, high = paired_interval(int((lost == 1).sum()), int((lost == -1).sum()), len(lost))
    if low <= bound:
        return "ok"
    return (
        f"loses {lost.mean():.3f} of accuracy on validation (95% interval {low:.3f} to "
        f"{high:.3f}), over export.max_accuracy_drop {bound:g}"
    )


def latency(file: Path, inputs: Inputs) -> dict[str, Any]:
    """Milliseconds an image on one thread: `median` and `p95` of 50 runs after 5 unmeasured."""
    interpreter = _interpreter(file, 1)
    image = next(batches.evaluation(inputs, 1).as_numpy_iterator())[0]
    seconds = []
    for _ in range(TIMED_RUNS + 5):
        started = time.perf_counter()
        _invoke(interpreter, image)
        seconds.append(time.perf_counter() - started)
    median, p95 = np.percentile(seconds[5:], (50, 95)) * 1e3
    return {"median": round(float(median), 3), "p95": round(float(p95), 3), "threads": 1}


def num_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
