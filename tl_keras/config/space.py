"""search.space: which fields a search changes, and to what. Imports no Keras.

A key is a field, as in `fit.learning_rate` or `model.options.alpha`, or the section `model`, whose
values are several of its fields at once, as in `{backbone: MobileNet, weights: file.h5}`.
"""

import copy
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tl_keras.backbones import table
from tl_keras.config.messages import messages, nearest, shown
from tl_keras.config.model import ModelConfig
from tl_keras.config.search import Range
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import MODALITIES, part

# What decides the data, their splits, or how they are measured is the same in all trials. Fields of
# the modality's section are in its `config`.
SEARCHED = {
    "data": ("balance",),
    "model": ("backbone", "weights", "preprocessing", "dropout", "head_width"),
    "fit": (
        *("freeze", "learning_rate", "epochs", "batch_size", "optimizer", "weight_decay"),
        *("warmup", "keep", "patience", "label_smoothing", "clip_norm", "ema", "views"),
    ),
}
NOT_OF_ARCHITECTURE = ("model.dropout",)
FREEZE = "fit.freeze"
REFUSED_BY_WEIGHTS = (FREEZE, "fit.keep")
MOST = 200  # Architectures: each is checked, and tried only if the tuner draws it.


def check(config: RunConfig) -> None:
    """Checks `search.space` against the fields that it names.

    Raises:
      ValueError: a field does not exist or cannot be searched, or its section refuses a value.
    """
    space = config.search.space
    if not space:
        raise ValueError("search.space: expected at least one field; received none")
    for name, values in space.items():
        _check_name(name, config)
        if name.startswith("model.options.") and not isinstance(values, tuple):
            # Weights are made for some of them: those between the ends of a range would be refused.
            written = values if isinstance(values, str) else values.model_dump()
            raise ValueError(
                f"search.space.{name}: expected a list of values; received {shown(written)}"
            )
        for value in ends(name, values):
            try:
                with_values(config, {name: value})
            except ValueError as error:
                # Alone it may not fit: a backbone without its size, an option without its backbone.
                if not of_architecture(name) or len(_of_architecture(space)) == 1:
                    raise _refused(name, value, error) from None
    combined = architectures(config)
    if len(combined) > MOST:
        raise ValueError(f"search.space: expected at most {MOST} architectures; it holds more")
    for architecture in combined:
        for whole in _with_others(space, architecture):
            try:
                with_values(config, whole)
            except ValueError as error:
                raise _refused(", ".join(whole), list(whole.values()), error) from None
    models = [trial.model for trial in first_trials(config)]
    _check_options(space, {model.backbone for model in models})
    _check_layers(config, models)
    _check_tuner(config)


def _with_others(space: Mapping[str, Any], values: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The values of an architecture with those of the fields that some weights refuse."""
    named = {k: tuple(ends(k, space[k])) or (0.5,) for k in REFUSED_BY_WEIGHTS if k in space}
    for row in itertools.product(*named.values()):
        yield {**values, **dict(zip(named, row, strict=True))}


def _check_options(space: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuses an option that none of the backbones takes: of some it is left out."""
    taken = {option for name in names for option in table.options_of(name)}
    for name in space:
        option = name.removeprefix("model.options.")
        if option != name and option not in taken:
            near = nearest(option, sorted(taken))
            raise ValueError(f"search.space.{name}: no option of {', '.join(sorted(names))}{near}")


def _check_layers(config: RunConfig, models: Sequence[ModelConfig]) -> None:
    space = config.search.space
    fit, field = config.fit, f"search.space.{FREEZE}" if FREEZE in space else FREEZE
    named = space.get(FREEZE, (fit.freeze,))
    if _are_one_backbone(models) or not isinstance(named, tuple):
        return
    for depth in named:
        if isinstance(depth, str) and depth != "auto":
            raise ValueError(
                f"{field}: {depth!r} is a layer of one backbone, and search.space has several; "
                "expected shares of the blocks"
            )


def _are_one_backbone(models: Sequence[ModelConfig]) -> bool:
    """Whether all architectures have the same layers."""
    return len({(model.backbone, *sorted(model.options.items())) for model in models}) == 1


def _check_tuner(config: RunConfig) -> None:
    if config.search.tuner != "hyperband":
        return
    if "fit.epochs" in config.search.space:
        raise ValueError(
            "search.space.fit.epochs: hyperband itself gives trials their epochs; expected it in "
            "fit.epochs, as the most that a trial takes"
        )
    if config.fit.epochs == 0:
        raise ValueError("fit.epochs: hyperband shares them out; expected at least 1, received 0")


def _check_name(name: str, config: RunConfig) -> None:
    searched = {**SEARCHED, config.modality: part(config.modality, "config").SEARCHED}
    known = [f"{section}.{field}" for section, fields in searched.items() for field in fields]
    if name in known or name == "model":
        return
    if name.startswith("model.options.") and name.count(".") == 2:
        return
    hint = nearest(name, known) or f"; known: {', '.join(known)}, model.options.NAME, model"
    raise ValueError(f"search.space.{name}: no field that a search can change{hint}")


def ends(name: str, values: Any) -> Iterable[Any]:
    """The values of an entry of `search.space`; of a range its ends, of `blocks` none."""
    if values == "blocks":
        if name != "fit.freeze":
            raise ValueError(f"search.space.{name}: 'blocks' is for fit.freeze alone")
        return ()
    if isinstance(values, tuple):
        if not values:
            raise ValueError(f"search.space.{name}: expected values; received an empty list")
        return values
    return (values.min, values.max)


def _refused(name: str, value: Any, error: ValueError) -> ValueError:
    reason = str(error).splitlines()[0]
    return ValueError(f"search.space.{name}: {shown(value)} is refused: {reason}")


def of_architecture(name: str) -> bool:
    """Whether another value of a field needs another backbone, other features or another head."""
    section, _, field = name.partition(".")
    if section in MODALITIES:
        return field in part(section, "config").PREPARATION
    return section == "model" and name not in NOT_OF_ARCHITECTURE


def prepares_alike(one: RunConfig, other: RunConfig) -> bool:
    """Whether two configs prepare the examples in the same way."""
    names = part(one.modality, "config").PREPARATION
    return all(getattr(one.settings, name) == getattr(other.settings, name) for name in names)


def depths(config: RunConfig) -> tuple[float | str, ...]:
    """The freeze depths that a config names one by one, where all are of one backbone."""
    search, fit = config.search, config.fit
    named: Any = (fit.freeze,)
    if search.wanted:
        named = search.space.get(FREEZE, named)
    models = [trial.model for trial in first_trials(config)]
    return named if isinstance(named, tuple) and _are_one_backbone(models) else ()


def _of_architecture(space: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in space.items() if of_architecture(name)}


def architectures(config: RunConfig) -> list[dict[str, Any]]:
    """The combinations of values of the fields that make architectures; of ranges, the ends.

    Of too many the first, and one more than `MOST`.
    """
    named = {name: ends(name, v) for name, v in _of_architecture(config.search.space).items()}
    combined = itertools.product(*named.values())
    return [dict(zip(named, row, strict=True)) for row in itertools.islice(combined, MOST + 1)]


def first_trials(config: RunConfig) -> list[RunConfig]:
    """A trial's config of each architecture; without a search, the config itself."""
    if not config.search.wanted:
        return [config]
    return [with_values(config, values) for values in architectures(config)]


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A trial's config: the search's with other values, and no search of its own.

    Where backbones are searched, an option that one does not take is left out.

    Raises:
      ValueError: a section refuses a value.
    """
    tree = config.model_dump(mode="json")
    del tree["search"]
    written = values.get("model", {})
    if not isinstance(written, Mapping):
        raise ValueError("expected fields, as in {backbone: MobileNet}")
    tree["model"].update(copy.deepcopy(dict(written)))
    options = tree["model"]["options"]
    if not isinstance(options, dict):
        raise ValueError(f"model.options: expected fields; received {shown(options)}")
    for name, value in values.items():
        section, _, field = name.partition(".")
        if field.startswith("options."):
            options[field.removeprefix("options.")] = value
        elif field:
            tree[section][field] = value
    if {"model", "model.backbone"} & config.search.space.keys():
        taken = table.options_of(tree["model"]["backbone"])
        named = {*taken, *written.get("options", ())}
        tree["model"]["options"] = {k: v for k, v in options.items() if k in named}
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        raise ValueError("\n".join(messages(error, type(config)))) from None


def takes_whole_numbers(config: RunConfig, name: str, values: Range) -> bool:
    """Whether a range is of whole numbers: both of its ends are, and its field takes no others."""
    if not isinstance(values.min, int) or not isinstance(values.max, int):
        return False
    try:
        with_values(config, {name: values.min + 0.5})
    except ValueError:
        return True
    return False
