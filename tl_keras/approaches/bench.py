"""Where the trials of a search are made: what they share, and which of them would be the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from tl_keras import backbones, freeze, space
from tl_keras import config as configs
from tl_keras import model as models
from tl_keras.approaches import adapt
from tl_keras.approaches.architecture import (
    HEAD_SPLITS,
    Architecture,
    Data,
    architecture,
    plan_of,
    prepared,
)
from tl_keras.config import BLOCKS, Range, RunConfig
from tl_keras.freeze import Freeze
from tl_keras.run import Run

Record = dict[str, Any]  # Of a trial, as `search.trials` of result.json has it.
IN_MEMORY = 2  # Architectures that are kept there.
UNBOUNDED = 20  # Trials that are reckoned with where minutes alone bound them.
OF_THE_HEAD = ("data.balance",)  # What a head alone depends on, beside its architecture.


@dataclass(frozen=True)
class Bench:
    """Where trials are made.

    Attributes:
      run: the search.
      data: prepared as its config says.
      spare: pretrained backbones by architecture, until one takes them.
      entries: `search.space`, blocks counted.
      measured: by architecture, size and latency of the exported file.
      open: architectures in memory, by what they differ in.
    """

    run: Run
    data: Data
    spare: dict[str, keras.Model]
    entries: dict[str, tuple | Range]
    measured: dict[str, dict[str, float]]
    open: dict[str, Architecture] = field(default_factory=dict)


def bench(
    run: Run, data: Data, backbone: keras.Model, measured: dict[str, dict[str, float]]
) -> Bench:
    """Where a search's trials are made.

    Args:
      backbone: pretrained, of the first architecture.
    """
    config = run.config
    entries, first = dict(config.search.space), space.first_trials(config)[0]
    if entries.get("fit.freeze") == BLOCKS:
        pattern = backbones.block_pattern(first.model.backbone)
        count = len(freeze.blocks(backbone, pattern))
        entries["fit.freeze"] = tuple(round(i / count, 6) for i in range(count + 1))
    return Bench(run, data, {_key(first): backbone}, entries, measured)


def begin_with_own(bench: Bench, proposal: Any, values: dict[str, Any]) -> None:
    """Gives a proposal the values of the search's own config, where the space has them.

    What `auto` comes to is a rule of the data set's size: a better first guess than chance.
    """
    config = bench.run.config
    plan = plan_of(config, bench.data.dataset, config.model.weights != "none")
    tree = configs.to_tree(config)
    for name, entry in bench.entries.items():
        section, _, field_name = name.partition(".")
        fields = {**tree[section], **{f"options.{k}": v for k, v in config.model.options.items()}}
        own = fields.get(field_name)
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


def label_of(config: RunConfig) -> str:
    """An architecture in words, as in `MobileNetV2 alpha 0.5, 160 px`."""
    model = config.model
    parts = [_shortly(model.backbone), *(f"{k} {v}" for k, v in model.options.items())]
    others = [f"{config.data.image_size} px", config.data.resize]
    if config.data.antialias:
        others.append("antialias")
    if model.head_width:
        others.append(f"hidden {model.head_width}")
    if model.weights not in ("imagenet", "own"):
        others.append(_shortly(model.weights))
    return ", ".join([" ".join(parts), *others])


def _shortly(path: str) -> str:
    """A file's name after that of its folder: of two runs the files have the same."""
    return "/".join(Path(path).parts[-2:])


def _key(config: RunConfig) -> str:
    """All that another architecture differs in: what its label says, and where files are."""
    model = config.model.model_dump(mode="json", exclude={"dropout"})
    return json.dumps([model, *(getattr(config.data, name) for name in space.OF_THE_IMAGES)])


def data_of(bench: Bench, config: RunConfig) -> Data:
    """The images as a trial's config prepares them."""
    base = bench.run.config.data
    if all(getattr(config.data, name) == getattr(base, name) for name in space.OF_THE_IMAGES):
        return bench.data
    return prepared(bench.data.dataset, config, HEAD_SPLITS)


def architecture_of(bench: Bench, config: RunConfig) -> Architecture:
    """The architecture of a trial, opened if it is not."""
    key, label = _key(config), label_of(config)
    if key in bench.open:
        return bench.open[key]
    while len(bench.open) >= IN_MEMORY:
        del bench.open[next(iter(bench.open))]
    data, base = data_of(bench, config), bench.run.config
    # Trainings change a backbone: no other architecture, nor the same once more, begins with it.
    backbone = bench.spare.pop(key, None)
    if backbone is None:
        backbone = models.pretrained(config.model, config.data.image_size)
    pattern = backbones.block_pattern(config.model.backbone)
    depths = bench.entries.get("fit.freeze", (config.fit.freeze,))
    if isinstance(depths, Range):
        count = len(freeze.blocks(backbone, pattern))
        blocks = range(round(depths.min * count), round(depths.max * count) + 1)
        depths = [i / count for i in blocks]  # As shares of the range are rounded.
    by_rule = base.model_copy(update={"fit": base.fit.model_copy(update={"freeze": "auto"})})
    plan = plan_of(by_rule, data.dataset, pretrained=True)
    depths = [plan.freeze if depth == "auto" else depth for depth in depths]
    several = len(space.architectures(base)) > 1
    bench.open[key] = architecture(
        *(bench.run, config, data, backbone, depths),
        trainings=_trainings(bench, len(set(depths))),
        label=f"{label}: " if several else "",
    )
    return bench.open[key]


def _trainings(bench: Bench, depths: int) -> float:
    """How many trials will read the same activations, if chance spreads them evenly."""
    count = bench.run.config.search.trials or UNBOUNDED
    for name, entry in bench.entries.items():
        if name.startswith("data.") or space.of_architecture(name):
            count /= UNBOUNDED if isinstance(entry, Range) else len(entry)
    return max(1.0, count / depths)


def essence(bench: Bench, values: Mapping[str, Any]) -> str:
    """What a trial comes down to: of equal ones the second need not be run.

    Shares of the blocks that end at the same one are equal; where all layers are frozen, neither
    rate nor epochs matter.
    """
    config = space.with_values(bench.run.config, values)
    if config.model.weights == "none":
        return json.dumps(values)
    others = {name: value for name, value in values.items() if name != "fit.freeze"}
    arch = architecture_of(bench, config)
    depth = frozen_at(arch, config)
    if depth.cut == arch.output:
        others = {
            name: value
            for name, value in others.items()
            if name in OF_THE_HEAD or space.of_architecture(name)
        }
    return json.dumps([depth.cut, others])


def frozen_at(arch: Architecture, config: RunConfig) -> Freeze:
    """Where a trial freezes."""
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    return adapt.depth_of(config, arch.backbone, plan)
