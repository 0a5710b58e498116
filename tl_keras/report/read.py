"""Reads the files of a run folder into one dataclass, for the report."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tl_keras import tasks
from tl_keras.config.data import DRAWN
from tl_keras.modalities import DEFAULT, MODALITIES, nouns, plain_nouns
from tl_keras.report.drawings.words import split_name
from tl_keras.run.result.whole import Result, parse

FILES = (
    *("config.yaml", "data.json", "findings.json"),
    *("metrics.jsonl", "predictions.csv", "result.json"),
)


class Prediction(NamedTuple):
    """One line of predictions.csv."""

    file: str
    split: str
    label: str
    prediction: str
    probability: float  # Of the predicted class, 0..1; NaN if it cannot be read.
    likelihood: float = math.nan  # Of the label, the same.


# Of classes; others, `p:NAME`, are the probabilities of the classes.
COLUMNS = Prediction._fields[:5]


@dataclass(frozen=True)
class RunFiles:
    """The parsed files of a run folder; a file that is missing leaves its field empty."""

    name: str
    result: Result  # where the run is not finished, without any part
    unread: list[str]  # what of result.json is wrong and left out, a line a field
    finished: bool
    data: dict[str, Any]
    records: list[dict]  # metrics.jsonl: tried strengths of the head, epochs of what follows
    predictions: list[Prediction]
    dropped: int  # Lines of predictions.csv that are not whole.
    config: str  # as it was written
    tree: dict[str, Any]  # the config, parsed
    findings: dict[str, Any]  # what the data check found
    pictures: dict[str, Any]  # pictures/index.json
    folder: Path
    begun: bool  # A training run has started here.

    @property
    def task(self) -> str:
        """`task` of the config; the default where it does not say, or nobody knows it."""
        return _task_of(self.tree)

    @property
    def counts_right(self) -> bool:
        """Whether answers are right or wrong, and the task's main metric the share of right ones:
        else there are no shares, mistakes and confusions to show."""
        return tasks.of(self.task, "words").COUNTS_RIGHT

    @property
    def main(self) -> str:
        """The task's main metric."""
        return tasks.of(self.task, "names").MAIN

    @property
    def answer_nouns(self) -> tuple[str, str]:
        """What an answer is called, and several, as in `("class", "classes")`."""
        return tasks.of(self.task, "names").NOUNS

    @property
    def example_nouns(self) -> tuple[str, str]:
        """What an example is called, and several, as in `("image", "images")`."""
        return nouns(self.modality)

    @property
    def plain_nouns(self) -> tuple[str, str]:
        """The same of what a person sees in it, as in `("picture", "pictures")`."""
        return plain_nouns(self.modality)

    @property
    def source(self) -> str:
        """`data.source` of the config; empty where it does not say."""
        data = _mapping(self.tree.get("data") or {}, self.folder / "config.yaml")
        return str(data.get("source") or "")

    @property
    def modality(self) -> str:
        """The modality of the examples, by the config; that of images where it does not say."""
        data = _mapping(self.tree.get("data") or {}, self.folder / "config.yaml")
        named = data.get("modality")
        return named if named in MODALITIES else DRAWN.get(self.source, DEFAULT)

    @property
    def holds_out(self) -> bool:
        """Whether `val` of its result is of folds, each held out from the model that answered."""
        return self.result.pipeline == "cross_validate"

    def split_name(self, split: str) -> str:
        """A split in words."""
        return "held-out" if self.holds_out and split == "val" else split_name(split)

    @property
    def is_audit(self) -> bool:
        """Whether the folder holds a check of data and no run."""
        return bool(self.findings) and not self.finished and not self.begun


def _task_of(tree: dict[str, Any]) -> str:
    task = tree.get("task")
    return task if isinstance(task, str) and task in tasks.TASKS else tasks.DEFAULT


def read(workdir: Path) -> RunFiles:
    """The run folder's files, parsed.

    Raises:
      ValueError: the folder holds none of them, or one is not what its name says.
    """
    if not any((workdir / name).is_file() for name in FILES):
        raise ValueError(f"report: {str(workdir)!r} is no run folder: it has none of {FILES}")
    tree = _read_config(workdir / "config.yaml")
    predictions, dropped = _read_predictions(workdir / "predictions.csv", _task_of(tree))
    values = _read_json(workdir / "result.json")
    result, wrong = parse(values, _task_of(tree))
    return RunFiles(
        name=workdir.resolve().name,
        result=result,
        unread=wrong if values else [],
        finished=bool(values),
        data=_read_json(workdir / "data.json"),
        records=_read_records(workdir / "metrics.jsonl"),
        predictions=predictions,
        dropped=dropped,
        config=_read_text(workdir / "config.yaml"),
        tree=tree,
        findings=_read_json(workdir / "findings.json"),
        pictures=_read_json(workdir / "pictures" / "index.json"),
        folder=workdir,
        begun=(workdir / "checkpoint").is_dir() or (workdir / "metrics.jsonl").is_file(),
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_json(path: Path) -> dict:
    text = _read_text(path)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"report: {path} is no JSON: {error}") from error
    return _mapping(value, path)


def _mapping(value: Any, path: Path) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"report: {path} must hold an object; received {type(value).__name__}")
    return value


def _read_records(path: Path) -> list[dict]:
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    records = {}
    for i, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError as error:
            if i == len(lines) - 1:  # A killed run may leave half a line.
                break
            raise ValueError(f"report: {path}, line {i + 1} is no JSON: {error}") from error
        # A resumed run repeats the epoch that it was killed in: the last one counts.
        records[(record.get("stage"), record.get("epoch", i))] = record
    return list(records.values())


def _read_predictions(path: Path, task: str) -> tuple[list[Prediction], int]:
    if not path.is_file():
        return [], 0
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        wanted = ["file", "split", *tasks.of(task, "predictions").header(())]
        missing = [name for name in wanted if name not in header]
        if missing:
            raise ValueError(f"report: {path} lacks the columns {missing}; received {header[:8]}")
        index = {name: i for i, name in enumerate(header)}
        rows = list(lines)
        whole = [_prediction(line, index) for line in rows if len(line) == len(header)]
        return whole, len(rows) - len(whole)


def _prediction(line: list[str], index: dict[str, int]) -> Prediction:
    cells = [line[index[name]] if name in index else "" for name in COLUMNS]
    file, split, label, prediction, probability = cells
    known = index.get(f"p:{label}")
    likelihood = math.nan if known is None else _float(line[known])
    return Prediction(file, split, label, prediction, _float(probability), likelihood)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _read_config(path: Path) -> dict:
    try:
        tree = YAML(typ="safe", pure=True).load(_read_text(path)) or {}
    except YAMLError as error:
        raise ValueError(f"report: {path} is no YAML: {error}") from error
    return _mapping(tree, path)
