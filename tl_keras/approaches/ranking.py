"""Before anything is trained: how good the features of backbones are, and how many examples a head
wants."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from absl import logging

from tl_keras.config.model import ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.run.folder import Run
from tl_keras.tasks.classification import log_loss, softmax
from tl_keras.training import head as heads
from tl_keras.training import model as models
from tl_keras.training import transferability
from tl_keras.training.architecture import Architecture, Data, activations, architecture, reading

SHARES = (0.1, 0.25, 0.5, 1.0)  # Of the training examples, on the learning curve.
DRAWS = 3  # Of a share; their mean is shown.


def rank(run: Run, data: Data, wanted: Mapping[str, ModelConfig]) -> None:
    """Scores the features of each backbone, and fits heads of the first on parts of train.

    Args:
      wanted: the backbones, by approach.
    """
    labels, ranking = data.inputs["train"].labels, []
    for name, model in wanted.items():
        config = run.config.model_copy(update={"model": model})
        started = time.monotonic()
        backbone = models.pretrained(config.model, config.settings)
        arch = architecture(run, config, data, backbone, [])
        arch = replace(arch, label=f"{name}: ")
        pooled = _pooled(arch, config, "train")
        ranking.append(
            {
                "approach": name,
                "backbone": config.model.backbone,
                "parameters": backbone.count_params(),
                "logme": transferability.logme(pooled, labels),
                "left_out_accuracy": transferability.left_out_accuracy(pooled, labels),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        if name == "finetune" and run.config.compare.learning_curve:
            curve = learning_curve(
                (pooled, _pooled(arch, config, "val")),
                (labels, data.inputs["val"].labels),
                config,
            )
            run.add(learning_curve=curve)
        logging.info(
            "%s: LogME %.3f, left-out accuracy %.3f",
            *(ranking[-1][key] for key in ("backbone", "logme", "left_out_accuracy")),
        )
    run.add(ranking=sorted(ranking, key=lambda row: -row["logme"]))


def _pooled(arch: Architecture, config: RunConfig, split: str) -> np.ndarray:
    how = reading(config, arch.data.dataset)
    return np.asarray(activations(arch, [arch.output], split, how, None)[arch.output])


def learning_curve(
    pooled: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], config: RunConfig
) -> list[dict[str, Any]]:
    """Validation accuracy of heads on parts of the training examples, each class in its share.

    Args:
      pooled: features of train and val, `(examples, channels) float32`.
      labels: of train and val, `(examples,) int64`.
    """
    found = []
    for share in SHARES:
        rows = [_drawn(labels[0], share, draw) for draw in range(DRAWS if share < 1 else 1)]
        scores = []
        for own in rows:
            head = heads.fit_head(
                (pooled[0][own], pooled[1]),
                (labels[0][own], labels[1]),
                heads.Recipe(config.data.balance),
            )
            probabilities = softmax(head.logits(pooled[1]))
            right = float((probabilities.argmax(-1) == labels[1]).mean())
            scores.append((right, log_loss(probabilities, labels[1])))
        accuracy, loss = np.mean(scores, axis=0)
        found.append(
            {"share": share, "n": len(rows[0]), "accuracy": float(accuracy), "log_loss": loss}
        )
    return found


def _drawn(labels: np.ndarray, share: float, draw: int) -> np.ndarray:
    generator, rows = np.random.default_rng(draw), []
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        rows.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(rows))
