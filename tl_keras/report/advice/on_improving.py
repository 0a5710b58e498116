"""Advice that makes a model better, or says how much better it could be."""

import math
from collections.abc import Iterable

from tl_keras.config.command_line import command_line
from tl_keras.modalities import part
from tl_keras.report.advice import few_examples
from tl_keras.report.advice.advice import Advice
from tl_keras.report.advice.verdict import MINOR
from tl_keras.report.drawings.words import count, counted, is_number, number, percent, quoted
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles

# Training examples; below, half of the layers stay frozen because examples are too few to adapt
# them, see `training.plan.resolved`.
FEW = 500
MODEST = 0.03  # The interval that more examples would give: ±3 points.
PIPELINES = ("finetune", "search", "cross_validate")  # These train one model as the config says.
BACKBONES = ("EfficientNetV2B0", "MobileNetV2")  # accurate for their size; tried in this order


def cross_validate_line(run: RunFiles) -> str:
    """Returns the command line of `cross_validate` if this run measured on a part of few examples;
    "" otherwise."""
    if run.result.pipeline != "finetune":
        return ""
    return few_examples.cross_validation(labelled(run), run.tree, run.findings)


def labelled(run: RunFiles) -> int:
    """Returns the number of labelled examples in all splits."""
    return sum(figures.split_size(run, split) or 0 for split in ("train", "val", "test"))


def needed(right: float, n: int) -> int:
    """Returns the number of examples that gives a score an interval of ±3 points.

    Args:
      right: share of right answers.
      n: number of examples that were measured.
    """
    # The interval of a normal distribution; at 100% as if one answer in n + 2 were wrong.
    share = min(right, (n + 1) / (n + 2))
    return math.ceil(share * (1 - share) * (1.96 / MODEST) ** 2 / 10) * 10


def on_guessing(run: RunFiles) -> Iterable[Advice]:
    """Yields a warning if the head alone is no better than a constant answer on validation."""
    model, val, always = run.result.model, run.result.val, figures.constant(run, "val")
    if run.holds_out or not (model and val and always) or model.kept != "head":
        return
    low, loss = val.interval[0], val.get("log_loss")
    # `not`: the values may be NaN or missing.
    if not (is_number(low) and is_number(loss) and low <= always.share and loss >= always.log_loss):
        return
    yield Advice(
        "Doubt this model: on validation it is no better than guessing.",
        f"It is right on {percent(figures.share_right(run, val))} of "
        f"{counted(val.n, 'validation example')}; always answering {quoted(always.name)} would be "
        f"right on {percent(always.share)}. Its log loss of {number(loss)} is no better than the "
        f"{number(always.log_loss)} of always giving the shares of the {run.answer_nouns[1]}."
        f"{_sure(run)}{_strength(run)}",
    )


def _sure(run: RunFiles) -> str:
    known = [p.probability for p in run.predictions if p.split == "val"]
    if not known or not all(map(is_number, known)):
        return ""
    return f" On average it is {percent(sum(known) / len(known))} sure of its answer."


def _strength(run: RunFiles) -> str:
    strength = run.result.chosen.get("regularisation") if run.result.chosen else None
    if not is_number(strength):
        return ""
    return (
        f" Validation chose regularisation {number(strength)} for the head; the stronger it "
        "is, the more alike are all answers."
    )


def on_measuring(run: RunFiles) -> Iterable[Advice]:
    """Yields the command that measures on all examples, if they are few."""
    line, (split, scores) = cross_validate_line(run), figures.scored(run)
    if line and scores:
        n = labelled(run)
        yield Advice(
            f"Measure on all {count(n)} {run.plain_nouns[1]}: cross-validate.",
            f"{counted(scores.n, f'{run.split_name(split)} example')} say little. In "
            "cross-validation each example is answered by a model that was not trained on it, so "
            f"all {count(n)} are measured, and the final model is trained on all of them.",
            line,
        )


def on_fine_tuning(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if fine-tuning looks better than the head that was kept, but is not proved."""
    model, val = run.result.model, run.result.val
    candidates = (model.candidates if model else None) or {}
    head, tuned = candidates.get("head"), candidates.get("finetuned")
    if not (model and val and head and tuned and run.counts_right) or model.kept != "head":
        return
    right, before = tuned.get(run.main), head.get(run.main)
    if not is_number(right) or not is_number(before) or right <= before or tuned.gain <= 0:
        return
    yield Advice(
        "Do not rule out fine-tuning.",
        f"The fine-tuned model looks better than the head alone ({percent(right)} against "
        f"{percent(before)} of {counted(val.n, 'validation example')}), but so few examples cannot "
        "prove it, so the head was kept. To find out, cross-validate, or raise data.val.",
    )


def on_labels(run: RunFiles) -> Iterable[Advice]:
    """Yields advice to label more examples, if the model is often wrong and has few."""
    train, (split, scores) = figures.split_size(run, "train"), figures.scored(run)
    if not train or train >= FEW or not is_wanting(run):
        return
    pictures, right = run.plain_nouns[1], figures.share_right(run, scores)
    why = (
        f"The model was trained on {count(train)} {pictures}. Of its answers to "
        f"{count(scores.n)} {run.split_name(split)} examples, {percent(right)} are right."
    )
    if run.holds_out:
        why = (
            f"The final model was trained on {count(train)} {pictures}, the models of the folds on "
            f"fewer. Of the {count(scores.n)} held-out answers, {percent(right)} are right."
        )
    if run.holds_out and (more := needed(right, scores.n)) > scores.n:
        why += (
            f" More {pictures} also measure it better: about {count(more)} narrow the interval to "
            "±3 points."
        )
    yield Advice(f"Label more {pictures}: {count(labelled(run))} are few.", why)


def is_wanting(run: RunFiles) -> bool:
    """Whether mistakes are so frequent that the model itself should become better."""
    right = figures.share_right(run, figures.scored(run)[1])
    return run.result.pipeline in PIPELINES and right is not None and right < MINOR


def on_models(run: RunFiles) -> Iterable[Advice]:
    """Yields experiments that may make the model better, if it is often wrong."""
    model = run.result.model
    if not is_wanting(run) or not model or model.weights == "none":
        return
    name, command = run.plain_nouns[1], run.result.pipeline or ""
    settings = run.tree.get(run.modality) or {}
    if detail := part(run.modality, "show").more_detail(settings, run.findings):
        override, why = detail
        folder = ("folds_" if run.holds_out else "") + override.rpartition("=")[2]
        line = command_line(command, run.tree, override, folder=folder)
        yield Advice(f"Try larger {name}.", why, line)
    other = next(name for name in BACKBONES if name != model.backbone)
    why = (
        f"compare trains this backbone and {other} on the same {name}. It also draws a learning "
        "curve, which estimates how much better twice as many labels make the model."
    )
    if labelled(run) < few_examples.FEW:
        why += (
            f" It measures on a part of the {count(labelled(run))} {name}, so take both as hints."
        )
    if model.weights != "imagenet":
        why += f" Without a network, give {other} a file of weights: add weights: FILE.h5."
    backbones = f"compare.backbones=[{{backbone: {other}}}]"
    line = command_line("compare", _with_test(run), backbones, folder="compare")
    yield Advice("Compare backbones, and see what more labels would bring.", why, line)


def _with_test(run: RunFiles) -> dict:
    """Returns the config of the run with the usual share of test examples."""
    data = run.tree.get("data")
    kept = {k: v for k, v in data.items() if k != "test"} if isinstance(data, dict) else {}
    return {**run.tree, "data": kept}
