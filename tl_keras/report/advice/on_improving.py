"""Writes advice on how to improve a model, or to measure it more precisely."""

import math
from collections.abc import Iterable

from tl_keras.backbones import model_file, table
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


def cross_validate_line(run: RunFiles) -> str:
    """Returns the command line of `cross_validate` for a run of `finetune` on few examples.

    Returns "" for all other runs.
    """
    if run.result.pipeline != "finetune":
        return ""
    return few_examples.cross_validation(labelled(run), run.tree, run.findings)


def labelled(run: RunFiles) -> int:
    """Returns the number of labelled examples in all splits."""
    return sum(figures.split_size(run, split) or 0 for split in ("train", "val", "test"))


def needed(right: float, n: int) -> int:
    """Returns how many examples, in all, give a share of right answers a 95% interval of ±3 points.

    Args:
      right: share of right answers that was measured so far, 0..1.
      n: number of examples on which it was measured; a share of 1 counts for less if these are few.
    """
    # The interval of a normal distribution; at 100% as if one answer in n + 2 were wrong.
    share = min(right, (n + 1) / (n + 2))
    return math.ceil(share * (1 - share) * (1.96 / MODEST) ** 2 / 10) * 10


def on_guessing(run: RunFiles) -> Iterable[Advice]:
    """Yields a warning if the run kept the head-only model, and this is no better than guessing.

    Guessing is to give the same answer to each validation example: the largest class, or the
    shares of the classes as probabilities.
    """
    model, val, always = run.result.model, run.result.val, figures.constant(run, "val")
    if run.holds_out or not (model and val and always) or model.kept != "head":
        return
    low, loss = val.interval[0], val.get("log_loss")
    # `not`: the values may be NaN or missing.
    if not (is_number(low) and is_number(loss) and low <= always.share and loss >= always.log_loss):
        return
    yield Advice(
        "Doubt this model: on validation it is no better than guessing.",
        f"The model is right on {percent(figures.share_right(run, val))} of "
        f"{counted(val.n, 'validation example')}; always answering {quoted(always.name)} would be "
        f"right on {percent(always.share)}. The model's log loss is {number(loss)}, no better than "
        f"{number(always.log_loss)}, the log loss of always giving the shares of the "
        f"{run.answer_nouns[1]} as probabilities.{_sure(run)}{_strength(run)}",
    )


def _sure(run: RunFiles) -> str:
    known = [p.probability for p in run.predictions if p.split == "val"]
    if not known or not all(map(is_number, known)):
        return ""
    mean = sum(known) / len(known)
    return f" On average, the model gives its answer a probability of {percent(mean)}."


def _strength(run: RunFiles) -> str:
    strength = run.result.chosen.get("regularisation") if run.result.chosen else None
    if not is_number(strength):
        return ""
    return (
        f" Regularisation {number(strength)} was chosen for the head on the validation set; the "
        "stronger it is, the more alike are the probabilities for different examples."
    )


def on_measuring(run: RunFiles) -> Iterable[Advice]:
    """Yields advice to cross-validate if `finetune` measured on only a part of a small data set."""
    line, (split, scores) = cross_validate_line(run), figures.scored(run)
    if line and scores:
        n = labelled(run)
        yield Advice(
            f"Measure on all {count(n)} {run.plain_nouns[1]}: cross-validate.",
            f"A score on {counted(scores.n, f'{run.split_name(split)} example')} says little. In "
            "cross-validation, each example is answered by a model that was not trained on it. So "
            f"the score covers all {count(n)} examples, and the final model is also trained on all "
            "of them.",
            line,
        )


def on_fine_tuning(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if the run kept the head-only model, but the fine-tuned one scored higher.

    The validation set was then too small to prove that fine-tuning is better.
    """
    model, val = run.result.model, run.result.val
    candidates = (model.candidates if model else None) or {}
    head, tuned = candidates.get("head"), candidates.get("finetuned")
    if not (model and val and head and tuned and run.counts_right) or model.kept != "head":
        return
    right, by_head = tuned.get(run.main), head.get(run.main)
    if not is_number(right) or not is_number(by_head) or right <= by_head or tuned.gain <= 0:
        return
    yield Advice(
        "Do not rule out fine-tuning.",
        f"The fine-tuned model is right on {percent(right)} of "
        f"{counted(val.n, 'validation example')}, the head-only model on {percent(by_head)}. With "
        "this number of examples, the difference does not prove that fine-tuning is better. "
        "Therefore the run kept the head-only model. To find out, cross-validate, or raise "
        "data.val.",
    )


def on_labels(run: RunFiles) -> Iterable[Advice]:
    """Yields advice to label more examples if the model is often wrong and was trained on few."""
    train, (split, scores) = figures.split_size(run, "train"), figures.scored(run)
    if not train or train >= FEW or not is_wanting(run):
        return
    pictures, right = run.plain_nouns[1], figures.share_right(run, scores)
    why = (
        f"The model was trained on {count(train)} {pictures}. Of its answers to "
        f"{count(scores.n)} {run.split_name(split)} examples, {percent(right)} are right."
    )
    if figures.is_of_folds(run, split):
        why = (
            f"The final model was trained on {count(train)} {pictures}, the model of each fold on "
            f"fewer. Of the fold models' answers to {count(scores.n)} held-out examples, "
            f"{percent(right)} are right."
        )
        if (more := needed(right, scores.n)) > scores.n:
            why += (
                f" More {pictures} also give a more precise score: about {count(more)} {pictures} "
                "in all narrow its 95% interval to ±3 points."
            )
    yield Advice(f"Label more {pictures}: only {count(labelled(run))} are labelled.", why)


def is_wanting(run: RunFiles) -> bool:
    """Returns True if the share of right answers is so low (below `MINOR`) that advice is needed.

    Returns False for commands outside `PIPELINES`, because only the commands in `PIPELINES` train
    a single model with the settings of the config.
    """
    right = figures.share_right(run, figures.scored(run)[1])
    return run.result.pipeline in PIPELINES and right is not None and right < MINOR


def on_models(run: RunFiles) -> Iterable[Advice]:
    """Yields advice on experiments that may improve a model that is often wrong."""
    model = run.result.model
    if not is_wanting(run) or not model or model.weights == "none":
        return
    name, command = run.plain_nouns[1], run.result.pipeline or ""
    settings, show = run.tree.get(run.modality) or {}, part(run.modality, "show")
    if detail := show.more_detail(settings, run.findings):
        override, why = detail
        folder = ("folds_" if run.holds_out else "") + override.rpartition("=")[2]
        line = command_line(command, run.tree, override, folder=folder)
        yield Advice(show.LARGER, why, line)
    other = next(name for name in show.BACKBONES if not _is_like(model.backbone, name))
    why = (
        f"The command compare trains models with this run's backbone and with {other} on the same "
        f"{name}. It also plots a learning curve, which estimates how much twice as many labels "
        "would improve the model."
    )
    if labelled(run) < few_examples.FEW:
        why += (
            f" The command compare measures on only a part of the {count(labelled(run))} {name}, "
            "so take the comparison and the learning curve as hints."
        )
    if model.weights not in table.DOWNLOADED and table.default_weights(other) in table.DOWNLOADED:
        why += (
            f" Without an internet connection, {other} needs its weights: add “weights: PATH” to "
            "its entry in compare.backbones."
        )
    backbones = f"compare.backbones=[{{backbone: {other}}}]"
    line = command_line("compare", _with_test(run), backbones, folder="compare")
    do = "Compare backbones, and see by how much additional labels would improve the model."
    yield Advice(do, why, line)


def _is_like(backbone: object, name: str) -> bool:
    """Returns True if a run's backbone is the named one, or a user's folder of the same kind."""
    if not model_file.is_folder(backbone):
        return backbone == name
    return table.module_of(str(backbone)) is table.module_of(name)


def _with_test(run: RunFiles) -> dict:
    """Returns the run's config; if `data.test` is 0, the field gets its default value.

    Any other share stays, so that `compare` measures on the same test examples as the run.
    """
    data = run.tree.get("data")
    if not isinstance(data, dict) or data.get("test") != 0:
        return run.tree
    return {**run.tree, "data": {k: v for k, v in data.items() if k != "test"}}
