"""A student of parallel training: one segment, in a process of its own, on any machine."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import logging
from filelock import FileLock

from tl_keras import tasks
from tl_keras.approaches.teaching import labelling
from tl_keras.approaches.teaching.labelling import Label
from tl_keras.config import text as configs
from tl_keras.config.comparing import first_difference
from tl_keras.config.whole import RunConfig
from tl_keras.data import record
from tl_keras.data.examples import Dataset, Example
from tl_keras.data.load import load
from tl_keras.data.prepared import prepared
from tl_keras.data.sources import unlabelled
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.files import remove_unfinished, replacing, write_text
from tl_keras.run.run import Run
from tl_keras.training import adapt
from tl_keras.training.architecture import HEAD_SPLITS, architecture, plan_of
from tl_keras.training.candidates import Candidate
from tl_keras.training.network import model as models
from tl_keras.training.starting_head import refit_head


def run(config: RunConfig, workdir: str | Path, segment: int) -> Run:
    """Trains the student of a segment in the round that is under way, unless it is trained.

    Raises:
      ValueError: there is no such round or segment, or the folder is of another config or of other
        data.
    """
    whole = runs.load(workdir)
    marks.check(whole.workdir, "run", "--workdir", may_be_new=False)
    _check(whole, config, segment)
    rounds = sorted(whole.workdir.glob("round_*/labels.csv"), key=_number)
    if not rounds:
        raise ValueError(
            f"--segment: {str(whole.workdir)!r} has no labels yet; start the command without "
            "--segment first"
        )
    fit = config.fit.model_copy(update={"choose_by": "accuracy"})  # No views for a choice.
    folder = rounds[-1].parent / f"segment_{segment}"
    student = Run(folder, config.model_copy(update={"fit": fit}), "segment").begin_inside()
    # Another process, maybe on another machine, may be at work here: what it makes is taken.
    with FileLock(folder / ".lock"):
        if not student.result:
            for unfinished in (folder, student.checkpoint):
                remove_unfinished(unfinished)
            write_text(folder / "config.yaml", configs.to_yaml(student.config))
            _train(student, whole.workdir, rounds[-1], segment)
    return student


def _number(labels: Path) -> int:
    return int(labels.parent.name.removeprefix("round_"))


def _check(whole: Run, config: RunConfig, segment: int) -> None:
    count = config.parallel.segments
    if not 0 <= segment < count:
        raise ValueError(f"--segment: expected 0 to {count - 1}; received {segment}")
    difference = first_difference(whole.config, config)
    if difference:
        raise ValueError(
            f"--workdir: {str(whole.workdir)!r} was made with another config: {difference}"
        )


def _train(student: Run, workdir: Path, labels: Path, segment: int) -> None:
    config = student.config
    dataset = load(config)
    known = json.loads((workdir / "data.json").read_text(encoding="utf-8"))
    if known["fingerprint"] != dataset.fingerprint:
        raise ValueError(
            f"data: the images are not those that {str(workdir)!r} began with; restore them"
        )
    examples = unlabelled.load(config, dataset).examples
    record.add_digests(replace(student, workdir=workdir), "unlabelled", examples)
    found = labelling.read(labels, examples, dataset.classes)
    own = with_segment(dataset, examples, found, segment)
    with student.timed("data"):
        data = prepared(own, config, HEAD_SPLITS)
    backbone = models.pretrained(config.model, config.settings)
    plan = plan_of(config, own, pretrained=True)
    arch = architecture(student, config, data, backbone, [plan.freeze])
    told = json.loads((workdir / "teacher" / "result.json").read_text(encoding="utf-8"))
    # All students start from one point, or the average of their weights would be of none: from a
    # head that is fitted on what people labelled, which comes first.
    count, strength = len(dataset.splits["train"]), told["chosen"]["regularisation"]
    arch.shared.heads[config.data.balance] = refit_head(arch, config, strength, count)
    labelled = len(dataset.splits["val"])
    choose = functools.partial(_choose, tasks.of(config.task, "choice").choose, labelled)
    adapted = adapt.head_then_suffix(student, arch, choose=choose)
    with replacing(student.workdir / "model.keras") as temporary:
        adapted.model.save(temporary)
    _finish(student, own, adapted.probabilities, labelled)


def _choose(
    choose: Callable[[dict[str, np.ndarray]], str],
    labelled: int,
    standing: Mapping[str, Candidate],
) -> str:
    """The fine-tuned weights, unless what people labelled clearly prefers their mean with those
    before. What the teacher labelled prefers who imitates it: the head alone, which was up to 10
    points worse on development splits of photographs.

    Args:
      choose: the task's, by losses.
      labelled: how many of the validation examples people labelled; they come first.
    """
    tuned = [name for name in ("finetuned", "mix") if name in standing]
    if not tuned:
        return "head"
    return choose({name: standing[name].losses[:, :labelled] for name in tuned})


def with_segment(
    dataset: Dataset, examples: Sequence[Example], labels: Sequence[Label], segment: int
) -> Dataset:
    """The labelled examples, and after them those of a segment whose labels are kept."""
    splits: dict[str, list[Example]] = {"test": []}
    for split in HEAD_SPLITS:
        taught = [
            replace(example, label=own.label)
            for example, own in zip(examples, labels, strict=True)
            if own.kept and own.segment == segment and own.part == split
        ]
        splits[split] = [*dataset.splits[split], *taught]
    return replace(dataset, splits=splits)


def _finish(student: Run, dataset: Dataset, probabilities: np.ndarray, labelled: int) -> None:
    """Writes the student's result: how it does on the labelled examples, and on its own."""
    labels = dataset.labels("val")
    parts = {"labelled": slice(labelled), "taught": slice(labelled, None)}
    measure = tasks.of(dataset.task, "metrics").measure
    measured = {
        name: measure(probabilities[part], labels[part], dataset.classes)
        for name, part in parts.items()
        if len(labels[part])
    }
    counts = {name: len(dataset.splits[name]) for name in HEAD_SPLITS}
    student.finish(student.outcome(data=counts, **measured))
    told, main = measured["labelled"], tasks.of(dataset.task, "names").MAIN
    logging.info("validation %s %.3f on %d labelled examples", main, told[main], told["n"])
