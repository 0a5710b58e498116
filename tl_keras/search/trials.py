"""Runs the trials of a search. A trial is a run inside the run of the search.

Trials of the same architecture share its activations and its converged heads.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.config import space
from tl_keras.config.search import LIMITS, Goal, SearchConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.export import export
from tl_keras.jobs import job
from tl_keras.run.files import replacing
from tl_keras.run.quiet import only_warnings
from tl_keras.run.result.part import Scores
from tl_keras.run.result.search import Depth, TrialRecord
from tl_keras.run.run import DIVERGED, DONE, OVER, Run
from tl_keras.search.session import (
    Session,
    architecture_of,
    check_backbone,
    data_of,
    frozen_at,
    is_over,
    key_of,
)
from tl_keras.training import adapt, features
from tl_keras.training import head as heads
from tl_keras.training.activations import cut_of, decisions, keeps
from tl_keras.training.architecture import (
    HEAD_SPLITS,
    Architecture,
    architecture,
    plan_of,
    with_random_head,
)
from tl_keras.training.backbone import check_began, digests_of
from tl_keras.training.dealing import data_of as data_of_job
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.network.freeze import Freeze
from tl_keras.training.starting_head import head_of, kept_head


def run_trial(
    session: Session, number: int, values: Mapping[str, Any], records: list[TrialRecord]
) -> TrialRecord:
    """Runs a trial, unless it has a result, and returns its record.

    The trial's folder has all that is needed to repeat it by hand, and the model if the trial is
    among the `search.keep` best so far.

    Args:
      number: the number in the name of the trial's folder.
      values: values of the fields of `search.space`.
      records: records of the earlier trials.
    """
    run = session.run
    config = space.with_values(run.config, values)
    trial = Run(run.workdir / "search" / f"trial_{number:03d}", config, "trial")
    if trial.result:
        record = job.do(trial, run_job).trial
        figures = {name: record[name] for name in LIMITS if name in record}
        if figures:
            session.learnt.figures.setdefault(key_of(config), figures)
        return record
    with only_warnings(), run.timed("search"):
        in_memory = _prepare(session, trial, values, records)
        result = job.do(trial, functools.partial(run_job, in_memory=in_memory))
        job.account(run, result)
    return result.trial


# The architecture (None without pretrained weights) and the data of a trial.
InMemory = tuple[Architecture | None, Data]


def _prepare(
    session: Session, trial: Run, values: Mapping[str, Any], records: list[TrialRecord]
) -> InMemory:
    """Writes all inputs of a trial into its folder; returns its architecture and data."""
    started, passed = time.monotonic(), _seconds_of_passes(session.run)
    config, base = trial.config, session.run.config.search
    decided: dict[str, Any] = {}
    cuts: Sequence[str]
    if not config.model.is_pretrained:
        arch, data = None, data_of(session, config)
        figures, cuts, label = _figures_from_scratch(session, config, data), (), ""
    else:
        arch = architecture_of(session, config)
        data, cuts, label = arch.data, arch.cuts, arch.label
        figures = _figures(session, config, data, arch.model)
        if not is_over(figures, base.goal):
            heads.save(kept_head(trial), head_of(arch, config))
            decided["features"] = decisions(arch)
    job.prepare(
        trial,
        decided,
        trial=trial.workdir.name,
        **{"cuts": cuts, "label": label, "architecture": session.label_of(config)},
        **{"values": dict(values), "objective": base.objective, "figures": figures},
        **{"part": session.part, "fingerprint": data.dataset.fingerprint},
        bar=_key_to_beat(records, base.keep),
        began=_digests_at_start(session, config),
        seconds=time.monotonic() - started,
        passes=_seconds_of_passes(session.run) - passed,
    )
    return arch, data


def _seconds_of_passes(run: Run) -> float:
    """Returns the seconds that a run has spent so far on passes, which compute activations."""
    return run.record.get("seconds", {}).get("features", 0.0)


def _figures_from_scratch(session: Session, config: RunConfig, data: Data) -> dict[str, float]:
    """Returns size and latency of the exported file of a model with random weights.

    Neither depends on the weights. Returns an empty dict if the search does not need them.
    """
    if not _needs_figures(session):
        return {}
    keras.utils.set_random_seed(config.seed)
    backbone = models.pretrained(config.model, config.settings)
    check_backbone(session, config, backbone)
    return _figures(session, config, data, with_random_head(backbone, config, data.dataset))


def _needs_figures(session: Session) -> bool:
    """Returns whether a search needs the size and latency of exported files."""
    return bool(session.run.config.search.goal.limits) or session.has_several


def _digests_at_start(session: Session, config: RunConfig) -> dict[str, str]:
    """Returns the digests that identify the backbone with which the search began."""
    record = session.run.record
    if session.has_several:
        return record["backbones"][session.label_of(config)]
    return digests_of(record.get("model", {})) or job.needs(session.run).get("began", {})


def _key_to_beat(records: list[TrialRecord], keep: int) -> list[float] | None:
    """Returns the `_sort_key` of the trial that is number `keep` in the order from best to worst.

    The model of the next trial is kept only if its key is higher. Returns None if fewer than `keep`
    trials have succeeded so far; the model of the next trial is then kept in any case.
    """
    best = ranked(records)
    return list(_sort_key(best[keep - 1])) if len(best) >= keep else None


def _sort_key(record: TrialRecord) -> tuple[float, float]:
    """Returns a pair: the score of a trial and its share of frozen blocks. Higher pairs are better.

    The share, 0..1, decides only between equal scores.
    """
    return record.score, record.depth.share if record.depth else 0.0


def run_job(trial: Run, in_memory: InMemory | None = None) -> None:
    """Runs a prepared trial; writes `result.json`, and the model if it is among the best so far.

    Args:
      in_memory: the architecture and the data, if this process has them. None: both are built from
        the files in the trial's folder.
    """
    needs, started = job.needs(trial), time.monotonic()
    outcome = _outcome(trial, needs, in_memory or _opened(trial, needs))
    record = TrialRecord(
        trial=needs["trial"],
        values=needs["values"],
        seconds=round(needs["seconds"] + time.monotonic() - started, 3),
        passes=round(needs["passes"] + _seconds_of_passes(trial), 3),
        **outcome.record,
    )
    bar = needs["bar"]
    if outcome.model is not None and (bar is None or _sort_key(record) > tuple(bar)):
        with replacing(trial.workdir / "model.keras") as temporary:
            outcome.model.save(temporary)
    seconds = {"total": record.seconds, **trial.record.get("seconds", {})}
    trial.finish(trial.outcome(val=outcome.val, trial=record, seconds=seconds))


def _opened(trial: Run, needs: Mapping[str, Any]) -> InMemory:
    """Builds a trial's architecture and data from the files in its folder."""
    config = trial.config
    data = data_of_job(config, needs["part"], needs["fingerprint"])
    if not config.model.is_pretrained:
        return None, data
    backbone = models.pretrained(config.model, config.settings)
    check_began(trial, config.model, backbone, needs["began"])
    arch = architecture(trial, config, data, backbone, needs["cuts"])
    return replace(arch, label=needs["label"]), data


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
      record: fields of `TrialRecord`, such as status, score and depth.
      model: the trained model; None if the trial failed.
      val: the scores on validation; None if the trial failed.
    """

    record: dict[str, Any]
    model: keras.Model | None = None
    val: Scores | None = None


def _outcome(trial: Run, needs: Mapping[str, Any], in_memory: InMemory) -> Outcome:
    config, goal = trial.config, SearchConfig(objective=needs["objective"]).goal
    arch, data = in_memory
    # A failed trial gets about the score of a guessing model. It is finite, as tuners need it.
    guess = tasks.of(config.task, "metrics").score_of_guessing
    failed = {"score": guess(goal.metric, data.dataset.classes)}
    shared: dict[str, Any] = {"label": needs["architecture"]}
    if arch is not None:
        arch = replace(arch, run=trial)
        shared["depth"] = _described(frozen_at(arch, config))
    shared |= needs["figures"]
    if is_over(needs["figures"], goal):
        return Outcome({**failed, **shared, "status": OVER})
    try:
        if arch is None:
            return _from_scratch(trial, data, goal, shared)
        return _adapted(trial, arch, goal, shared)
    except FloatingPointError as error:
        return Outcome({**failed, **shared, "status": DIVERGED, "why": _why(error)})


def _adapted(trial: Run, arch: Architecture, goal: Goal, shared: Mapping[str, Any]) -> Outcome:
    """Runs a trial with pretrained weights: trains the head first, then fine-tunes (LP-FT)."""
    adapted = adapt.head_then_suffix(trial, arch)
    task, metric = trial.config.task, goal.metric
    measured, main = _measured(arch.data, adapted.probabilities, task, metric), _main(task)
    saved = _seconds_saved(arch, trial, adapted.depth)
    candidates = trial.record["model"]["candidates"]
    others = {"kept": trial.record["model"]["kept"], "saved": saved, "finetuned": None}
    others["head"] = candidates["head"][main]
    if adapted.tuned is not None:
        tuned = _measured(arch.data, adapted.tuned, task, metric).record
        others |= {"finetuned": tuned[main], "tuned_score": tuned["score"]}
    others["left_out"] = "fine_tuning" in trial.record["model"]
    return Outcome({**shared, **measured.record, **others}, adapted.model, measured.val)


def _from_scratch(trial: Run, data: Data, goal: Goal, shared: Mapping[str, Any]) -> Outcome:
    """Runs a trial without pretrained weights, which trains all layers of a new model."""
    config = trial.config
    keras.utils.set_random_seed(config.seed)
    backbone = models.pretrained(config.model, config.settings)
    model = adapt.from_scratch(trial, data, backbone)
    answers = features.outputs(Inference(model), data.inputs["val"])
    measured = _measured(data, answers, config.task, goal.metric)
    return Outcome({**shared, "kept": "scratch", **measured.record}, model, measured.val)


def _why(error: FloatingPointError) -> str:
    return str(error).partition(";")[0]  # The rest is advice for training without a search.


def _main(task: str) -> str:
    return tasks.of(task, "names").MAIN


def _measured(data: Data, answers: np.ndarray, task: str, metric: str) -> Outcome:
    labels = data.inputs["val"].labels
    metrics, names = tasks.of(task, "metrics"), tasks.of(task, "names")
    val = metrics.measure(answers, labels, data.dataset.classes)
    named = {name: val[name] for name in (*names.METRICS, "interval", "n") if name in val}
    noted = tasks.of(task, "choice").noted(metrics.scores(answers, labels))
    score = metrics.score(val, metric)
    return Outcome({"status": DONE, "score": score, **named, **noted}, None, val)


def _figures(
    session: Session, config: RunConfig, data: Data, model: keras.Model
) -> dict[str, float]:
    """Returns size and latency of a trial's exported file, measured once for each architecture.

    Returns an empty dict if the search does not need them.
    """
    key, known = key_of(config), session.learnt.figures
    if not _needs_figures(session):
        return {}
    if key not in known:
        file = session.run.config.search.format
        known[key] = export.size_and_latency(model, data.inputs, file, config.task)
    return known[key]


def _described(depth: Freeze) -> Depth:
    share = round(depth.index / depth.count, 4) if depth.count else 0.0
    return Depth(share=share, block=depth.block, cut=depth.cut)


def _seconds_saved(arch: Architecture, trial: Run, depth: Freeze) -> float:
    """Estimates the seconds that a trial saved by reading stored activations.

    It is the time that the frozen prefix would have taken to compute them again in each epoch.
    """
    if depth.cut in (None, arch.output) or "finetuned" not in trial.record["model"]["candidates"]:
        return 0.0
    epochs = plan_of(trial.config, arch.data.dataset, pretrained=True).epochs
    kept = keeps(arch, trial.config, depth.cut)
    examples = sum(len(arch.data.inputs[split]) for split in HEAD_SPLITS if kept[split])
    return round(epochs * examples * cut_of(arch, depth.cut).seconds, 3)


def ranked(records: list[TrialRecord]) -> list[TrialRecord]:
    """Returns the successful trials, best first; a tie goes to the one with more frozen blocks."""
    done = [record for record in records if record.status == DONE]
    return sorted(done, key=lambda r: (*(-value for value in _sort_key(r)), r.trial))
