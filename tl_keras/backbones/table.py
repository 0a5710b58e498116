"""The table of all backbones: names the module that builds each backbone. Imports no Keras.

Such a module has:
  MODALITY                    the modality of the examples that its backbones take
  check(name, options, settings, weights)   raises ValueError if the backbone cannot be built;
                              `settings` is the config section of the modality
  options_of(name)            the constructor arguments that can be set, by name, each as an
                              `Option` (type and range, or choices)
  block_pattern(name)         a regular expression that finds the blocks, see `freeze.blocks`
  build(name, options, settings, dtype)   a functional model that turns prepared examples into
                              features `(batch, channels) float32`; without inner models, with
                              random weights
  official(name, options, settings)       the model with the weights that its authors published
  decided(name, options, weights)        optional: {field: value} for fields of the modality's
                              section that the backbone decides unless the config sets them
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tl_keras.backbones import applications

BACKBONES: dict[str, str] = dict.fromkeys(applications.BACKBONES, applications.__name__)


def module_of(name: str) -> ModuleType:
    """Returns the module that builds a backbone.

    Raises:
      ValueError: the backbone is unknown.
    """
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone: unknown backbone {name!r}; {applications.suggestion(name, BACKBONES)}"
        )
    return importlib.import_module(BACKBONES[name])


def check(model: Any, settings: Any) -> None:
    """Checks that the backbone of a config can be built, without importing TensorFlow.

    Args:
      model: the section `model` of the config.
      settings: the section of the examples' modality.

    Raises:
      ValueError: the backbone or an option is unknown, a value is outside its range, or the
        backbone does not take these examples.
    """
    module = module_of(model.backbone)
    if module.MODALITY != settings.modality:
        fitting = [name for name in BACKBONES if module_of(name).MODALITY == settings.modality]
        raise ValueError(
            f"model.backbone: {model.backbone} takes examples of the modality "
            f"{module.MODALITY!r}, but the modality of the data is {settings.modality!r}; expected "
            f"{' or '.join(fitting) or 'a .keras file'}"
        )
    module.check(model.backbone, model.options, settings, model.weights)


def decided(model: Any) -> dict[str, Any]:
    """Returns {field of the modality's section: value} for fields that the backbone decides.

    Args:
      model: the section `model` of the config.
    """
    if model.backbone not in BACKBONES:
        return {}
    decided_by = getattr(module_of(model.backbone), "decided", None)
    return decided_by(model.backbone, model.options, model.weights) if decided_by else {}


def options_of(name: str) -> Mapping[str, Any]:
    """Returns, by name, the type and range of each constructor argument that a backbone takes.

    Returns an empty dict if the backbone is unknown, or is a user's own file.
    """
    return module_of(name).options_of(name) if name in BACKBONES else {}


def block_pattern(name: str) -> str | None:
    """Returns the regular expression that finds a backbone's blocks, see `freeze.blocks`.

    Returns None for a user's own file.
    """
    return module_of(name).block_pattern(name) if name in BACKBONES else None
