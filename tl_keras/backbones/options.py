"""The options of backbones: `model.options` of the config, with their types and ranges."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Value = float | int | bool | str


@dataclass(frozen=True)
class Option:
    """The type of a backbone's constructor argument, and its range or choices.

    The range includes both ends. An argument of type `str` has choices instead.
    """

    kind: type
    low: float = 0
    high: float = 1
    imagenet: tuple[Value, ...] = ()  # values for which ImageNet weights exist; empty: all values
    choices: tuple[str, ...] = ()


def check_options(name: str, options: Mapping[str, Value], known: Mapping[str, Option]) -> None:
    """Raises ValueError if an option is unknown, or outside its range."""
    for key, value in options.items():
        if key not in known:
            hint = suggestion(key, known) if known else "it takes no options"
            raise ValueError(f"model.options.{key}: {name} has no such option; {hint}")
        check_value(f"model.options.{key}", known[key], value)


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the nearest valid name, or all names."""
    by_lower = {choice.lower(): choice for choice in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if near:
        return f"did you mean {by_lower[near[0]]!r}?"
    return f"valid: {', '.join(by_lower.values())}"


def check_value(path: str, option: Option, value: Value) -> None:
    """Raises ValueError if an option does not have the type of `option`, or is outside its range.

    Args:
      path: the field of the config, for the message.
    """
    if option.kind is str:
        if value not in option.choices:
            raise ValueError(
                f"{path}: expected one of {', '.join(option.choices)}; received {value!r}"
            )
        return
    if option.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{path}: must be true or false, received {value!r}")
        return
    kinds = (int,) if option.kind is int else (int, float)
    is_number = isinstance(value, kinds) and not isinstance(value, bool | str)
    # Not converted to a float, since a whole number may be too large for that.
    if not is_number or not option.low <= value <= option.high:  # type: ignore[operator]
        kind = "a whole number" if option.kind is int else "a number"
        raise ValueError(
            f"{path}: must be {kind} in {option.low}..{option.high}, received {value!r}"
        )
