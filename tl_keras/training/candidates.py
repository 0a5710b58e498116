"""Compares the candidates of a training on the validation set.

The candidates are `head` (only the head trained), `finetuned`, and `mix`, whose weights are the
mean of both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.run.result.training import CandidateRecord, ModelRecord
from tl_keras.run.run import Run
from tl_keras.tasks.heads import Head
from tl_keras.training import features
from tl_keras.training.activations import activations, kept_cuts, seen_views
from tl_keras.training.architecture import Architecture, reading
from tl_keras.training.suffix import Suffix, validation_inputs


@dataclass(frozen=True)
class Candidate:
    """One of the models of a training, with its calibrated results on the validation set.

    Attributes:
      values: weights of the trained suffix, see `Learner.values`; empty for the head-only model.
      losses: loss of each example, `(1 + views, val)`. Row 0 is for the unaugmented examples, the
        other rows for augmented views of them.
      probabilities: answers on the unaugmented examples, `(val, columns)`; for classification, one
        column per class.
      scores: score of each of these answers, `(val,)`; higher is better.
      temperature: number by which raw outputs are divided to calibrate them.
    """

    values: list[np.ndarray]
    losses: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray
    temperature: float


def of_head(arch: Architecture, config: RunConfig, head: Head, views: bool) -> Candidate:
    """Returns the candidate of which only the head was trained.

    Args:
      views: True to measure the candidate on augmented views of the validation set, too.
    """
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["val"].labels
    num_views = seen_views(how, config, len(labels)) if views else 0
    others = kept_cuts(arch, "val")
    pooled = [
        activations(arch, [arch.output], "val", how, view, others)[arch.output]
        for view in (None, *range(num_views))
    ]
    return _candidate([], [head.logits(array) for array in pooled], labels, config.task)


def of_suffix(
    arch: Architecture, config: RunConfig, suffix: Suffix, before: list[np.ndarray]
) -> dict[str, Candidate]:
    """Returns two candidates by name: `finetuned` and `mix`.

    The weights of `mix` are the mean of the weights before and after fine-tuning.

    Args:
      suffix: the layers after the frozen prefix, with their fine-tuned weights.
      before: the weights of these layers before fine-tuning, see `Learner.values`.
    """
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["val"].labels
    inputs = validation_inputs(arch, suffix, how, seen_views(how, config, len(labels)))
    tuned = suffix.learner.values()
    by_name = {}
    for name, values in {"mix": mixed(before, tuned), "finetuned": tuned}.items():
        suffix.learner.set(values)
        logits = [features.outputs(suffix.infer, view) for view in inputs]
        by_name[name] = _candidate(values, logits, labels, config.task)
    return by_name


def mixed(before: list[np.ndarray], tuned: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the mean of the weights before and after fine-tuning.

    Integer variables are counters and keep their values after fine-tuning.
    """
    return [
        (old + new) / 2 if new.dtype.kind == "f" else new
        for old, new in zip(before, tuned, strict=True)
    ]


def held_out(
    arch: Architecture, config: RunConfig, kept: Candidate, head: Head, suffix: Suffix | None
) -> np.ndarray:
    """Returns a candidate's answers on the examples that a fold holds out, `(test, columns)`.

    Args:
      kept: the candidate that was chosen.
      head: the head, which gives the answers if the head-only candidate was chosen.
      suffix: the layers after the frozen prefix, set to the weights of `kept`; None if the
        head-only candidate was chosen.
    """
    how = reading(config, arch.data.dataset)
    if suffix is None:
        logits = head.logits(activations(arch, [arch.output], "test", how, None)[arch.output])
    else:
        inputs = validation_inputs(arch, suffix, how, split="test")
        logits = features.outputs(suffix.infer, *inputs)
    return tasks.of(config.task, "losses").answers(logits / kept.temperature)


def _candidate(
    values: list[np.ndarray], logits: list[np.ndarray], labels: np.ndarray, task: str
) -> Candidate:
    if not all(np.isfinite(view).all() for view in logits):
        # The last epoch's loss was finite. A view, or the mean of the weights, may still overflow.
        raise FloatingPointError(
            "fit.learning_rate: training ended with weights whose answers are NaN or infinite; "
            "choose a lower learning rate and another --workdir"
        )
    losses_of = tasks.of(task, "losses")
    temperature = losses_of.fit_temperature(logits[0], labels)
    answers = [losses_of.answers(view / temperature) for view in logits]
    losses = np.stack([losses_of.of_each(view, labels) for view in answers])
    scores = tasks.of(task, "metrics").scores(answers[0], labels)
    return Candidate(values, losses, answers[0], scores, temperature)


def may_gain(run: Run, head: Candidate, margin: float | None) -> bool:
    """Returns True if a fine-tuned candidate could be chosen instead of the head-only one.

    If not, fine-tuning is left out, and the run's record says why.

    Args:
      margin: see `Plan.margin`.
    """
    by, choice = run.config.fit.choose_by, tasks.of(run.config.task, "choice")
    if choice.may_gain(by, head.losses, head.scores, margin):
        return True
    why = (
        f"fine-tuning is left out: on the {len(head.scores)} validation examples, not even a model "
        "without mistakes could be shown to be better than the model of which only the head was "
        "trained"
    )
    run.add(model=ModelRecord(fine_tuning=why))
    logging.info("%s", why)
    return False


Choice = Callable[[Mapping[str, Candidate]], str]


def choose(
    run: Run,
    by_name: Mapping[str, Candidate],
    margin: float | None,
    override: Choice | None = None,
) -> str:
    """Returns the name of the candidate to keep; records the results of all candidates in the run.

    Args:
      by_name: the candidates by name, from simple to complex.
      margin: see `Plan.margin`.
      override: returns the name of the candidate to keep; None to choose by `fit.choose_by`.
    """
    by, task = run.config.fit.choose_by, run.config.task
    losses = {name: candidate.losses for name, candidate in by_name.items()}
    scores = {name: candidate.scores for name, candidate in by_name.items()}
    if override:
        kept = override(by_name)
    else:
        kept = tasks.of(task, "choice").kept(by, losses, scores, margin)
    record = {name: _described(name, by_name, task) for name in by_name}
    run.add(model=ModelRecord(candidates=record))
    listed = ", ".join(f"{name} {scores[by]:.3f}" for name, scores in record.items())
    logging.info("validation %s: %s; kept: %s", by, listed, kept)
    return kept


def _described(name: str, by_name: Mapping[str, Candidate], task: str) -> CandidateRecord:
    choice, candidate = tasks.of(task, "choice"), by_name[name]
    losses = {name: candidate.losses for name, candidate in by_name.items()}
    return CandidateRecord(
        **choice.described(candidate.losses, candidate.scores),
        temperature=candidate.temperature,
        views=len(candidate.losses),
        gain=choice.gain(losses, name),
        **choice.paired(candidate.scores, by_name["head"].scores),
    )
