"""Backbones by name, and the module that knows each. Imports no Keras.

Such a module has `MODALITY`, the name of what its backbones take; and by a backbone's name
`check(name, options, shape, weights)`, which raises ValueError; `options_of(name)`, constructor
arguments as `Option`; `block_pattern(name)`, see `freeze.blocks`; `build(name, options, shape,
dtype)`, a flat functional model with random weights, from the prepared example to its features
`(channels,) float32`; `official(name, options, shape)`, the same model as its makers published it.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tl_keras.backbones import applications

BACKBONES: dict[str, str] = dict.fromkeys(applications.BACKBONES, applications.__name__)


def module_of(name: str) -> ModuleType:
    """The module that knows a backbone. Raises ValueError where none does."""
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone: {name!r} is no Keras Applications backbone; "
            f"{applications.suggestion(name, BACKBONES)}"
        )
    return importlib.import_module(BACKBONES[name])


def check(model: Any, settings: Any) -> None:
    """Rejects a backbone that cannot be built of a config's `model`, without importing TensorFlow.

    Args:
      settings: of the examples' modality.

    Raises:
      ValueError: an unknown backbone or option, a value outside its range, examples that the
        backbone does not take.
    """
    module = module_of(model.backbone)
    if module.MODALITY != settings.modality:
        fitting = [name for name in BACKBONES if module_of(name).MODALITY == settings.modality]
        raise ValueError(
            f"model.backbone: {model.backbone} takes examples of {module.MODALITY}, and the data "
            f"are {settings.modality}; expected {' or '.join(fitting) or 'a .keras file'}"
        )
    module.check(model.backbone, model.options, settings.shape, model.weights)


def options_of(name: str) -> Mapping[str, Any]:
    """Constructor arguments that a backbone takes; none for a name that nobody knows."""
    return module_of(name).options_of(name) if name in BACKBONES else {}


def block_pattern(name: str) -> str | None:
    """A regular expression for a backbone's blocks; None for a file, whose names say nothing."""
    return module_of(name).block_pattern(name) if name in BACKBONES else None
