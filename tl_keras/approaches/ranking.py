"""Ranks backbones by their features, and fits heads on growing parts of the training examples.

`compare` does both before its first approach trains.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.model import ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run.result.comparison import Learning, Ranked
from tl_keras.run.run import Run
from tl_keras.training import head as heads
from tl_keras.training.activations import activations
from tl_keras.training.architecture import Architecture, architecture, reading
from tl_keras.training.network import model as models

SHARES = (0.1, 0.25, 0.5, 1.0)  # Shares of the training examples on the learning curve.
SUBSETS = 3  # Random subsets for each share; the mean of their scores is reported.


def rank(run: Run, data: Data, compared: Mapping[str, ModelConfig]) -> None:
    """Ranks backbones by their features, and records the field `ranking` of `result.json`.

    With `compare.learning_curve` it also records `learning_curve`, for the approach `finetune`.

    Args:
      compared: `{approach: section "model" of its config}`, one entry for each backbone to rank.
    """
    labels, ranking = data.inputs["train"].labels, []
    transfer = tasks.maybe(run.config.task, "transfer")
    for name, model in compared.items():
        config = run.config.model_copy(update={"model": model})
        started = time.monotonic()
        backbone = models.pretrained(config.model, config.settings)
        arch = architecture(run, config, data, backbone, [])
        arch = replace(arch, label=f"{name}: ")
        pooled = _pooled(arch, config, "train")
        ranking.append(
            Ranked(
                approach=name,
                backbone=config.model.backbone,
                parameters=backbone.count_params(),
                **(transfer.ranked(pooled, labels) if transfer else {}),
                seconds=round(time.monotonic() - started, 3),
            )
        )
        if name == "finetune" and run.config.compare.learning_curve:
            curve = learning_curve(
                (pooled, _pooled(arch, config, "val")),
                (labels, data.inputs["val"].labels),
                config,
            )
            run.add(learning_curve=curve)
        if transfer:
            logging.info("%s: %s", config.model.backbone, transfer.summary(ranking[-1]))
    by = transfer.BY if transfer else None
    run.add(ranking=sorted(ranking, key=lambda row: -row[by]) if by else ranking)


def _pooled(arch: Architecture, config: RunConfig, split: str) -> np.ndarray:
    how = reading(config, arch.data.dataset)
    return np.asarray(activations(arch, [arch.output], split, how, None)[arch.output])


def learning_curve(
    pooled: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], config: RunConfig
) -> list[Learning]:
    """Returns validation scores of heads that are fitted to growing parts of the training examples.

    Each part is stratified: it has the strata, such as classes, in the same proportions as the
    whole.

    Args:
      pooled: two arrays, the features of train and those of val, `(examples, channels) float32`.
      labels: two arrays, the targets of train and those of val, `(examples,)`.
    """
    curve, strata = [], tasks.of(config.task, "targets").strata(labels[0])
    losses = tasks.of(config.task, "losses")
    for share in SHARES:
        subsets = [_subset(strata, share, seed) for seed in range(SUBSETS if share < 1 else 1)]
        scores = []
        for rows in subsets:
            head = heads.fit_head(
                (pooled[0][rows], pooled[1]),
                (labels[0][rows], labels[1]),
                heads.Recipe(config.data.balance, task=config.task),
            )
            scores.append(losses.head_scores(losses.answers(head.logits(pooled[1])), labels[1]))
        means = {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
        curve.append(Learning(share=share, n=len(subsets[0]), **means))
    return curve


def _subset(strata: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Returns the positions of a random, stratified subset, in ascending order.

    Args:
      strata: the stratum of each example, such as its class, `(examples,)`.
      share: the share of each stratum that is chosen, 0..1; at least one example of each.
    """
    generator, rows = np.random.default_rng(seed), []
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        rows.append(members[: max(1, round(share * len(members)))])
    return np.sort(np.concatenate(rows))
