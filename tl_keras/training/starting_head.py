"""Fits the head from which every training of an architecture starts.

The head is fitted until it converges, on the features of the pretrained backbone.
"""

from pathlib import Path

from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.data import doctor
from tl_keras.data.batching.inputs import Inputs
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training import fit as train
from tl_keras.training import head as heads
from tl_keras.training.activations import activations, kept_cuts
from tl_keras.training.architecture import HEAD_SPLITS, Architecture, reading
from tl_keras.training.head import Head, Recipe
from tl_keras.training.network import model as models
from tl_keras.training.plan import Plan


def head_of(arch: Architecture, config: RunConfig) -> Head:
    """Returns the head from which the architecture's trainings start.

    The head is fitted once for each value of `data.balance`, and then reused. The pass over the
    examples that computes features for the head also stores the unaugmented activations at other
    cuts, if later trainings need them.

    Raises:
      ValueError: features are NaN or infinite.
    """
    balance = config.data.balance
    if balance not in arch.shared.heads and (kept := heads.load(kept_head(arch.run))):
        arch.shared.heads[balance] = kept
    if balance in arch.shared.heads:
        return arch.shared.heads[balance]
    pooled, how = {}, reading(config, arch.data.dataset)
    for split in HEAD_SPLITS:
        # With augmentation, training reads augmented views only, never the unaugmented examples.
        wanted = [] if split == "train" and how.augmentations else kept_cuts(arch, split)
        if arch.data.pool:  # Folds validate on unaugmented examples of the same pool.
            wanted = kept_cuts(arch, "val")
        array = activations(arch, [arch.output], split, how, None, wanted)[arch.output]
        features.check_finite(array, arch.data.dataset, split, config)
        pooled[split] = Inputs(arch.data.inputs[split].labels, array)
    with arch.run.timed("head"):
        arch.shared.heads[balance] = heads.fit_head(
            tuple(pooled[split].array for split in HEAD_SPLITS),
            tuple(pooled[split].labels for split in HEAD_SPLITS),
            _recipe(arch, config),
        )
        if arch.data.pool is None and "suspects" not in arch.run.findings:
            arch.run.find(**doctor.suspected(arch.data.dataset, pooled))
    head = arch.shared.heads[balance]
    chosen = next(r for r in head.history if r["regularisation"] == head.regularisation)
    logging.info("head: %s", train.validated(chosen)[-1])
    return arch.shared.heads[balance]


def kept_head(run: Run) -> Path:
    """Returns the path of the file in a job's folder with a head fitted before the job started."""
    return run.checkpoint / "head.npz"


def head_of_strength(
    arch: Architecture, config: RunConfig, regularisation: float, count: int | None = None
) -> Head:
    """Fits a head on train with a given regularisation, such as one chosen by cross-validation.

    Args:
      regularisation: strength of regularisation, scikit-learn's 1/C.
      count: the head is fitted on the first `count` training examples; None for all.
    """
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["train"].labels[:count]
    pooled = activations(arch, [arch.output], "train", how, None)[arch.output][:count]
    with arch.run.timed("head"):
        return heads.refit_head(pooled, labels, _recipe(arch, config), regularisation)


def set_start(arch: Architecture, config: RunConfig, plan: Plan, head: Head) -> None:
    """Sets the weights from which fine-tuning starts.

    With a converged head, the loss on a few hundred examples is almost 0, and no gradient is left.
    So texts start from a more regularised head.

    Args:
      head: the head of the head-only model.
    """
    if plan.start == "regularised" and head.regularisation < plan.strength:
        head = head_of_strength(arch, config, plan.strength)
    models.start_from(arch.trained, arch.initial, head, config.model.dropout)


def _recipe(arch: Architecture, config: RunConfig) -> Recipe:
    how = config.data.balance, config.model.head_width, config.seed, arch.earlier
    return Recipe(*how, config.task)
