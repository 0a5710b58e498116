"""The state that all trials of a search share, and keys that are equal for equivalent trials."""

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

MAX_ARCHITECTURES = 2  # largest number of architectures in memory
# Assumed number of trials if only `search.minutes` limits them, and of values in a range.
ASSUMED_NUMBER = 20
OF_THE_HEAD = ("data.balance",)  # fields other than the architecture that affect a head-only model


@dataclass
class Memory:
    """A cache that a search keeps in memory between trials.

    Without the cache, a trial gives the same result, only more slowly. The keys of `spare`, `open`
    and `counts` name an architecture; the function `key_of` makes them.

    Attributes:
      spare: pretrained backbones that are loaded, but not used by an architecture yet.
      open: architectures in memory.
      counts: the bytes of stored activations, and the seconds to get them; see `Shared.counts`.
      labels: models in words (backbone, weights and head); the key is the config's `model` as JSON.
    """

    spare: dict[str, keras.Model] = field(default_factory=dict)
    open: dict[str, Architecture] = field(default_factory=dict)
    counts: dict[str, dict] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Learnt:
    """Results of trials that later trials reuse.

    Attributes:
      figures: size and latency of an architecture's exported file; the key is that of `key_of`.
      head_only: results of `head_key` for trials that trained only the head, because no fine-tuned
        model could be shown to be better. Further trials with these keys are not run.
    """

    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    head_only: set[str] = field(default_factory=set)


@dataclass  # Not frozen: trials write into `learnt` and `memory`.
class Session:
    """The state that all trials of a search share.

    Attributes:
      run: the run of the search.
      data: the data, prepared with the config of `run`.
      part: the part of the data set that is in `data`: the number of a fold, `all` for all folds
        together, or None without folds; see `dealing.data_of`.
      entries: `search.space`, with `blocks` replaced by a list of freeze depths.
      learnt: results of trials that later trials reuse.
      memory: what the search keeps in memory between trials, only to save time.
    """

    run: Run
    data: Data
    part: int | str | None
    entries: dict[str, Any]
    learnt: Learnt
    memory: Memory

    @property
    def has_several(self) -> bool:
        """Returns whether `search.space` has several architectures."""
        return len(space.architectures(self.run.config)) > 1

    def label_of(self, config: RunConfig) -> str:
        """Returns the architecture of a trial in words, as in `MobileNetV2 alpha 0.5, 160 px`."""
        labels = self.memory.labels
        if not labels:
            counts: Counter[str] = Counter()
            for trial in space.first_trials(self.run.config):
                label, key = _label(trial.model), _model_key(trial.model)
                if key not in labels:
                    counts[label] += 1
                    # Two files may have equal names in folders with equal names.
                    number = f" ({counts[label]})" if counts[label] > 1 else ""
                    labels[key] = label + number
        label = labels.get(_model_key(config.model)) or _label(config.model)
        return f"{label}, {part(config.modality, 'config').described(config.settings)}"


def open_session(run: Run, data: Data, backbone: keras.Model, learnt: Learnt) -> Session:
    """Returns the state that all trials of a search share.

    Args:
      backbone: the pretrained backbone of the first architecture.
    """
    config = run.config
    entries, first = dict(config.search.space), space.first_trials(config)[0]
    if entries.get("fit.freeze") == BLOCKS:
        pattern = table.block_pattern(first.model.backbone)
        count = len(freeze.blocks(backbone, pattern))
        entries["fit.freeze"] = tuple(round(i / count, 6) for i in range(count + 1))
    memory = Memory({key_of(first): backbone})
    return Session(run, data, job.needs(run).get("part"), entries, learnt, memory)


def replace_by_config(session: Session, proposal: Any, values: dict[str, Any]) -> None:
    """Replaces the proposed values by those of the config, or by the nearest in `search.space`.

    `auto` becomes the value that suits the size of the data set. The config makes a better first
    trial than random values.

    Args:
      proposal: the trial that the tuner proposes; its values are replaced in place.
      values: `{field: value}` of `proposal`; changed in place in the same way.
    """
    config = session.run.config
    plan = plan_of(config, session.data.dataset, config.model.is_pretrained)
    tree = configs.to_tree(config)
    for name, entry in session.entries.items():
        section, _, field_name = name.partition(".")
        option = field_name.removeprefix("options.")
        fields = tree[section] if option == field_name else config.model.options
        value = fields.get(option)
        value = getattr(plan, field_name, value) if value == "auto" else value
        proposed = proposal.hyperparameters.values
        if isinstance(entry, Range) and isinstance(value, int | float):
            proposed[name] = values[name] = min(max(value, entry.min), entry.max)
        elif not isinstance(entry, Range) and (near := _nearest(entry, value)) is not None:
            proposed[name], values[name] = near, entry[near]


def _nearest(choices: tuple, value: Any) -> int | None:
    """Returns the position of `value` in `choices`, or else of the number nearest to it.

    Returns None if `value` is not in `choices`, and `value` or one of the choices is not a number.
    """
    if value in choices:
        return choices.index(value)
    kinds = [type(choice) for choice in choices]
    if isinstance(value, int | float) and set(kinds) <= {int, float}:
        return min(range(len(choices)), key=lambda i: abs(choices[i] - value))
    return None


def _label(model: ModelConfig) -> str:
    parts = [_short_path(model.backbone), *(f"{k} {v}" for k, v in model.options.items())]
    others = []
    if model.head_width:
        others.append(f"hidden {model.head_width}")
    if model.weights not in ("imagenet", "own"):
        others.append(_short_path(model.weights))
    if model.preprocessing:
        others.append(f"preprocessing {model.preprocessing}")
    return ", ".join([" ".join(parts), *others])


def _short_path(path: str) -> str:
    """Returns the last two names of a path; the file name alone does not tell two runs apart."""
    return "/".join(Path(path).parts[-2:])


def key_of(config: RunConfig) -> str:
    """Returns the key of an architecture, which is equal for configs with the same architecture.

    The key has the fields of `model` except `dropout`, and the fields that prepare an example.
    """
    names = part(config.modality, "config").PREPARATION
    prepared = [getattr(config.settings, name) for name in names]
    return json.dumps([_model_key(config.model), *prepared])


def _model_key(model: ModelConfig) -> str:
    return model.model_dump_json(exclude={"dropout"})


def data_of(session: Session, config: RunConfig) -> Data:
    """Returns the examples, prepared with a trial's config."""
    if space.prepares_alike(config, session.run.config):
        return session.data
    return prepared_again(session.data, config, HEAD_SPLITS)


def architecture_of(session: Session, config: RunConfig) -> Architecture:
    """Returns the architecture of a trial, from memory or else newly built."""
    key = key_of(config)
    if key in session.memory.open:
        return session.memory.open[key]
    while len(session.memory.open) >= MAX_ARCHITECTURES:
        del session.memory.open[next(iter(session.memory.open))]
    data, base = data_of(session, config), session.run.config
    # Training changes a backbone, so each backbone is used only once.
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
        depths = [i / count for i in blocks]  # A share within the range is rounded to a block.
    by_rule = base.model_copy(update={"fit": base.fit.model_copy(update={"freeze": "auto"})})
    plan = plan_of(config if unsearched else by_rule, data.dataset, pretrained=True)
    depths = [plan.freeze if depth == "auto" else depth for depth in depths]
    largest = _with_most_views(config, session)
    if not plan_of(largest, data.dataset, pretrained=True).epochs:
        depths = [1.0]  # All trials train only the head.
    session.memory.open[key] = replace(
        architecture(session.run, largest, data, backbone, depths),
        trainings=_num_readers(session, len(set(depths))),
        label=label,
        shared=Shared(counts=session.memory.counts.setdefault(key, {})),
    )
    return session.memory.open[key]


def check_backbone(session: Session, config: RunConfig, backbone: keras.Model) -> None:
    """Raises ValueError if a backbone is not the one with which the search began."""
    if session.has_several:  # For a single architecture, the run itself checks this when it begins.
        check_same(session.run, config.model, backbone, session.label_of(config))


def augmenting_fields(config: RunConfig) -> tuple[str, ...]:
    """Returns the names of the config fields that affect only how examples are augmented."""
    names = part(config.modality, "config").OF_THE_VIEWS
    return tuple(f"{config.modality}.{name}" for name in names)


def _with_most_views(config: RunConfig, session: Session) -> RunConfig:
    """Returns the config of the trial that needs the most augmented views of each example.

    The trial is chosen among all trials with the architecture of `config`. For all of these trials,
    its config decides whether activations are stored.
    """
    base, dataset = session.run.config, session.data.dataset
    of_views = (*augmenting_fields(config), "fit.epochs", "fit.views")
    entries = session.entries.items()
    named = {name: space.ends(name, entry) for name, entry in entries if name in of_views}
    if "fit.epochs" not in named:  # Hyperband gives some trials fewer epochs.
        named["fit.epochs"] = (base.fit.epochs,)
    rows = itertools.product(*named.values())
    configs_of_trials = [
        space.with_values(config, dict(zip(named, row, strict=True))) for row in rows
    ]

    def needed(trial: RunConfig) -> tuple[int, ...]:
        how = reading(trial, dataset)
        epochs = plan_of(trial, dataset, pretrained=True).epochs
        views = min(how.views or epochs, epochs) if how.augmentations else 1
        mixes = how.augments.mixes(how.augmentations)
        return views, seen_views(how, trial, len(dataset.splits["val"])), not mixes, epochs

    return max(configs_of_trials, key=needed)


def _num_readers(session: Session, num_depths: int) -> float:
    """Estimates how many trials will read the same stored activations.

    Assumes that the trials are spread evenly over the values of `search.space`.
    """
    count: float = session.run.config.search.trials or ASSUMED_NUMBER
    for name, entry in session.entries.items():
        of_data = name.startswith(("data.", f"{session.run.config.modality}."))
        if of_data or space.of_architecture(name):
            count /= ASSUMED_NUMBER if isinstance(entry, Range) else len(entry)
    return max(1.0, count / num_depths)


def essence(session: Session, values: Mapping[str, Any]) -> str:
    """Returns a key of a trial's values. Of the trials with equal keys, only the first is run.

    Values that make no difference to the trained model are left out of the key:

    - freeze depths that resolve to the same block, and options that the backbone does not take;
    - fields of fine-tuning, such as learning rate and epochs, if all layers are frozen, or if no
      fine-tuned model could be shown to be better than the head-only model;
    - all values, if the architecture exceeds a limit.
    """
    config = space.with_values(session.run.config, values)
    key = key_of(config)
    if is_over(session.learnt.figures.get(key, {}), session.run.config.search.goal):
        return json.dumps([key])
    others = {name: value for name, value in values.items() if not space.of_architecture(name)}
    if not config.model.is_pretrained:
        return json.dumps([key, others])
    if (key_of_head := head_key(session, values)) in session.learnt.head_only:
        return key_of_head
    others.pop("fit.freeze", None)
    arch = architecture_of(session, config)
    depth = frozen_at(arch, config)
    if depth.cut == arch.output:
        others = {name: value for name, value in others.items() if name in OF_THE_HEAD}
    return json.dumps([key, depth.cut, others])


def head_key(session: Session, values: Mapping[str, Any]) -> str:
    """Returns a key of the values that decide whether a fine-tuned model can beat the head-only."""
    config = space.with_values(session.run.config, values)
    deciding = (*OF_THE_HEAD, *augmenting_fields(config))
    others = {name: value for name, value in values.items() if name in deciding}
    return json.dumps([key_of(config), "head", others])


def is_over(figures: Mapping[str, float], goal: Goal) -> bool:
    """Returns True if the size or latency of an exported file exceeds a limit of the search.

    Args:
      figures: `bytes` and `latency_ms` of the file; if one was not measured, it exceeds no limit.
    """
    return any(figures.get(name, 0.0) > limit for name, limit in goal.limits.items())


def frozen_at(arch: Architecture, config: RunConfig) -> Freeze:
    """Returns the freeze depth of a trial."""
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    return adapt.depth_of(config, arch.backbone, plan)
