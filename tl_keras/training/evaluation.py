"""How a model does on val and test: its answers, their scores, and the files that show both."""

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

Answers = dict[str, np.ndarray]  # By split, `(examples, width)`.
Answered = tuple[Sequence[str], np.ndarray, np.ndarray]  # Files, labels and answers of a split.


def predict(
    run: Run, model: keras.Model, data: Data, splits: Sequence[str] = ("val", "test")
) -> Answers:
    """The model's answers on val and, where there is one, test: `(examples, width) float32`."""
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
    """`val` and `test` of `result.json`; writes `predictions.csv` and `pictures/`."""
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
    for split, found in probabilities.items():
        labels = data.inputs[split].labels
        measured[split] = tasks.of(task, "metrics").measure(found, labels, names)
        files = [example.file for example in data.dataset.splits[split]]
        # Of folds each has its own model, and val is of all of them.
        if run.config.evaluate.views > 1 and not (split == "val" and data.dataset.whole):
            views = _of_views(run, model, data, split)
            measured[split] = measured[split].model_copy(update={"views": views})
        if split == list(probabilities)[-1]:
            _measure_without_copies(run, split, files, found, labels, names)
        answered[split] = files, labels, found
    write_predictions(run, names, answered)
    return measured


def write_predictions(run: Run, names: Sequence[str], answered: Mapping[str, Answered]) -> None:
    """Writes `predictions.csv`.

    Args:
      names: of the answers.
      answered: by split.
    """
    columns = tasks.of(run.config.task, "predictions")
    lines = [
        [file, split, *columns.row(answer, label, names)]
        for split, parts in answered.items()
        for file, label, answer in zip(*parts, strict=True)
    ]
    predictions.write(run, columns.header(names), lines)


def read_answers(run: Run) -> dict[str, np.ndarray]:
    """By file, in the order of `predictions.csv`, the answer on it, `(width,) float64`."""
    read = tasks.of(run.config.task, "predictions").read
    return {file: read(cells) for file, cells in predictions.read(run).items()}


def _of_views(run: Run, model: keras.Model, data: Data, split: str) -> Views:
    """Scores of answers that are the mean over `evaluate.views` views of each example."""
    how, views = reading(run.config, data.dataset), run.config.evaluate.views
    probabilities = features.outputs_of_views(Inference(model), data.inputs[split], how, views)
    metrics = tasks.of(run.config.task, "metrics")
    found = metrics.measure(probabilities, data.inputs[split].labels, data.dataset.classes)
    return Views(count=views, **{name: found[name] for name in metrics.IN_SHORT if name != "n"})


def _measure_without_copies(
    run: Run,
    split: str,
    files: list[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
) -> None:
    """Adds to the findings the score without examples that have a near-duplicate in another
    split."""
    copies = doctor.copied(run.findings.get("near_duplicates", []), split)
    kept = np.array([file not in copies for file in files])
    if kept.all() or not kept.any():
        return
    task = run.config.task
    found = tasks.of(task, "metrics").measure(probabilities[kept], labels[kept], names)
    named = {name: found[name] for name in (tasks.of(task, "names").MAIN, "interval", "n")}
    run.find(without_near_duplicates={"split": split, **named, "removed": int((~kept).sum())})
