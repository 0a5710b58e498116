"""An architecture: a backbone with a head, and everything that its trainings share.

Trainings of one architecture share examples, backbone, heads, activations and traced graphs. In a
search, all trials of the same architecture (equal backbone, options, head width, example size and
the like) use the same `Architecture` object, so that nothing is computed, loaded or traced twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.backbones import table
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Training
from tl_keras.data.examples import Dataset
from tl_keras.data.prepared import Data
from tl_keras.run.lineage import run_of
from tl_keras.run.run import Run
from tl_keras.training.head import Earlier, Head
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.prefixes import Prefixes
from tl_keras.training.plan import Plan, resolved

HEAD_SPLITS = ("train", "val")


@dataclass
class Shared:
    """An in-memory cache for the trainings of one architecture.

    The cache saves time and changes no results. A missing value is read from the disk cache of
    activations or from the run's folder, or computed again with the same result.

    Attributes:
      heads: fitted heads, by the value of `data.balance`.
      prefixes: the frozen prefixes; key True for those in half precision, False for float32.
      opened: open arrays of activations, by (cut, split, augmented view).
      networks: traced networks of the trained suffix, see `suffix_of`.
      counts: for each array, by (cut, split, augmented view): whether the disk cache had it
        already, its size in bytes, and the seconds to read or compute it.
      passed: pairs of split and augmented view for which activations were already requested.
      prepared: folders of jobs that compute activations, if their config is already written.
    """

    heads: dict[str, Head] = field(default_factory=dict)
    prefixes: dict[bool, Prefixes] = field(default_factory=dict)
    opened: dict[tuple, np.ndarray] = field(default_factory=dict)
    networks: dict[tuple, Any] = field(default_factory=dict)
    counts: dict[tuple, tuple[bool, int, float]] = field(default_factory=dict)
    passed: set[tuple] = field(default_factory=set)
    prepared: set[Path] = field(default_factory=set)


@dataclass  # Not frozen: trainings write into `shared`.
class Architecture:
    """A backbone with a head for one example size, with its data and its caches.

    Attributes:
      run: the run in whose record decisions and times are written.
      config: the run's config; in a search, the config of the trial of this architecture that needs
        the most augmented views.
      data: examples prepared at the example size.
      backbone: the part of `model` up to its features.
      model: the whole model; a finished training sets its weights.
      trained: the model whose weights trainings change: `model`, or a copy in mixed precision.
      initial: the weights of `model` before any training.
      cuts: names of the cuts between frozen and trained layers at which trainings freeze. The
        backbone's output is left out.
      trainings: expected number of trainings that read the same activations.
      label: text in front of the names of cuts in the record; tells several architectures of a
        search apart, and is empty if there is only one.
      earlier: the head of the earlier run that `model.weights` names, if both runs have some of the
        same answers (such as classes); else None.
      shared: cache that trainings in this process share.
    """

    run: Run
    config: RunConfig
    data: Data
    backbone: keras.Model
    model: keras.Model
    trained: keras.Model
    initial: list[np.ndarray]
    cuts: tuple[str, ...]
    trainings: float = 1.0
    label: str = ""
    earlier: Earlier | None = None
    shared: Shared = field(default_factory=Shared)

    @property
    def input(self) -> str:
        """Returns the name of the backbone's input layer.

        Prepared examples are stored under this name if a trained suffix reads the model's input.
        """
        return self.backbone.operations[0].name

    @property
    def output(self) -> str:
        """Returns the name of the cut at the backbone's output, whose activations are features."""
        return self.backbone.operations[-1].name


def architecture(
    run: Run,
    config: RunConfig,
    data: Data,
    backbone: keras.Model,
    depths: Sequence[float | str],
) -> Architecture:
    """Builds an `Architecture` from a pretrained backbone, for trainings at given freeze depths.

    Args:
      depths: freeze depths, as `fit.freeze` takes them: shares 0..1 or names.
    """
    model = with_random_head(backbone, config, data.dataset)
    pattern = table.block_pattern(config.model.backbone)
    cuts = [freeze.resolve(backbone, pattern, depth).cut for depth in depths]
    named = dict.fromkeys(cut for cut in cuts if cut not in (None, backbone.operations[-1].name))
    return Architecture(
        *(run, config, data, backbone, model),
        trained=to_train(model, config, data.dataset),
        initial=model.get_weights(),
        cuts=tuple(named),
        earlier=_earlier(config, data.dataset),
    )


def _earlier(config: RunConfig, dataset: Dataset) -> Earlier | None:
    """Returns the head of the earlier run that `model.weights` names, for the answers of this run.

    Returns None if `model.weights` names no run, or if its head cannot be used.
    """
    folder = run_of(config.model.weights)
    if folder is None or config.model.head_width:
        return None
    earlier = models.earlier_head(folder, dataset.classes, config.task)
    if earlier and earlier.names:
        count = f"{len(earlier.names)} of {len(dataset.classes)} classes"
        message = "head: %s start from their weights in the head of the earlier run %r"
        logging.info(message, count, str(folder))
    return earlier


def with_random_head(backbone: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """Returns a model: the backbone with a randomly initialised head, see `model.add_head`."""
    keras.utils.set_random_seed(config.seed)
    dropout, width = config.model.dropout, config.model.head_width
    return models.add_head(backbone, dataset.classes, dropout, width, config.task)


def reading(config: RunConfig, dataset: Dataset) -> Training:
    """Builds the settings that say how training examples are read, such as batch size and order."""
    return Training(
        config.modality,
        config.fit.batch_size,
        config.seed,
        config.settings.augmentations,
        config.fit.views,
        config.data.balance,
        tasks.of(config.task, "targets").width(dataset.classes),
        config.task,
    )


def to_train(model: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """Returns the model to train: `model`, or its copy in mixed precision if the config asks."""
    if not config.fit.mixed_precision:
        return model
    # bfloat16, since float16 would need loss scaling and is slow on CPUs.
    policy, names = "mixed_bfloat16", dataset.classes
    return models.in_precision(model, config.model, config.settings, names, policy, config.task)


def plan_of(config: RunConfig, dataset: Dataset, pretrained: bool) -> Plan:
    """Returns the training settings, with the config's `auto` fields resolved for a data set."""
    count = len(dataset.splits["train"])
    steps = batches.num_steps(count, config.fit.batch_size)
    of_backbone = table.auto_values(config.model.backbone, count)
    return resolved(config.fit, count, steps, pretrained, of_backbone)
