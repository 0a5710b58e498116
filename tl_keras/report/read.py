"""Reads the files of a run folder into one dataclass for the report."""

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
    """One row of predictions.csv: an example, its label and the answer of the model."""

    file: str
    split: str
    label: str
    prediction: str
    probability: float  # of the predicted class, 0..1; NaN if the cell is not a number
    likelihood: float = math.nan  # probability of the labelled class, likewise


# Columns for classification. Further columns, `p:NAME`, hold the probability of each class.
COLUMNS = Prediction._fields[:5]


@dataclass(frozen=True)
class RunFiles:
    """The parsed files of a run folder; a missing file leaves its field empty."""

    name: str
    result: Result  # has no parts while the run is not finished
    unread: list[str]  # fields of result.json that are missing or wrong, one line each
    finished: bool
    data: dict[str, Any]
    records: list[dict]  # metrics.jsonl: regularisation strengths tried for the head, then epochs
    predictions: list[Prediction]
    dropped: int  # incomplete lines of predictions.csv
    of_teacher: list[Prediction]  # by fold models of the first teacher, on held-out examples
    config: str  # text of config.yaml
    tree: dict[str, Any]  # config.yaml, parsed
    findings: dict[str, Any]  # findings.json, from the data check
    pictures: dict[str, Any]  # pictures/index.json
    folder: Path
    begun: bool  # whether training has started in this folder

    @property
    def task(self) -> str:
        """The task from the config; the default task if the field is missing or unknown."""
        return _task_of(self.tree)

    @property
    def counts_right(self) -> bool:
        """Whether the task's main metric is the share of right answers.

        The answers of other tasks, such as regression, are not simply right or wrong, so there are
        no mistakes and no confusion matrix to show.
        """
        return tasks.of(self.task, "words").COUNTS_RIGHT

    @property
    def main(self) -> str:
        """The name of the task's main metric."""
        return tasks.of(self.task, "names").MAIN

    @property
    def answer_nouns(self) -> tuple[str, str]:
        """Singular and plural noun for an answer, such as `("class", "classes")`."""
        return tasks.of(self.task, "names").NOUNS

    @property
    def example_nouns(self) -> tuple[str, str]:
        """Singular and plural noun for an example, such as `("image", "images")`."""
        return nouns(self.modality)

    @property
    def plain_nouns(self) -> tuple[str, str]:
        """Everyday singular and plural noun for an example, such as `("picture", "pictures")`."""
        return plain_nouns(self.modality)

    @property
    def source(self) -> str:
        """The value of `data.source` in the config; "" if the field is missing."""
        data = _mapping(self.tree.get("data") or {}, self.folder / "config.yaml")
        return str(data.get("source") or "")

    @property
    def modality(self) -> str:
        """The modality of the examples: `data.modality`, or else the one of the data source.

        If neither is known, the default modality.
        """
        data = _mapping(self.tree.get("data") or {}, self.folder / "config.yaml")
        named = data.get("modality")
        return named if named in MODALITIES else DRAWN.get(self.source, DEFAULT)

    @property
    def holds_out(self) -> bool:
        """Whether the scores of the split `val` come from cross-validation.

        In cross-validation, each example is answered by a model that was not trained on it.
        """
        return self.result.pipeline == "cross_validate"

    def split_name(self, split: str) -> str:
        """Returns the word for a split in a sentence, such as "test".

        "val" is "validation", or "held-out" in cross-validation.
        """
        return "held-out" if self.holds_out and split == "val" else split_name(split)

    @property
    def is_audit(self) -> bool:
        """Whether the folder holds only a data check, without a training run."""
        return bool(self.findings) and not self.finished and not self.begun


def _task_of(tree: dict[str, Any]) -> str:
    task = tree.get("task")
    return task if isinstance(task, str) and task in tasks.TASKS else tasks.DEFAULT


def read(workdir: Path) -> RunFiles:
    """Returns the parsed files of a run folder.

    Raises:
      ValueError: the folder has none of the files in `FILES`, or one of them cannot be parsed.
    """
    if not any((workdir / name).is_file() for name in FILES):
        raise ValueError(
            f"report: {str(workdir)!r} {_why_not_a_run(workdir)}; pass the folder that was the "
            "--workdir of a run"
        )
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
        of_teacher=_read_held_out(workdir / "teacher", _task_of(tree)),
        config=_read_text(workdir / "config.yaml"),
        tree=tree,
        findings=_read_json(workdir / "findings.json"),
        pictures=_read_json(workdir / "pictures" / "index.json"),
        folder=workdir,
        begun=(workdir / "checkpoint").is_dir() or (workdir / "metrics.jsonl").is_file(),
    )


def _why_not_a_run(workdir: Path) -> str:
    if not workdir.exists():
        return "does not exist"
    if not workdir.is_dir():
        return "is a file, not a run folder"
    inside = sorted(path.parent.name for path in workdir.glob("*/result.json"))
    runs = f". Its subfolder {inside[0]!r} is a run folder" if inside else ""
    return f"is not a run folder: it has none of {', '.join(FILES)}{runs}"


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_json(path: Path) -> dict:
    text = _read_text(path)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"report: {path} is not valid JSON: {error}") from error
    return _mapping(value, path)


def _mapping(value: Any, path: Path) -> dict:
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ValueError(f"report: {path} must hold an object with named fields; received {kind}")
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
            message = f"report: {path}, line {i + 1} is not valid JSON: {error}"
            raise ValueError(message) from error
        # A resumed run repeats the epoch in which it was killed: the last record counts.
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
            raise ValueError(
                f"report: {path} lacks the columns {missing}; its first columns are {header[:8]}"
            )
        index = {name: i for i, name in enumerate(header)}
        rows = list(lines)
        whole = [_prediction(line, index) for line in rows if len(line) == len(header)]
        return whole, len(rows) - len(whole)


def _read_held_out(teacher: Path, task: str) -> list[Prediction]:
    """Returns one answer for each labelled example, by a model that was not trained on it.

    Only the folds of the first repetition are used.
    """
    folds = [path for path in teacher.glob("fold_*") if path.name.removeprefix("fold_").isdigit()]
    answers: dict[str, Prediction] = {}
    for fold in sorted(folds, key=lambda path: int(path.name.removeprefix("fold_"))):
        for answer in _read_predictions(fold / "predictions.csv", task)[0]:
            answers.setdefault(answer.file, answer)
    return list(answers.values())


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
        raise ValueError(f"report: {path} is not valid YAML: {error}") from error
    return _mapping(tree, path)
