"""What trainings of one architecture share: examples, backbone, heads, activations, traced graphs.

A run has one of its own; the trials of a search share one an architecture, so that nothing is
computed, loaded or traced twice.
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
from tl_keras.data import batches
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import Training
from tl_keras.data.prepared import Data
from tl_keras.run.lineage import run_of
from tl_keras.run.run import Run
from tl_keras.training.features import Prefixes
from tl_keras.training.head import Earlier, Head
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.plan import Plan, resolved

HEAD_SPLITS = ("train", "val")


@dataclass
class Shared:
    """What trainings of an architecture leave in memory for the next ones, so that nothing is
    computed, loaded or traced twice.

    A cache, never a requirement: what is not here is read from the store of activations and from
    the run's folder, or made again to the same values.

    Attributes:
      heads: converged, by `data.balance`.
      tried: prefixes; by whether they compute in half precision.
      opened: activations, by cut, split and view.
      networks: traced suffixes, see `suffix_of`.
      counts: of each array, by cut, split and view: whether it was kept already, bytes, seconds.
      passed: splits and views of which there was a pass.
      prepared: folders of passes that have their config.
    """

    heads: dict[str, Head] = field(default_factory=dict)
    tried: dict[bool, Prefixes] = field(default_factory=dict)
    opened: dict[tuple, np.ndarray] = field(default_factory=dict)
    networks: dict[tuple, Any] = field(default_factory=dict)
    counts: dict[tuple, tuple[bool, int, float]] = field(default_factory=dict)
    passed: set[tuple] = field(default_factory=set)
    prepared: set[Path] = field(default_factory=set)


@dataclass  # Not frozen: trainings write into `shared`.
class Architecture:
    """A backbone with a head at one example size, and what is known of it so far.

    Attributes:
      run: in whose record decisions and times are written.
      config: of the run, or of the trial of this architecture that needs the most views.
      data: prepared at the example size.
      backbone: `model` up to its features.
      model: whole; a finished training leaves its weights here.
      trained: what trainings train: `model`, or its twin in half precision.
      initial: weights before any training.
      cuts: names of the depths that trainings will freeze at, the backbone's output left out.
      trainings: how many will read the same activations.
      label: before the names of cuts in the record, where there are several architectures.
      earlier: the head of the run that the weights are of, where it knows some of the classes.
      shared: with other trainings in this process.
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
        """The backbone's input, kept like a cut for suffixes that read it, too."""
        return self.backbone.operations[0].name

    @property
    def output(self) -> str:
        """The cut at the backbone's output, whose activations are the features."""
        return self.backbone.operations[-1].name


def architecture(
    run: Run,
    config: RunConfig,
    data: Data,
    backbone: keras.Model,
    depths: Sequence[float | str],
) -> Architecture:
    """An architecture of a pretrained backbone, for trainings at some freeze depths."""
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
    """What a chain keeps of the head of the run before."""
    folder = run_of(config.model.weights)
    if folder is None or config.model.head_width:
        return None
    found = models.earlier_head(folder, dataset.classes, config.task)
    if found and found.names:
        count = f"{len(found.names)} of {len(dataset.classes)} classes"
        logging.info("head: starts from that of %r for %s", str(folder), count)
    return found


def with_random_head(backbone: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """The backbone with a random head for the data set's answers; see `model.add_head`."""
    keras.utils.set_random_seed(config.seed)
    how = config.model
    return models.add_head(backbone, dataset.classes, how.dropout, how.head_width, config.task)


def reading(config: RunConfig, dataset: Dataset) -> Training:
    """How the config has the training examples read."""
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
    """What trainings train: the model, or one of equal weights in half precision."""
    if not config.fit.mixed_precision:
        return model
    # Not float16, which would need loss scaling and is slow on CPUs.
    policy = "mixed_bfloat16"
    return models.in_precision(model, config.model, dataset.classes, policy, config.task)


def plan_of(config: RunConfig, dataset: Dataset, pretrained: bool) -> Plan:
    """What the config's `auto` fields come to on a data set."""
    count = len(dataset.splits["train"])
    steps = batches.num_steps(count, config.fit.batch_size)
    return resolved(config.fit, count, steps, pretrained)
