"""Weights that may be kept, as they stand on validation: the head alone, fine-tuned, their mean."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.run.folder import Run
from tl_keras.tasks.classification import fit_temperature, log_losses, softmax
from tl_keras.training import features
from tl_keras.training import fit as train
from tl_keras.training.architecture import Architecture, activations, kept_cuts, reading, seen_views
from tl_keras.training.head import Head
from tl_keras.training.suffix import Suffix, seen


@dataclass(frozen=True)
class Candidate:
    """Weights that may be kept, and what they come to on validation, calibrated.

    Attributes:
      values: as `Learner.values` gives them; none of the head alone.
      losses: `(1 + views, val)`, see `train.choose`.
      probabilities: `(val, classes)`, of the images as they are.
      right: `(val,) bool`, of the same.
    """

    values: list[np.ndarray]
    losses: np.ndarray
    probabilities: np.ndarray
    right: np.ndarray
    temperature: float

    @property
    def accuracy(self) -> float:
        """On the images as they are."""
        return float(self.right.mean())


def of_head(arch: Architecture, config: RunConfig, head: Head, looks: bool) -> Candidate:
    """The head alone. Validation is looked at in views where `looks`."""
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["val"].labels
    views = range(seen_views(how, config, len(labels)) if looks else 0)
    others = kept_cuts(arch, "val")
    pooled = [
        activations(arch, [arch.output], "val", how, view, others)[arch.output]
        for view in (None, *views)
    ]
    return _candidate([], [head.logits(array) for array in pooled], labels)


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
        found[name] = _candidate(values, logits, labels)
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
    """`(test, classes)` probabilities of a fold's test examples, from the pool's activations.

    Args:
      kept: the candidate that was chosen.
      suffix: with the weights of `kept`; None where that is the head alone.
    """
    how = reading(config, arch.data.dataset)
    if suffix is None:
        logits = head.logits(activations(arch, [arch.output], "test", how, None)[arch.output])
    else:
        logits = features.outputs(suffix.infer, *seen(arch, suffix, how, split="test"))
    return softmax(logits / kept.temperature)


def _candidate(values: list[np.ndarray], logits: list[np.ndarray], labels: np.ndarray) -> Candidate:
    if not all(np.isfinite(view).all() for view in logits):
        # Of single images, or of the mean of weights: those of the last epoch were numbers still.
        raise FloatingPointError(
            "fit.learning_rate: training ended with weights whose answers are no numbers; choose a "
            "lower one, and another --workdir"
        )
    temperature = fit_temperature(logits[0], labels)
    found = [softmax(view / temperature) for view in logits]
    losses = np.stack([log_losses(view, labels) for view in found])
    return Candidate(values, losses, found[0], found[0].argmax(-1) == labels, temperature)


def may_gain(run: Run, head: Candidate) -> bool:
    """Whether fine-tuning could be chosen over the head alone; if not, the record says so."""
    by_accuracy = run.config.fit.choose_by == "accuracy"
    if head.accuracy < 1 if by_accuracy else train.can_lose(head.losses):
        return True
    why = (
        f"left out: the head alone is so good on the {len(head.right)} validation examples that no "
        "other could be chosen over it"
    )
    run.add(model={"fine_tuning": why})
    logging.info("fine-tuning is %s", why)
    return False


Choice = Callable[[Mapping[str, Candidate]], str]


def choose(run: Run, standing: Mapping[str, Candidate], own: Choice | None = None) -> str:
    """The candidate that is kept; the record says how all of them stand.

    Args:
      own: names it, where that is not as `fit.choose_by` has it.
    """
    losses, head = {name: c.losses for name, c in standing.items()}, standing["head"].right
    by = run.config.fit.choose_by
    if own:
        kept = own(standing)
    elif by == "accuracy":
        kept = train.most_accurate({name: c.accuracy for name, c in standing.items()})
    else:
        kept = train.choose(losses)
    record = {name: _described(c, head, train.gain(losses, name)) for name, c in standing.items()}
    run.add(model={"candidates": record})
    listed = ", ".join(f"{name} {scores[by]:.3f}" for name, scores in record.items())
    logging.info("validation %s: %s; kept: %s", by, listed, kept)
    return kept


def choose_together(by: str, standing: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """The candidate that several trainings keep, by the records of how theirs stand.

    As `train.choose` for one: by the gain over all of their validation examples.

    Args:
      by: `fit.choose_by`.
      standing: of each training, what `choose` recorded; where fine-tuning was left out, of the
        head alone.
    """
    names = dict.fromkeys(name for own in standing for name in own)
    if by == "accuracy":
        every = [{**dict.fromkeys(names, own["head"]), **own} for own in standing]
        return train.most_accurate({n: sum(own[n][by] for own in every) for n in names})
    totals = {}
    for name in names:
        pairs = [(own[name], own["head"]) for own in standing if name in own]
        # On the images as they are it must be no worse, see `train.choose`.
        if sum(c["log_loss"] - head["log_loss"] for c, head in pairs) <= 0:
            totals[name] = sum(c["gain"] for c, _ in pairs)
    best = max(totals, key=totals.get)
    return best if totals[best] > train.MARGIN else "head"


def _described(candidate: Candidate, head: np.ndarray, gain: float) -> dict[str, Any]:
    return {
        "log_loss": float(candidate.losses[0].mean()),
        "accuracy": candidate.accuracy,
        "temperature": candidate.temperature,
        "views": len(candidate.losses),
        "gain": gain,
        # Examples that it alone has right, and that the head alone has: a paired comparison.
        "won": int((candidate.right & ~head).sum()),
        "lost": int((head & ~candidate.right).sum()),
    }
