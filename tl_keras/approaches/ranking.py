"""Before anything is trained: how good the features of backbones are, and how many examples a head
wants."""

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

SHARES = (0.1, 0.25, 0.5, 1.0)  # Of the training examples, on the learning curve.
DRAWS = 3  # Of a share; their mean is shown.


def rank(run: Run, data: Data, wanted: Mapping[str, ModelConfig]) -> None:
    """Scores the features of each backbone, and fits heads of the first on parts of train.

    Args:
      wanted: the backbones, by approach.
    """
    labels, ranking = data.inputs["train"].labels, []
    transfer = tasks.maybe(run.config.task, "transfer")
    for name, model in wanted.items():
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
            logging.info("%s: %s", config.model.backbone, transfer.told(ranking[-1]))
    by = transfer.BY if transfer else None
    run.add(ranking=sorted(ranking, key=lambda row: -row[by]) if by else ranking)


def _pooled(arch: Architecture, config: RunConfig, split: str) -> np.ndarray:
    how = reading(config, arch.data.dataset)
    return np.asarray(activations(arch, [arch.output], split, how, None)[arch.output])


def learning_curve(
    pooled: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], config: RunConfig
) -> list[Learning]:
    """Validation scores of heads on parts of the training examples, each stratum in its share.

    Args:
      pooled: features of train and val, `(examples, channels) float32`.
      labels: targets of train and val, `(examples,)`.
    """
    found, strata = [], tasks.of(config.task, "targets").strata(labels[0])
    losses = tasks.of(config.task, "losses")
    for share in SHARES:
        rows = [_drawn(strata, share, draw) for draw in range(DRAWS if share < 1 else 1)]
        scores = []
        for own in rows:
            head = heads.fit_head(
                (pooled[0][own], pooled[1]),
                (labels[0][own], labels[1]),
                heads.Recipe(config.data.balance, task=config.task),
            )
            scores.append(losses.stands(losses.answers(head.logits(pooled[1])), labels[1]))
        means = {name: float(np.mean([own[name] for own in scores])) for name in scores[0]}
        found.append(Learning(share=share, n=len(rows[0]), **means))
    return found


def _drawn(strata: np.ndarray, share: float, draw: int) -> np.ndarray:
    generator, rows = np.random.default_rng(draw), []
    for stratum in np.unique(strata):
        own = generator.permutation(np.flatnonzero(strata == stratum))
        rows.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(rows))
