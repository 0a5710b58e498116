"""Runs all commands on the toy modality and both tasks: `python -m toy.runs FOLDER`.

Prints the results as a JSON object, which test_toy.py checks.
"""

import json
import sys
from pathlib import Path

import toy

toy.install()

import numpy as np  # noqa: E402

import tl_keras  # noqa: E402

LENGTH = 8


def rows(folder: Path, means: np.ndarray, count: int, seed: int) -> None:
    """Writes class folders of files with one row of numbers each."""
    generator = np.random.default_rng(seed)
    for name, mean in enumerate(means):
        (folder / f"kind {name}").mkdir(parents=True)
        for i in range(count):
            row = mean + 0.8 * generator.normal(size=LENGTH)
            (folder / f"kind {name}" / f"{i}.txt").write_text(" ".join(map("{:.4f}".format, row)))


def numbers(folder: Path) -> None:
    """Writes a table of rows that are labelled with numbers."""
    generator = np.random.default_rng(2)
    weights, lines = generator.normal(size=LENGTH), ["path,label"]
    folder.mkdir()
    for i in range(120):
        row = generator.normal(size=LENGTH)
        (folder / f"{i}.txt").write_text(" ".join(map("{:.4f}".format, row)))
        lines.append(f"{i}.txt,{weights @ row + np.sin(3 * row[0]):.4f}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")


def trees(folder: Path) -> dict[str, dict]:
    """Pretrains a backbone, and returns a config for each task that starts from it."""
    generator = np.random.default_rng(0)
    rows(folder / "earlier", generator.normal(size=(4, LENGTH)), 30, 1)
    rows(folder / "kinds", generator.normal(size=(3, LENGTH)), 30, 3)
    (folder / "kinds" / "kind 0" / "bad.txt").write_text("not a number")
    numbers(folder / "numbers")
    base = {
        "rows": {"length": LENGTH, "noise": 0.1},
        "model": {"backbone": "ToyGated", "weights": "none"},
        "fit": {"epochs": 3, "batch_size": 16},
        "cache": {"path": str(folder / "cache")},
        "export": {"formats": ["float32", "int8"]},
    }
    data = {"path": str(folder / "earlier"), "modality": "rows"}
    earlier = tl_keras.pretrain({**base, "data": data}, folder / "pretrained")
    base["model"] = {"backbone": "ToyGated", "weights": str(earlier.workdir)}
    base["fit"] = {**base["fit"], "freeze": 0.5, "learning_rate": 3e-3}
    table = {"source": "csv", "path": str(folder / "numbers" / "data.csv"), "modality": "rows"}
    return {
        "classification": {**base, "data": {**data, "path": str(folder / "kinds")}},
        "numbers": {**base, "task": "numbers", "data": table},
    }


def main(folder: Path) -> None:
    results = {}
    space = {"fit.freeze": "blocks", "fit.learning_rate": [1e-3, 3e-2]}
    for task, tree in trees(folder).items():
        (folder / f"{task}.json").write_text(json.dumps(tree))
        of_task = results[task] = {}
        of_task["audit"] = tl_keras.audit(tree, folder / task / "audit").findings
        searched = {**tree, "search": {"trials": 3, "space": space}}
        for command, config in {
            "finetune": tree,
            "search": searched,
            "cross_validate": {**tree, "cross_validate": {"folds": 2}},
        }.items():
            run = getattr(tl_keras, command)(config, folder / task / command)
            of_task[command] = json.loads((run.workdir / "result.json").read_text())
            of_task[f"{command} report"] = run.report.read_text()
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
