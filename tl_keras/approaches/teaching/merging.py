"""Merges the student models of a round; of merged models, students and teacher, keeps the best."""

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

TEACHER = "teacher"  # The choice of a round in which no student is better.


def merge_round(
    run: Run, folder: Path, data: Data, teacher: keras.Model, held_out: np.ndarray | None
) -> tuple[keras.Model, str]:
    """Returns the model of a round, and which candidate the model is: `average`, `teacher`, ...

    Args:
      folder: the folder of the round, with its students.
      data: data whose validation split has labels by people.
      held_out: the teacher's probabilities for the validation split, `(val, classes)`, if the
        teacher was trained on this split, too; each row is from the model of the fold that held the
        example out. None for other teachers.
    """
    file = folder / "model.keras"
    if not file.exists():
        with run.timed("merge"):
            _merge(run.config, folder, data, teacher, held_out)
    merged = Round.model_validate(read_json(folder / "round.json"))
    run.add(model=merged.model)
    logging.info("%s: the model of this round is: %s", folder.name, merged.merged)
    return models.load(file), merged.merged


def _merge(
    config: RunConfig,
    folder: Path,
    data: Data,
    teacher: keras.Model,
    held_out: np.ndarray | None,
) -> None:
    """Merges the students of a round; writes `round.json` and, last, `model.keras` of the round."""
    count = config.parallel.segments
    members = [models.load(folder / f"segment_{i}" / "model.keras") for i in range(count)]
    answers = {f"segment_{i}": _answers(member, data) for i, member in enumerate(members)}
    merges = {}
    if count > 1:
        # Loaded again, since `average` changes the first model.
        first = models.load(folder / "segment_0" / "model.keras")
        merges["average"] = combine.average([first, *members[1:]])
        ensemble = np.mean(list(answers.values()), axis=0)
        answers["average"] = _answers(merges["average"], data)
        answers["ensemble"] = ensemble
    answers[TEACHER] = _answers(teacher, data) if held_out is None else held_out
    # A teacher with a larger backbone is only measured.
    is_other = held_out is not None and config.parallel.student is not None
    candidates = {k: v for k, v in answers.items() if not (is_other and k == TEACHER)}
    chosen = choose(config, candidates, data)
    if chosen == "ensemble":
        model = combine.ensemble(members)
    else:
        students = dict(zip(answers, members, strict=False))  # The students come first.
        model = {TEACHER: teacher, **merges, **students}[chosen]
    _write_round(folder, chosen, model, answers, data)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)


def _answers(model: keras.Model, data: Data) -> np.ndarray:
    return features.outputs(Inference(model), data.inputs["val"])


def choose(config: RunConfig, answers: Mapping[str, np.ndarray], data: Data) -> str:
    """Returns the name of the candidate that is best on the validation examples.

    The candidates are the single students, the `average` of their weights, their `ensemble`, and
    the teacher. If no candidate is clearly better, the average is chosen, since it is as small as
    one student. The teacher is chosen only if it is right significantly more often than the
    candidate chosen from the others. If the mean loss decided between these two, one confident
    mistake of the students in six examples would be enough to choose even a bad teacher. A
    `parallel.merge` other than `auto` names the choice instead.

    Args:
      answers: `(val, classes)` probabilities of each candidate, by name.
    """
    labels = data.inputs["val"].labels
    of_each = tasks.of(config.task, "losses").of_each
    losses = {name: of_each(answer, labels)[None] for name, answer in answers.items()}
    segments = [name for name in losses if name.startswith("segment_")]
    best = min(segments, key=lambda name: losses[name].mean())
    merge = config.parallel.merge
    if merge != "auto":
        return best if merge == "best" or len(segments) == 1 else merge
    first = "average" if "average" in losses else best
    order = dict.fromkeys([first, best, "ensemble"])
    choice, scores = tasks.of(config.task, "choice"), tasks.of(config.task, "metrics").scores
    chosen = choice.choose({name: losses[name] for name in order if name in losses})
    if TEACHER not in answers:
        return chosen
    of_chosen, of_teacher = (scores(answers[name], labels) for name in (chosen, TEACHER))
    return TEACHER if choice.against(of_teacher, of_chosen)["interval"][0] > 0 else chosen


def _write_round(
    folder: Path, chosen: str, model: keras.Model, answers: Mapping[str, np.ndarray], data: Data
) -> None:
    """Writes `round.json`, which becomes an entry of the field `rounds` of `result.json`."""
    labels, names = data.inputs["val"].labels, data.dataset.classes
    task = data.dataset.task
    metrics = tasks.of(task, "metrics")
    count = sum(name.startswith("segment_") for name in answers)
    results = [result_of(folder, i, task) for i in range(count)]
    recorded = [key for key in metrics.IN_SHORT if key not in ("interval", "n")]
    candidates = {}
    for name, answer in answers.items():
        scores = metrics.measure(answer, labels, names)
        candidates[name] = MainScores(**{key: scores[key] for key in recorded})
    first = results[0].model
    shared = ("backbone", "weights", "freeze", "block", "cut", "classes_kept")
    of_model = {name: first[name] for name in shared if name in first}
    content = Round(
        labels=Labels.model_validate(read_json(folder / "labels.json")),
        segments=[_segment(i, result, metrics.IN_SHORT) for i, result in enumerate(results)],
        candidates=candidates,
        merged=chosen,
        model=ModelRecord(**of_model, parameters=model.count_params(), kept=chosen),
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
