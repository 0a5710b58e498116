"""Weights that may be kept, as they stand on validation: the head alone, fine-tuned, their mean."""

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
from tl_keras.training.suffix import Suffix, seen


@dataclass(frozen=True)
class Candidate:
    """Weights that may be kept, and what they come to on validation, calibrated.

    Attributes:
      values: as `Learner.values` gives them; none of the head alone.
      losses: `(1 + views, val)`, of the examples as they are, then of views of them.
      probabilities: answers, `(val, width)`, of the examples as they are.
      scores: how good each of them is, `(val,)`, the more the better.
    """

    values: list[np.ndarray]
    losses: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray
    temperature: float


def of_head(arch: Architecture, config: RunConfig, head: Head, looks: bool) -> Candidate:
    """The head alone. Validation is looked at in views where `looks`."""
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["val"].labels
    views = range(seen_views(how, config, len(labels)) if looks else 0)
    others = kept_cuts(arch, "val")
    pooled = [
        activations(arch, [arch.output], "val", how, view, others)[arch.output]
        for view in (None, *views)
    ]
    return _candidate([], [head.logits(array) for array in pooled], labels, config.task)


def of_suffix(
    arch: Architecture, config: RunConfig, suffix: Suffix, before: list[np.ndarray]
) -> dict[str, Candidate]:
    """The suffix as it was trained, and the mean of its weights with those before."""
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["val"].labels
    inputs = seen(arch, suffix, how, seen_views(how, config, len(labels)))
    tuned = suffix.learner.values()
    found = {}
    for name, values in {"mix": mixed(before, tuned), "finetuned": tuned}.items():
        suffix.learner.set(values)
        logits = [features.outputs(suffix.infer, shown) for shown in inputs]
        found[name] = _candidate(values, logits, labels, config.task)
    return found


def mixed(before: list[np.ndarray], tuned: list[np.ndarray]) -> list[np.ndarray]:
    """The mean of weights before and after fine-tuning; counters stay what they are."""
    return [
        (old + new) / 2 if new.dtype.kind == "f" else new
        for old, new in zip(before, tuned, strict=True)
    ]


def held_out(
    arch: Architecture, config: RunConfig, kept: Candidate, head: Head, suffix: Suffix | None
) -> np.ndarray:
    """`(test, width)` answers on a fold's test examples, from the pool's activations.

    Args:
      kept: the candidate that was chosen.
      suffix: with the weights of `kept`; None where that is the head alone.
    """
    how = reading(config, arch.data.dataset)
    if suffix is None:
        logits = head.logits(activations(arch, [arch.output], "test", how, None)[arch.output])
    else:
        logits = features.outputs(suffix.infer, *seen(arch, suffix, how, split="test"))
    return tasks.of(config.task, "losses").answers(logits / kept.temperature)


def _candidate(
    values: list[np.ndarray], logits: list[np.ndarray], labels: np.ndarray, task: str
) -> Candidate:
    if not all(np.isfinite(view).all() for view in logits):
        # Of single examples, or of the mean of weights: those of the last epoch were numbers still.
        raise FloatingPointError(
            "fit.learning_rate: training ended with weights whose answers are no numbers; choose a "
            "lower one, and another --workdir"
        )
    own = tasks.of(task, "losses")
    temperature = own.fit_temperature(logits[0], labels)
    found = [own.answers(view / temperature) for view in logits]
    losses = np.stack([own.of_each(view, labels) for view in found])
    scores = tasks.of(task, "metrics").scores(found[0], labels)
    return Candidate(values, losses, found[0], scores, temperature)


def may_gain(run: Run, head: Candidate) -> bool:
    """Whether fine-tuning could be chosen over the head alone; if not, the record says so."""
    by, choice = run.config.fit.choose_by, tasks.of(run.config.task, "choice")
    if choice.may_gain(by, head.losses, head.scores):
        return True
    why = (
        f"left out: the head alone is so good on the {len(head.scores)} validation examples that "
        "no other could be chosen over it"
    )
    run.add(model=ModelRecord(fine_tuning=why))
    logging.info("fine-tuning is %s", why)
    return False


Choice = Callable[[Mapping[str, Candidate]], str]


def choose(run: Run, standing: Mapping[str, Candidate], own: Choice | None = None) -> str:
    """The candidate that is kept; the record says how all of them stand.

    Args:
      own: names it, where that is not as `fit.choose_by` has it.
    """
    by, task = run.config.fit.choose_by, run.config.task
    losses = {name: candidate.losses for name, candidate in standing.items()}
    scores = {name: candidate.scores for name, candidate in standing.items()}
    kept = own(standing) if own else tasks.of(task, "choice").kept(by, losses, scores)
    record = {name: _described(name, standing, task) for name in standing}
    run.add(model=ModelRecord(candidates=record))
    listed = ", ".join(f"{name} {scores[by]:.3f}" for name, scores in record.items())
    logging.info("validation %s: %s; kept: %s", by, listed, kept)
    return kept


def _described(name: str, standing: Mapping[str, Candidate], task: str) -> CandidateRecord:
    choice, own = tasks.of(task, "choice"), standing[name]
    losses = {name: candidate.losses for name, candidate in standing.items()}
    return CandidateRecord(
        **choice.described(own.losses, own.scores),
        temperature=own.temperature,
        views=len(own.losses),
        gain=choice.gain(losses, name),
        **choice.paired(own.scores, standing["head"].scores),
    )
