"""What trainings of one architecture share: images, backbone, heads, activations, traced graphs.

A run has one of its own; the trials of a search share one an architecture, so that nothing is
computed, loaded or traced twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.backbones import table
from tl_keras.config.whole import RunConfig
from tl_keras.data import batches, doctor
from tl_keras.data.batches import Inputs, Training
from tl_keras.data.examples import SPLITS, Dataset
from tl_keras.data.store import Kept
from tl_keras.run.folder import Run
from tl_keras.run.lineage import run_of
from tl_keras.training import features, freeze
from tl_keras.training import fit as train
from tl_keras.training import head as heads
from tl_keras.training import model as models
from tl_keras.training.features import Cut, Prefixes, Worth
from tl_keras.training.fit import Plan
from tl_keras.training.head import Earlier, Head, Recipe

HEAD_SPLITS = ("train", "val")
MAX_OPEN_ARRAYS = 200  # Each is a file.


@dataclass(frozen=True)
class Data:
    """A data set with its prepared images by split.

    Attributes:
      pool: of a fold, all examples that the folds are of, in its split train: activations are
        computed for all folds at once.
    """

    dataset: Dataset
    inputs: dict[str, Inputs]
    pool: "Data | None" = None

    @property
    def source(self) -> "Data":
        """What activations are computed of."""
        return self.pool or self

    def split_of(self, split: str) -> str:
        """The split of `source` in which a split's examples are."""
        return "train" if self.pool else split


def prepared(dataset: Dataset, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """A data set with its images decoded and resized, or how to get them."""
    inputs = {split: batches.prepared(dataset, split, config) for split in splits}
    return Data(dataset, inputs)


def prepared_again(data: Data, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """The same examples, prepared as another config has it; those of a fold are left a part."""
    if data.pool is None:
        return prepared(data.dataset, config, splits)
    pool = prepared(data.pool.dataset, config, ("train",))
    parts = {split: pool.inputs["train"].part(data.inputs[split].rows) for split in splits}
    return Data(data.dataset, parts, pool)


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
    """

    heads: dict[str, Head] = field(default_factory=dict)
    tried: dict[bool, Prefixes] = field(default_factory=dict)
    opened: dict[tuple, np.ndarray] = field(default_factory=dict)
    networks: dict[tuple, Any] = field(default_factory=dict)
    counts: dict[tuple, tuple[bool, int, float]] = field(default_factory=dict)
    passed: set[tuple] = field(default_factory=set)


@dataclass(frozen=True)
class Architecture:
    """A backbone with a head at one image size, and what is known of it so far.

    Attributes:
      run: in whose record decisions and times are written.
      config: of the run, or of the trial of this architecture that needs the most views.
      data: prepared at the image size.
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
    model = add_head(backbone, config, data.dataset)
    pattern = table.block_pattern(config.model.backbone)
    cuts = [freeze.resolve(backbone, pattern, depth).cut for depth in depths]
    named = dict.fromkeys(cut for cut in cuts if cut not in (None, backbone.operations[-1].name))
    return Architecture(
        *(run, config, data, backbone, model),
        trained=in_precision(model, config, data.dataset),
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


def add_head(backbone: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """The backbone with a random head for the data set's answers; see `model.add_head`."""
    keras.utils.set_random_seed(config.seed)
    how = config.model
    return models.add_head(backbone, dataset.classes, how.dropout, how.head_width, config.task)


def reading(config: RunConfig, dataset: Dataset) -> Training:
    """How the config has the training images read."""
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


def in_precision(model: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """The model, or one of equal weights that computes in half precision."""
    if not config.fit.mixed_precision:
        return model
    # Not float16, which would need loss scaling and is slow on CPUs.
    policy = "mixed_bfloat16"
    return models.in_precision(model, config.model, dataset.classes, policy, config.task)


def plan_of(config: RunConfig, dataset: Dataset, pretrained: bool) -> Plan:
    """What the config's `auto` fields come to on a data set."""
    count = len(dataset.splits["train"])
    steps = batches.num_steps(count, config.fit.batch_size)
    return train.plan(config.fit, count, steps, pretrained)


def prefixes(arch: Architecture, half: bool) -> Prefixes:
    """The prefixes at the architecture's depths, tried on the first training images.

    Args:
      half: of `trained`, where that computes in half precision, with all depths; else of the
        backbone, whose output is the head's features.
    """
    half = half and arch.trained is not arch.model
    if half not in arch.shared.tried:
        backbone = models.backbone_of(arch.trained) if half else arch.backbone
        cuts = arch.cuts if half or arch.trained is arch.model else ()
        with arch.run.timed("features"):
            inputs = arch.data.source.inputs["train"]
            first = next(iter(batches.evaluation(inputs, features.BATCH_SIZE)))
            arch.shared.tried[half] = features.prefixes(backbone, cuts, first, arch.config.model)
    return arch.shared.tried[half]


def cut_of(arch: Architecture, name: str) -> Cut:
    """A depth as it was tried."""
    return prefixes(arch, half=True).cuts[name]


def activations(
    arch: Architecture,
    names: Sequence[str],
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Activations of a split at the named cuts: of the images as they are, or of a view.

    Args:
      also: cuts whose activations are made in the same pass, if there has been none.
    """
    shows = () if view is None else (how.augmentations, how.seed, view)
    rows, source = arch.data.inputs[split].rows, arch.data.source
    split = arch.data.split_of(split)
    if (split, *shows) not in arch.shared.passed:
        names = list(dict.fromkeys([*names, *also]))
        arch.shared.passed.add((split, *shows))
    inputs = source.inputs[split]
    if arch.input in names and view is None and inputs.array is not None:  # It is at hand.
        arch.shared.opened[arch.input, split] = inputs.take(slice(None))
    missing = [name for name in names if (name, split, *shows) not in arch.shared.opened]
    for half in (False, True):
        some = [name for name in missing if (name in prefixes(arch, half).cuts)]
        missing = [name for name in missing if name not in some]
        if not some:
            continue
        with arch.run.timed("features"), _as_before_training(arch):
            shown = features.plain(inputs, source.dataset, split, arch.config)
            if view is not None:
                shown = features.viewed(shown, inputs, how, view)
            found = features.compute(prefixes(arch, half), some, shown, arch.config.cache)
        for name, kept in found.items():
            arch.shared.opened[name, split, *shows] = kept.array
            _record(arch, (name, split, *shows), kept)
    while len(arch.shared.opened) > max(MAX_OPEN_ARRAYS, len(names)):
        del arch.shared.opened[next(iter(arch.shared.opened))]
    found = {name: arch.shared.opened[name, split, *shows] for name in names}
    return found if rows is None else {name: array[rows] for name, array in found.items()}


@contextmanager
def _as_before_training(arch: Architecture) -> Iterator[None]:
    """Gives the models their initial weights meanwhile: the prefixes share their layers, of which
    those between a shallower depth and a deeper one may just be trained."""
    every = [arch.model] if arch.trained is arch.model else [arch.model, arch.trained]
    now = [(variable, variable.numpy()) for model in every for variable in models.tunable(model)]
    for model in every:
        models.reset(model, arch.initial)
    try:
        yield
    finally:
        for variable, value in now:
            variable.assign(value)


def starts_of(
    arch: Architecture,
    cut: str,
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> batches.Arrays:
    """What a suffix starts at: a cut's activations and, where it reads them, the images, too.

    Args as of `activations`.
    """
    names = [cut, arch.input] if cut_of(arch, cut).input_bytes else [cut]
    found = activations(arch, names, split, how, view, also)
    return tuple(found[name] for name in names) if len(names) > 1 else found[cut]


def _record(arch: Architecture, key: tuple, kept: Kept) -> None:
    """Adds an array to what the record says of its cut: of its views, all of this session."""
    name, split, *_ = key
    why = "what suffixes read, too" if name == arch.input else "what heads are fitted on"
    decided = _recorded(arch, name, split) or {"keep": True, "why": why}
    # An array that is opened once more is no other one.
    arch.shared.counts.setdefault(key, (kept.cached, kept.array.nbytes, kept.seconds))
    found = [count for other, count in arch.shared.counts.items() if other[:2] == (name, split)]
    cached, sizes, seconds = zip(*found, strict=True)
    counted = {"cached": all(cached), "bytes": sum(sizes), "seconds": round(sum(seconds), 3)}
    arch.run.add(features={f"{arch.label}{name}/{split}": {**decided, **counted}})


def _recorded(arch: Architecture, name: str, split: str) -> dict[str, Any] | None:
    return arch.run.record.get("features", {}).get(f"{arch.label}{name}/{split}")


def head_of(arch: Architecture, config: RunConfig) -> Head:
    """The converged head that the architecture's trainings start from.

    In the same pass come the activations of the images as they are that trainings will want.

    Raises:
      ValueError: features are NaN or infinite.
    """
    balance = config.data.balance
    if balance not in arch.shared.heads and (kept := heads.load(kept_head(arch.run))):
        arch.shared.heads[balance] = kept
    if balance in arch.shared.heads:
        return arch.shared.heads[balance]
    found, how = {}, reading(config, arch.data.dataset)
    for split in HEAD_SPLITS:
        # Of augmented images training looks at views alone.
        wanted = [] if split == "train" and how.augmentations else kept_cuts(arch, split)
        if arch.data.pool:  # Whose images as they are validation looks at, too.
            wanted = kept_cuts(arch, "val")
        array = activations(arch, [arch.output], split, how, None, wanted)[arch.output]
        features.check_finite(array, arch.data.dataset, split, config)
        found[split] = Inputs(arch.data.inputs[split].labels, array)
    with arch.run.timed("head"):
        arch.shared.heads[balance] = heads.fit_head(
            tuple(found[split].array for split in HEAD_SPLITS),
            tuple(found[split].labels for split in HEAD_SPLITS),
            _recipe(arch, config),
        )
        if arch.data.pool is None and "suspects" not in arch.run.findings:
            arch.run.find(**doctor.suspected(arch.data.dataset, found))
    head = arch.shared.heads[balance]
    chosen = next(r for r in head.history if r["regularisation"] == head.regularisation)
    logging.info("head: %s", train.validated(chosen)[-1])
    return arch.shared.heads[balance]


def kept_head(run: Run) -> Path:
    """Where a job has the head that it starts from, if that was fitted for it."""
    return run.checkpoint / "head.npz"


def refit_head(
    arch: Architecture, config: RunConfig, regularisation: float, count: int | None = None
) -> Head:
    """A head of a strength that was chosen elsewhere, on the first training examples, or all."""
    how, labels = reading(config, arch.data.dataset), arch.data.inputs["train"].labels[:count]
    pooled = activations(arch, [arch.output], "train", how, None)[arch.output][:count]
    with arch.run.timed("head"):
        return heads.refit_head(pooled, labels, _recipe(arch, config), regularisation)


def _recipe(arch: Architecture, config: RunConfig) -> Recipe:
    how = config.data.balance, config.model.head_width, config.seed, arch.earlier
    return Recipe(*how, config.task)


def kept_cuts(arch: Architecture, split: str) -> list[str]:
    """The depths at which a split's activations are kept, and the input where one reads it."""
    kept = [name for name in arch.cuts if keeps(arch, arch.config, name)[split]]
    reads = any(cut_of(arch, name).input_bytes for name in kept)
    return [*kept, arch.input] if reads else kept


def keeps(arch: Architecture, config: RunConfig, name: str) -> dict[str, bool]:
    """By split, whether activations at a cut are kept: decided once, by time and room.

    What the suffix sees is equal either way. The record repeats the decision in a resumed run.
    """
    plan = plan_of(arch.config, arch.data.dataset, pretrained=True)
    how = reading(arch.config, arch.data.dataset)
    # A depth's share of it; one pass may write all of them.
    room = config.cache.max_bytes / (len(arch.cuts) + 1)
    source = arch.data.source
    num_train, num_val = (
        len(source.inputs["train" if source.dataset.whole else split]) for split in HEAD_SPLITS
    )
    cut = cut_of(arch, name)

    def of_train() -> Worth:
        views = (how.views or plan.epochs) if how.augmentations else 1
        uses = arch.trainings * max(1.0, plan.epochs / views)
        return features.worth_keeping(cut, views * num_train, uses, room)

    def of_val() -> Worth:
        looks = 1 + seen_views(how, arch.config, num_val)
        return features.fitting(cut, looks * num_val, room)

    # What is mixed of two images has no activations of its own to keep.
    mixes = how.augments.mixes(config.settings.augmentations)
    return {
        "train": not mixes and _decided(arch, name, "train", of_train),
        "val": _decided(arch, name, "val", of_val),
    }


def decisions(arch: Architecture) -> dict[str, dict[str, Any]]:
    """What the record says of the architecture's activations: which are kept, and why; decided
    now, where it was not yet."""
    for name in arch.cuts:
        keeps(arch, arch.config, name)
    known = arch.run.record.get("features", {})
    named = [f"{arch.label}{name}/{split}" for name in arch.cuts for split in HEAD_SPLITS]
    return {name: known[name] for name in named if name in known}


def _decided(arch: Architecture, name: str, split: str, decide: Callable[[], Worth]) -> bool:
    recorded = _recorded(arch, name, split)
    if recorded:
        return recorded["keep"]
    worth = decide()
    entry = {**asdict(worth), "dtype": cut_of(arch, name).dtype}
    arch.run.add(features={f"{arch.label}{name}/{split}": entry})
    logging.info("activations %s/%s are %s: %s", name, split, KEPT[worth.keep], worth.why)
    return worth.keep


KEPT = {True: "kept", False: "computed at each step"}


def seen_views(how: Training, config: RunConfig, num_val: int) -> int:
    """How many augmented views of each validation image the choice of a candidate leans on."""
    choice, draws = tasks.of(config.task, "choice"), how.augments.num_columns(how.augmentations)
    if not choice.uses_views(config.fit.choose_by) or not draws:
        return 0
    return train.num_views(num_val)
