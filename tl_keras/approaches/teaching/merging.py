"""What the students of a round come to: one model, the one that labelled validation prefers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.approaches.teaching.students import result_of
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run.files import replacing, write_json
from tl_keras.run.result.part import MainScores
from tl_keras.run.result.teaching import Labels, Round, Segment
from tl_keras.run.result.training import ModelRecord
from tl_keras.run.result.whole import Result, to_json
from tl_keras.run.run import Run, read_json
from tl_keras.training import features
from tl_keras.training.network import combine
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

TEACHER = "teacher"  # What a round is merged to where no student is better.


def merge_round(
    run: Run, folder: Path, data: Data, teacher: keras.Model, held_out: np.ndarray | None
) -> tuple[keras.Model, str]:
    """The model that a round comes to, and how: of the students, or still the teacher.

    Args:
      folder: of the round, with its students.
      data: of which val is labelled.
      held_out: `(val, classes)` probabilities where the teacher was trained on validation, too: by
        those of its folds that had not seen the example; else None.
    """
    file = folder / "model.keras"
    if not file.exists():
        with run.timed("merge"):
            _merge(run.config, folder, data, teacher, held_out)
    told = Round.model_validate(read_json(folder / "round.json"))
    run.add(model=told.model)
    logging.info("%s: merged: %s", folder.name, told.merged)
    return models.load(file), told.merged


def _merge(
    config: RunConfig,
    folder: Path,
    data: Data,
    teacher: keras.Model,
    held_out: np.ndarray | None,
) -> None:
    """Writes the round's `round.json` and, last, its model."""
    count = config.parallel.segments
    members = [models.load(folder / f"segment_{i}" / "model.keras") for i in range(count)]
    found = {f"segment_{i}": _answers(member, data) for i, member in enumerate(members)}
    merges = {}
    if count > 1:
        first = models.load(folder / "segment_0" / "model.keras")  # It is changed.
        merges["average"] = combine.average([first, *members[1:]])
        answers = {"average": _answers(merges["average"], data)}
        found |= {**answers, "ensemble": np.mean(list(found.values()), axis=0)}
    found[TEACHER] = _answers(teacher, data) if held_out is None else held_out
    chosen = choose(config, found, data)
    if chosen == "ensemble":
        model = combine.ensemble(members)
    else:
        named = dict(zip(found, members, strict=False))  # The students come first.
        model = {TEACHER: teacher, **merges, **named}[chosen]
    _write_round(folder, chosen, model, found, data)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)


def _answers(model: keras.Model, data: Data) -> np.ndarray:
    return features.outputs(Inference(model), data.inputs["val"])


def choose(config: RunConfig, found: Mapping[str, np.ndarray], data: Data) -> str:
    """What the labelled validation examples prefer; of what they cannot tell apart the average,
    which is as small as one student. The teacher only if it is right more often beyond chance: of
    six examples one that is called wrong with confidence would keep any teacher else."""
    labels = data.inputs["val"].labels
    of_each = tasks.of(config.task, "losses").of_each
    losses = {name: of_each(own, labels)[None] for name, own in found.items()}
    segments = [name for name in losses if name.startswith("segment_")]
    best = min(segments, key=lambda name: losses[name].mean())
    asked = config.parallel.merge
    if asked != "auto":
        return best if asked == "best" or len(segments) == 1 else asked
    first = "average" if "average" in losses else best
    order = dict.fromkeys([first, best, "ensemble"])
    choice, scores = tasks.of(config.task, "choice"), tasks.of(config.task, "metrics").scores
    chosen = choice.choose({name: losses[name] for name in order if name in losses})
    taught, before = (scores(found[name], labels) for name in (chosen, TEACHER))
    return TEACHER if choice.against(before, taught)["interval"][0] > 0 else chosen


def _write_round(
    folder: Path, chosen: str, model: keras.Model, found: Mapping[str, np.ndarray], data: Data
) -> None:
    """Writes what `rounds` of `result.json` has of this one."""
    labels, names = data.inputs["val"].labels, data.dataset.classes
    task = data.dataset.task
    metrics = tasks.of(task, "metrics")
    count = sum(name.startswith("segment_") for name in found)
    results = [result_of(folder, i, task) for i in range(count)]
    standing = {}
    for name, own in found.items():
        scores = metrics.measure(own, labels, names)
        told = [key for key in metrics.IN_SHORT if key not in ("interval", "n")]
        standing[name] = MainScores(**{key: scores[key] for key in told})
    first = results[0].model
    of_all = ("backbone", "weights", "freeze", "block", "cut", "classes_kept")
    kept = {name: first[name] for name in of_all if name in first}
    content = Round(
        labels=Labels.model_validate(read_json(folder / "labels.json")),
        segments=[_segment(i, result, metrics.IN_SHORT) for i, result in enumerate(results)],
        candidates=standing,
        merged=chosen,
        model=ModelRecord(**kept, parameters=model.count_params(), kept=chosen),
    )
    write_json(folder / "round.json", to_json(content))


def _segment(number: int, result: Result, in_short: Sequence[str]) -> Segment:
    measured = {"labelled": result.labelled, "taught": result.taught}
    return Segment(
        segment=number,
        train=result.data.train,
        val=result.data.val,
        kept=result.model.kept,
        seconds=result.seconds["total"],
        **{
            name: MainScores(**{key: scores[key] for key in in_short})
            for name, scores in measured.items()
            if scores
        },
    )
