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
  words(name)                 the words of `model.weights` that stand for trained weights of this
                              backbone; the first is the default
  auto_values(name, num_train)            optional: {field: value} for fields of `fit` that are
                              `auto` and whose rule in `training.plan` does not hold; also
                              `strength`, see `training.plan.Plan`
  decided(name, options, weights)         optional: {field: value} for fields of the modality's
                              section that the backbone decides unless the config sets them
  token_layers(name, options)  optional: the names of two layers, whose output is the state of each
                              token, and whose table has the vector of each token
  fetch(name)                 optional: downloads files on which the config depends
  from_folder(name, options, settings, folder)   optional: [(layer, arrays)] for `build`, from a
                              folder in Hugging Face's form
"""

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from tl_keras.backbones import applications, model_file
from tl_keras.backbones.keras_hub_presets import HANDLES
from tl_keras.backbones.options import suggestion

BACKBONES: dict[str, str] = {
    **dict.fromkeys(applications.BACKBONES, applications.__name__),
    **dict.fromkeys(("MiniLM-L6", "BERT"), "tl_keras.backbones.transformer"),
    "StaticEmbedding": "tl_keras.backbones.static_embedding",
    **dict.fromkeys(HANDLES, "tl_keras.backbones.keras_hub"),
}
# Modules that build the model in a user's folder, by its `model_file.type_of`.
FOLDERS = {
    "model2vec": "tl_keras.backbones.static_embedding",
    "keras_hub": "tl_keras.backbones.keras_hub",
}
OTHER_FOLDERS = "tl_keras.backbones.hugging_face"
DOWNLOADED = ("imagenet", "published")  # Words of `model.weights` for weights in the internet.
TRAINED = ("imagenet", "glyphs", "published", "minilm")  # Words of `model.weights`.


def module_of(name: str) -> ModuleType:
    """Returns the module that builds a backbone.

    Args:
      name: a key of `BACKBONES`, or the path of a folder in Hugging Face's form.

    Raises:
      ValueError: the backbone is unknown.
    """
    if model_file.is_folder(name):
        return importlib.import_module(FOLDERS.get(model_file.type_of(name), OTHER_FOLDERS))
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone: unknown backbone {name!r}; {suggestion(name, BACKBONES)}"
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
            f"{_first(fitting) or 'a .keras file'}"
        )
    words = module.words(model.backbone)
    if model.weights in TRAINED and model.weights not in words:
        choices = ", ".join([*map(repr, words), "'none'"])
        raise ValueError(
            f"model.weights: {model.backbone} has no weights {model.weights!r}; expected "
            f"{choices}, a weights file, or the folder of an earlier run"
        )
    module.check(model.backbone, model.options, settings, model.weights)


def fetch(name: str) -> None:
    """Downloads the files of a backbone on which the config depends, unless they are cached."""
    if _is_listed(name) and (download := getattr(module_of(name), "fetch", None)):
        download(name)


def decided(model: Any) -> dict[str, Any]:
    """Returns {field of the modality's section: value} for fields that the backbone decides.

    Args:
      model: the section `model` of the config.
    """
    decided_by = _is_listed(model.backbone) and getattr(module_of(model.backbone), "decided", None)
    return decided_by(model.backbone, model.options, model.weights) if decided_by else {}


def token_layers(model: Any) -> tuple[str, str] | None:
    """Returns the names of the layers of a backbone with the states of tokens, and their table.

    Returns None if the backbone has no such layers.

    Args:
      model: the section `model` of the config.
    """
    layers = _is_listed(model.backbone) and getattr(module_of(model.backbone), "token_layers", None)
    return layers(model.backbone, model.options) if layers else None


def default_weights(name: str) -> str:
    """Returns the default of `model.weights`; `none` if a backbone has no trained weights.

    An unknown name, which `check` refuses, has the default of the default backbone.
    """
    if model_file.is_file(name):
        return "own"
    words = module_of(name).words(name) if name in BACKBONES else TRAINED
    return words[0] if words else "none"


def auto_values(name: str, num_train: int) -> dict[str, Any]:
    """Returns the values of fields of `fit` that are `auto`, for a pretrained backbone.

    Returns an empty dict if the rule of `training.plan` holds for the backbone.

    Args:
      num_train: number of training examples.
    """
    values = getattr(module_of(name), "auto_values", None) if _is_listed(name) else None
    return values(name, num_train) if values else {}


def options_of(name: str) -> Mapping[str, Any]:
    """Returns, by name, the type and range of each constructor argument that a backbone takes.

    Returns an empty dict if the backbone is unknown, or is a user's .keras file.
    """
    return module_of(name).options_of(name) if _is_listed(name) else {}


def block_pattern(name: str) -> str | None:
    """Returns the regular expression that finds a backbone's blocks, see `freeze.blocks`.

    Returns None for a user's .keras file.
    """
    return module_of(name).block_pattern(name) if _is_listed(name) else None


def _first(names: Sequence[str]) -> str:
    few = names[:5]
    return " or ".join(few) + (" or another one" if len(few) < len(names) else "")


def modality_of(name: Any) -> str | None:
    """Returns the modality of the examples that a backbone takes; None if it is not listed."""
    known = isinstance(name, str) and _is_listed(name)
    return str(module_of(name).MODALITY) if known else None


def _is_listed(name: str) -> bool:
    """Returns whether a module builds the backbone, and not `from_file` from a .keras file."""
    return name in BACKBONES or model_file.is_folder(name)
