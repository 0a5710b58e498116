"""Checks `search.space`, and makes the config of a trial. Imports no Keras.

Each entry of `search.space` has the name of a field, such as `fit.learning_rate` or
`model.options.alpha`, or the name `model`. Each value of the entry `model` sets several fields of
the section `model` at once, as in `{backbone: MobileNet, weights: a.h5}`.

An architecture is one combination of the values of all fields that decide the backbone, the head or
how examples are prepared.
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

# The fields that a search can change; a modality lists the fields of its section in its `config`.
# Fields that decide the data, the splits or the metrics are left out: trials must be comparable.
SEARCHED = {
    "data": ("balance",),
    "model": ("backbone", "weights", "preprocessing", "dropout", "head_width"),
    "fit": (
        *("freeze", "learning_rate", "epochs", "batch_size", "optimizer", "weight_decay"),
        *("warmup", "keep", "patience", "label_smoothing", "clip_norm", "ema", "views"),
    ),
}
NOT_OF_ARCHITECTURE = ("model.dropout",)  # The only field of `model` that changes no architecture.
FREEZE = "fit.freeze"
REFUSED_BY_WEIGHTS = (FREEZE, "fit.keep")  # With random weights, some of their values are refused.
MOST = 200  # Largest number of architectures in a space; each of them is checked.


def check(config: RunConfig) -> None:
    """Checks `search.space` against the fields that it names.

    Raises:
      ValueError: a field does not exist or cannot be searched, or its section rejects a value.
    """
    space = config.search.space
    if not space:
        raise ValueError("search.space: expected at least one field; received none")
    for name, values in space.items():
        _check_name(name, config)
        if name.startswith("model.options.") and not isinstance(values, tuple):
            # Weights exist for some values only, so values inside a range would be rejected.
            written = values if isinstance(values, str) else values.model_dump()
            raise ValueError(
                f"search.space.{name}: expected a list of values; received {shown(written)}"
            )
        for value in ends(name, values):
            try:
                with_values(config, {name: value})
            except ValueError as error:
                # A value may need another one: an option its backbone, a backbone its image size.
                # All combinations are checked below.
                if not of_architecture(name) or len(_of_architecture(space)) == 1:
                    raise _refused(name, value, error) from None
    combined = architectures(config)
    if len(combined) > MOST:
        raise ValueError(
            f"search.space: expected at most {MOST} combinations of values of the fields that "
            "decide the backbone, the head or the preparation of the examples; received more"
        )
    for architecture in combined:
        for whole in _with_freeze_and_keep(space, architecture):
            try:
                with_values(config, whole)
            except ValueError as error:
                raise _refused(", ".join(whole), list(whole.values()), error) from None
    models = [trial.model for trial in first_trials(config)]
    _check_options(space, {model.backbone for model in models})
    _check_layers(config, models)
    _check_tuner(config)


def _with_freeze_and_keep(
    space: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """Yields an architecture's values with each combination of values of `fit.freeze`, `fit.keep`.

    The weights of the architecture decide which values of these two fields are allowed, so `check`
    tries all combinations. A field that `search.space` does not name is left out.

    Args:
      space: `search.space`.
      values: the values of one architecture by name of the field.
    """
    named = {k: tuple(ends(k, space[k])) or (0.5,) for k in REFUSED_BY_WEIGHTS if k in space}
    for row in itertools.product(*named.values()):
        yield {**values, **dict(zip(named, row, strict=True))}


def _check_options(space: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises ValueError if `search.space` has an option that none of its backbones takes.

    One backbone that takes the option is enough. `with_values` removes the option from trials with
    another backbone.

    Args:
      names: the names of all backbones in `search.space`.
    """
    taken = {option for name in names for option in table.options_of(name)}
    for name in space:
        option = name.removeprefix("model.options.")
        if option != name and option not in taken:
            near = nearest(option, sorted(taken))
            backbones = " or ".join(sorted(names))
            raise ValueError(f"search.space.{name}: not an option of {backbones}{near}")


def _check_layers(config: RunConfig, models: Sequence[ModelConfig]) -> None:
    space = config.search.space
    fit, field = config.fit, f"search.space.{FREEZE}" if FREEZE in space else FREEZE
    named = space.get(FREEZE, (fit.freeze,))
    if _are_one_backbone(models) or not isinstance(named, tuple):
        return
    for depth in named:
        if isinstance(depth, str) and depth != "auto":
            raise ValueError(
                f"{field}: {depth!r} is a layer of one backbone, but search.space has several "
                "backbones or several values of model.options; expected shares of the blocks, "
                "from 0 to 1, or 'auto'"
            )


def _are_one_backbone(models: Sequence[ModelConfig]) -> bool:
    """Returns True if all sections `model` have the same backbone with the same options.

    Args:
      models: the section `model` of one trial for each architecture.
    """
    return len({(model.backbone, *sorted(model.options.items())) for model in models}) == 1


def _check_tuner(config: RunConfig) -> None:
    if config.search.tuner != "hyperband":
        return
    if "fit.epochs" in config.search.space:
        raise ValueError(
            "search.space.fit.epochs: hyperband chooses the epochs of each trial itself; remove "
            "this entry and set fit.epochs to the largest number of epochs of a trial"
        )
    if config.fit.epochs == 0:
        raise ValueError("fit.epochs: expected at least 1 for hyperband, received 0")


def _check_name(name: str, config: RunConfig) -> None:
    searched = {**SEARCHED, config.modality: part(config.modality, "config").SEARCHED}
    known = [f"{section}.{field}" for section, fields in searched.items() for field in fields]
    if name in known or name == "model":
        return
    if name.startswith("model.options.") and name.count(".") == 2:
        return
    hint = nearest(name, known) or f"; it can change: {', '.join(known)}, model.options.NAME, model"
    raise ValueError(f"search.space.{name}: a search cannot change this field{hint}")


def ends(name: str, values: Any) -> Iterable[Any]:
    """Returns the values that an entry of `search.space` names.

    These are all values of a list, the two ends of a range, or none for `blocks`.

    Args:
      name: the name of the entry.
      values: the list, the range or `blocks`.

    Raises:
      ValueError: the list is empty, or the entry is `blocks` but not of `fit.freeze`.
    """
    if values == "blocks":
        if name != "fit.freeze":
            raise ValueError(f"search.space.{name}: 'blocks' is only possible for fit.freeze")
        return ()
    if isinstance(values, tuple):
        if not values:
            raise ValueError(f"search.space.{name}: expected values; received an empty list")
        return values
    return (values.min, values.max)


def _refused(name: str, value: Any, error: ValueError) -> ValueError:
    reason = str(error).splitlines()[0]
    return ValueError(f"search.space.{name}: {shown(value)} is not possible: {reason}")


def of_architecture(name: str) -> bool:
    """Returns whether a field decides the architecture of a trial.

    A trial with another value of such a field needs another backbone, other features or another
    head.

    Args:
      name: the name of the field, or `model`.
    """
    section, _, field = name.partition(".")
    if section in MODALITIES:
        return field in part(section, "config").PREPARATION
    return section == "model" and name not in NOT_OF_ARCHITECTURE


def prepares_alike(one: RunConfig, other: RunConfig) -> bool:
    """Returns whether two configs prepare the examples in the same way."""
    names = part(one.modality, "config").PREPARATION
    return all(getattr(one.settings, name) == getattr(other.settings, name) for name in names)


def depths(config: RunConfig) -> tuple[float | str, ...]:
    """Returns the freeze depths that a config names: those of the search, else `fit.freeze`.

    Returns () if the depths of the search are a range or `blocks`, or if the search has several
    backbones or several values of `model.options`.
    """
    search, fit = config.search, config.fit
    named: Any = (fit.freeze,)
    if search.wanted:
        named = search.space.get(FREEZE, named)
    models = [trial.model for trial in first_trials(config)]
    return named if isinstance(named, tuple) and _are_one_backbone(models) else ()


def _of_architecture(space: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in space.items() if of_architecture(name)}


def architectures(config: RunConfig) -> list[dict[str, Any]]:
    """Returns one dict for each architecture in `search.space`, from field names to values.

    The architectures are all combinations of the values of the fields that decide the architecture.
    A range counts as its two ends. The list ends after `MOST + 1` combinations, which are already
    too many for `check`.
    """
    named = {name: ends(name, v) for name, v in _of_architecture(config.search.space).items()}
    combined = itertools.product(*named.values())
    return [dict(zip(named, row, strict=True)) for row in itertools.islice(combined, MOST + 1)]


def first_trials(config: RunConfig) -> list[RunConfig]:
    """Returns the config of one trial for each architecture; without a search, `[config]`."""
    if not config.search.wanted:
        return [config]
    return [with_values(config, values) for values in architectures(config)]


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Returns the config of a trial: the config with the trial's values, and without a search.

    If `search.space` has several backbones, options that the trial's backbone does not take are
    left out, and each backbone has its own default weights.

    Args:
      config: the config of the search.
      values: the trial's values by name of the field. The value of `model` is a dict of fields of
        the section `model`.

    Raises:
      ValueError: a section rejects a value.
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
    earlier, backbone = config.model, tree["model"]["backbone"]
    is_default = earlier.weights == table.default_weights(earlier.backbone)
    is_open = not {"weights", "model.weights"} & {*written, *values}
    if is_default and is_open and isinstance(backbone, str):
        tree["model"]["weights"] = table.default_weights(backbone)
    if {"model", "model.backbone"} & config.search.space.keys():
        taken = table.options_of(backbone)
        named = {*taken, *written.get("options", ())}
        tree["model"]["options"] = {k: v for k, v in options.items() if k in named}
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        raise ValueError("\n".join(messages(error, type(config)))) from None


def takes_whole_numbers(config: RunConfig, name: str, values: Range) -> bool:
    """Returns True if a field can only have the whole numbers of a range.

    This is so if both ends of the range are whole numbers and the field rejects fractions.
    """
    if not isinstance(values.min, int) or not isinstance(values.max, int):
        return False
    try:
        with_values(config, {name: values.min + 0.5})
    except ValueError:
        return True
    return False
