"""The session that the trials of a search share, and which trials would be the same."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from tl_keras.backbones import table
from tl_keras.config import space
from tl_keras.config import text as configs
from tl_keras.config.model import ModelConfig
from tl_keras.config.search import BLOCKS, Goal, Range
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data, prepared_again
from tl_keras.jobs import job
from tl_keras.modalities import part
from tl_keras.run.run import Run
from tl_keras.training import adapt
from tl_keras.training.activations import seen_views
from tl_keras.training.architecture import (
    HEAD_SPLITS,
    Architecture,
    Shared,
    architecture,
    plan_of,
    reading,
)
from tl_keras.training.backbone import check_same
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.freeze import Freeze

MAX_ARCHITECTURES = 2  # In memory.
RECKONED = 20  # Trials where minutes alone bound them; values of a range.
OF_THE_HEAD = ("data.balance",)  # What a head alone depends on, beside its architecture.


@dataclass
class Memory:
    """What a search keeps in memory from trial to trial. A cache, never a requirement: a trial that
    does not find it comes to the same, only slower.

    Attributes:
      spare: pretrained backbones by architecture, until one takes them.
      open: architectures in memory, by what they differ in.
      counts: by architecture, what the record says of its activations, see `Shared`.
      labels: of backbones with their weights and heads, by `model` of the config.
    """

    spare: dict[str, keras.Model] = field(default_factory=dict)
    open: dict[str, Architecture] = field(default_factory=dict)
    counts: dict[str, dict] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Learnt:
    """What the trials of a search say of those to come.

    Attributes:
      figures: by architecture, size and latency of the exported file.
      settled: where the head alone is so good that no other is trained, see `of_choice`.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)


@dataclass  # Not frozen: trials write into `learnt` and `memory`.
class Session:
    """What the trials of a search share.

    Attributes:
      run: the search.
      data: prepared as its config says.
      part: which examples these are, see `dealing.data_of`.
      entries: `search.space`, blocks counted.
    """

    run: Run
    data: Data
    part: int | str | None
    entries: dict[str, Any]
    learnt: Learnt
    memory: Memory

    @property
    def has_several(self) -> bool:
        """Whether the space has several architectures."""
        return len(space.architectures(self.run.config)) > 1

    def label_of(self, config: RunConfig) -> str:
        """The architecture of a trial in words, as in `MobileNetV2 alpha 0.5, 160 px`."""
        labels = self.memory.labels
        if not labels:
            counts: Counter[str] = Counter()
            for trial in space.first_trials(self.run.config):
                label, key = _label(trial.model), _model_key(trial.model)
                if key not in labels:
                    counts[label] += 1
                    # Of files of one name in folders of one name, say.
                    number = f" ({counts[label]})" if counts[label] > 1 else ""
                    labels[key] = label + number
        label = labels.get(_model_key(config.model)) or _label(config.model)
        return f"{label}, {part(config.modality, 'config').described(config.settings)}"


def open_session(run: Run, data: Data, backbone: keras.Model, learnt: Learnt) -> Session:
    """The session of a search.

    Args:
      backbone: pretrained, of the first architecture.
    """
    config = run.config
    entries, first = dict(config.search.space), space.first_trials(config)[0]
    if entries.get("fit.freeze") == BLOCKS:
        pattern = table.block_pattern(first.model.backbone)
        count = len(freeze.blocks(backbone, pattern))
        entries["fit.freeze"] = tuple(round(i / count, 6) for i in range(count + 1))
    memory = Memory({key_of(first): backbone})
    return Session(run, data, job.needs(run).get("part"), entries, learnt, memory)


def begin_with_own(session: Session, proposal: Any, values: dict[str, Any]) -> None:
    """Gives a proposal the values of the search's own config, where the space has them.

    What `auto` comes to is a rule of the data set's size: a better first guess than chance.
    """
    config = session.run.config
    plan = plan_of(config, session.data.dataset, config.model.is_pretrained)
    tree = configs.to_tree(config)
    for name, entry in session.entries.items():
        section, _, field_name = name.partition(".")
        option = field_name.removeprefix("options.")
        fields = tree[section] if option == field_name else config.model.options
        own = fields.get(option)
        own = getattr(plan, field_name, own) if own == "auto" else own
        given = proposal.hyperparameters.values
        if isinstance(entry, Range) and isinstance(own, int | float):
            given[name] = values[name] = min(max(own, entry.min), entry.max)
        elif not isinstance(entry, Range) and (near := _nearest(entry, own)) is not None:
            given[name], values[name] = near, entry[near]


def _nearest(choices: tuple, own: Any) -> int | None:
    """The position of a value, or of the number that is nearest; None where there is none."""
    if own in choices:
        return choices.index(own)
    kinds = [type(choice) for choice in choices]
    if isinstance(own, int | float) and set(kinds) <= {int, float}:
        return min(range(len(choices)), key=lambda i: abs(choices[i] - own))
    return None


def _label(model: ModelConfig) -> str:
    parts = [_shortly(model.backbone), *(f"{k} {v}" for k, v in model.options.items())]
    others = []
    if model.head_width:
        others.append(f"hidden {model.head_width}")
    if model.weights not in ("imagenet", "own"):
        others.append(_shortly(model.weights))
    if model.preprocessing:
        others.append(f"preprocessing {model.preprocessing}")
    return ", ".join([" ".join(parts), *others])


def _shortly(path: str) -> str:
    """A file's name after that of its folder: of two runs the files have the same."""
    return "/".join(Path(path).parts[-2:])


def key_of(config: RunConfig) -> str:
    """All that another architecture differs in: what its label says, and where files are."""
    names = part(config.modality, "config").PREPARATION
    prepared = [getattr(config.settings, name) for name in names]
    return json.dumps([_model_key(config.model), *prepared])


def _model_key(model: ModelConfig) -> str:
    return model.model_dump_json(exclude={"dropout"})


def data_of(session: Session, config: RunConfig) -> Data:
    """The examples as a trial's config prepares them."""
    if space.prepares_alike(config, session.run.config):
        return session.data
    return prepared_again(session.data, config, HEAD_SPLITS)


def architecture_of(session: Session, config: RunConfig) -> Architecture:
    """The architecture of a trial, opened if it is not."""
    key = key_of(config)
    if key in session.memory.open:
        return session.memory.open[key]
    while len(session.memory.open) >= MAX_ARCHITECTURES:
        del session.memory.open[next(iter(session.memory.open))]
    data, base = data_of(session, config), session.run.config
    # Trainings change a backbone: no other architecture, nor the same once more, begins with it.
    backbone = session.memory.spare.pop(key, None)
    if backbone is None:
        backbone = models.pretrained(config.model, config.settings)
    check_backbone(session, config, backbone)
    label = f"{session.label_of(config)}: " if session.has_several else ""
    pattern = table.block_pattern(config.model.backbone)
    depths: Any = session.entries.get("fit.freeze", ("auto",))
    unsearched = "fit.freeze" not in session.entries
    if isinstance(depths, Range):
        count = len(freeze.blocks(backbone, pattern))
        blocks = range(round(depths.min * count), round(depths.max * count) + 1)
        depths = [i / count for i in blocks]  # As shares of the range are rounded.
    by_rule = base.model_copy(update={"fit": base.fit.model_copy(update={"freeze": "auto"})})
    plan = plan_of(config if unsearched else by_rule, data.dataset, pretrained=True)
    depths = [plan.freeze if depth == "auto" else depth for depth in depths]
    largest = _largest(config, session)
    if not plan_of(largest, data.dataset, pretrained=True).epochs:
        depths = [1.0]  # No trial trains more than the head.
    session.memory.open[key] = replace(
        architecture(session.run, largest, data, backbone, depths),
        trainings=_trainings(session, len(set(depths))),
        label=label,
        shared=Shared(counts=session.memory.counts.setdefault(key, {})),
    )
    return session.memory.open[key]


def check_backbone(session: Session, config: RunConfig, backbone: keras.Model) -> None:
    """Refuses another file in the place of one that the search began with."""
    if session.has_several:  # Else it is done when the run begins.
        check_same(session.run, config.model, backbone, session.label_of(config))


def views_of(config: RunConfig) -> tuple[str, ...]:
    """Fields of random views of the examples."""
    names = part(config.modality, "config").OF_THE_VIEWS
    return tuple(f"{config.modality}.{name}" for name in names)


def _largest(config: RunConfig, session: Session) -> RunConfig:
    """A trial's config, as the trial of its architecture has it that needs the most views: whether
    activations are kept is decided once, and for all of them."""
    base, dataset = session.run.config, session.data.dataset
    of_views = (*views_of(config), "fit.epochs", "fit.views")
    entries = session.entries.items()
    named = {name: space.ends(name, entry) for name, entry in entries if name in of_views}
    if "fit.epochs" not in named:  # Hyperband gives trials fewer.
        named["fit.epochs"] = (base.fit.epochs,)
    rows = itertools.product(*named.values())
    every = [space.with_values(config, dict(zip(named, row, strict=True))) for row in rows]

    def needed(trial: RunConfig) -> tuple[int, ...]:
        how = reading(trial, dataset)
        epochs = plan_of(trial, dataset, pretrained=True).epochs
        views = min(how.views or epochs, epochs) if how.augmentations else 1
        mixes = how.augments.mixes(how.augmentations)
        return views, seen_views(how, trial, len(dataset.splits["val"])), not mixes, epochs

    return max(every, key=needed)


def _trainings(session: Session, depths: int) -> float:
    """How many trials will read the same activations, if chance spreads them evenly."""
    count: float = session.run.config.search.trials or RECKONED
    for name, entry in session.entries.items():
        of_data = name.startswith(("data.", f"{session.run.config.modality}."))
        if of_data or space.of_architecture(name):
            count /= RECKONED if isinstance(entry, Range) else len(entry)
    return max(1.0, count / depths)


def essence(session: Session, values: Mapping[str, Any]) -> str:
    """What a trial comes down to: of equal ones the second need not be run.

    Shares of the blocks that end at the same one are equal, as are options that a backbone does
    not take; where all layers are frozen, or the head alone is so good that nothing else is
    trained, neither rate nor epochs matter; where an architecture is over a limit, nothing does.
    """
    config = space.with_values(session.run.config, values)
    key = key_of(config)
    if is_over(session.learnt.figures.get(key, {}), session.run.config.search.goal):
        return json.dumps([key])
    others = {name: value for name, value in values.items() if not space.of_architecture(name)}
    if not config.model.is_pretrained:
        return json.dumps([key, others])
    if (settled := of_choice(session, values)) in session.learnt.settled:
        return settled
    others.pop("fit.freeze", None)
    arch = architecture_of(session, config)
    depth = frozen_at(arch, config)
    if depth.cut == arch.output:
        others = {name: value for name, value in others.items() if name in OF_THE_HEAD}
    return json.dumps([key, depth.cut, others])


def of_choice(session: Session, values: Mapping[str, Any]) -> str:
    """What decides of a trial whether fine-tuning could be chosen over the head alone."""
    config = space.with_values(session.run.config, values)
    deciding = (*OF_THE_HEAD, *views_of(config))
    others = {name: value for name, value in values.items() if name in deciding}
    return json.dumps([key_of(config), "head", others])


def is_over(figures: Mapping[str, float], goal: Goal) -> bool:
    """Whether an exported file is known to break a limit."""
    return any(figures.get(name, 0.0) > limit for name, limit in goal.limits.items())


def frozen_at(arch: Architecture, config: RunConfig) -> Freeze:
    """Where a trial freezes."""
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    return adapt.depth_of(config, arch.backbone, plan)
