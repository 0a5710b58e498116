"""Measures a model on val and test, and writes its predictions and explanations to files."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.data import doctor
from tl_keras.data.prepared import Data
from tl_keras.maybe import Maybe
from tl_keras.modalities import part
from tl_keras.run import predictions
from tl_keras.run.result.part import Scores, Views
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.architecture import reading
from tl_keras.training.network.fold_batch_norm import Inference

Answers = dict[str, np.ndarray]  # Maps a split to answers, `(examples, columns)`.
Answered = tuple[Sequence[str], np.ndarray, np.ndarray]  # Files, labels and answers of one split.


def predict(
    run: Run, model: keras.Model, data: Data, splits: Sequence[str] = ("val", "test")
) -> Answers:
    """Returns {split: the model's answers on its examples, `(examples, columns) float32`}.

    For classification, there is one column per class. Splits without examples are left out.
    """
    with run.timed("evaluate"):
        infer = Inference(model)
        return {
            split: features.outputs(infer, data.inputs[split])
            for split in splits
            if len(data.inputs[split])
        }


def evaluate(
    run: Run, model: keras.Model, data: Data, probabilities: Answers
) -> dict[str, Maybe[Scores]]:
    """Measures a model; writes `predictions.csv`, and heat maps and augmented views to `pictures/`.

    Args:
      probabilities: the model's answers, see `predict`.

    Returns:
      The fields `val` and `test` of `result.json`: the scores of each split; None for a split
      without examples.
    """
    with run.timed("evaluate"):
        measured = _evaluate(run, model, data, probabilities)
    with run.timed("explain"):
        folder = run.workdir / "pictures"
        explain = part(run.config.modality, "explain")
        explain.pictures(model, data.dataset, data.inputs, probabilities, run.config, folder)
    return measured


def _evaluate(
    run: Run, model: keras.Model, data: Data, probabilities: Answers
) -> dict[str, Maybe[Scores]]:
    names, answered, task = data.dataset.classes, {}, run.config.task
    measured: dict[str, Maybe[Scores]] = {"val": None, "test": None}
    for split, answers in probabilities.items():
        labels = data.inputs[split].labels
        measured[split] = tasks.of(task, "metrics").measure(answers, labels, names)
        files = [example.file for example in data.dataset.splits[split]]
        # In cross-validation, val has the answers of many models, one per fold: views need one.
        if run.config.evaluate.views > 1 and not (split == "val" and data.dataset.whole):
            views = _of_views(run, model, data, split)
            measured[split] = measured[split].model_copy(update={"views": views})
        if split == list(probabilities)[-1]:
            _measure_without_copies(run, split, files, answers, labels, names)
        answered[split] = files, labels, answers
    write_predictions(run, names, answered)
    return measured


def write_predictions(run: Run, names: Sequence[str], answered: Mapping[str, Answered]) -> None:
    """Writes `predictions.csv`.

    Args:
      names: names of the answers, such as class names.
      answered: files, labels and answers of each split.
    """
    columns = tasks.of(run.config.task, "predictions")
    lines = [
        [file, split, *columns.row(answer, label, names)]
        for split, parts in answered.items()
        for file, label, answer in zip(*parts, strict=True)
    ]
    predictions.write(run, columns.header(names), lines)


def read_answers(run: Run) -> dict[str, np.ndarray]:
    """Reads `predictions.csv`; returns {file: answer `(width,) float64`} in the order of rows."""
    read = tasks.of(run.config.task, "predictions").read
    return {file: read(cells) for file, cells in predictions.read(run).items()}


def _of_views(run: Run, model: keras.Model, data: Data, split: str) -> Views:
    """Averages the answers on several views of each example; returns scores of the mean answers.

    The number of views is `evaluate.views`; the first is the unaugmented example.
    """
    how, views = reading(run.config, data.dataset), run.config.evaluate.views
    probabilities = features.outputs_of_views(Inference(model), data.inputs[split], how, views)
    metrics = tasks.of(run.config.task, "metrics")
    measured = metrics.measure(probabilities, data.inputs[split].labels, data.dataset.classes)
    return Views(count=views, **{name: measured[name] for name in metrics.IN_SHORT if name != "n"})


def _measure_without_copies(
    run: Run,
    split: str,
    files: list[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
) -> None:
    """Measures the model on the examples of a split that have no near-duplicate in earlier splits.

    The splits are ordered train, val, test.
    The result goes to the run's findings, as `without_near_duplicates`.
    """
    copies = doctor.copied(run.findings.get("near_duplicates", []), split)
    kept = np.array([file not in copies for file in files])
    if kept.all() or not kept.any():
        return
    task = run.config.task
    measured = tasks.of(task, "metrics").measure(probabilities[kept], labels[kept], names)
    shown = {name: measured[name] for name in (tasks.of(task, "names").MAIN, "interval", "n")}
    run.find(without_near_duplicates={"split": split, **shown, "removed": int((~kept).sum())})
