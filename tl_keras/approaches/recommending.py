"""Which of several runs to take, by the examples that all of them answered."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras.tasks.classification import paired_interval

Answers = dict[str, dict[str, bool]]  # By split and file, whether a run is right.


def recommended(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """The approach that is right most often on the validation examples that all answered, of equals
    the first in order; how the others stand against it there, and on test, which decides nothing.
    Nothing where they share no validation example."""
    found: dict[str, Any] = {}
    for split, right in _shared(answers).items():
        count = len(next(iter(right.values())))
        if split == "val":
            found["best"] = max(right, key=lambda name: right[name].mean())
        elif "best" not in found:
            break
        found[split] = {"n": count, "against": _against(found["best"], right)}
    return found


def brought(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """By split, how a chain stands against its last step alone, example by example."""
    both = {name: answers[name] for name in ("chain", "finetune")}
    return {
        split: {"n": len(right["chain"]), **_against("chain", right)["finetune"]}
        for split, right in _shared(both).items()
    }


def _shared(answers: Mapping[str, Answers]) -> dict[str, dict[str, np.ndarray]]:
    """By split that all have answered examples of, and by run, whether it is right on each."""
    found = {}
    for split in ("val", "test"):
        own = {name: by.get(split, {}) for name, by in answers.items()}
        files = sorted(set.intersection(*(set(right) for right in own.values())))
        if files:
            found[split] = {name: np.array([by[f] for f in files]) for name, by in own.items()}
    return found


def answers_of(folder: Path) -> Answers:
    """What `predictions.csv` of a run says of its answers."""
    found: Answers = {}
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["split"], {})[row["file"]] = row["prediction"] == row["label"]
    return found


def _against(best: str, right: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, own in right.items():
        if name == best:
            continue
        won, lost = int((right[best] & ~own).sum()), int((own & ~right[best]).sum())
        low, high = paired_interval(won, lost, len(own))
        difference = (won - lost) / len(own)
        found[name] = {"won": won, "lost": lost, "difference": difference, "interval": [low, high]}
    return found
