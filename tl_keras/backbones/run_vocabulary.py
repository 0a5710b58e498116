"""Finds the vocabulary with which the weights of an earlier run were trained.

Importing this module imports neither NumPy, Keras nor TensorFlow.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tl_keras.backbones.table import TRAINED
from tl_keras.modalities.text.config import KEPT
from tl_keras.modalities.text.tokens import vocabulary as vocabularies
from tl_keras.modalities.text.tokens.vocabulary import EMBEDDED

CONFIG = "config.yaml"


def find(weights: str) -> str | None:
    """Returns the location of the vocabulary of an earlier run; None if it has none.

    The location is the first of these that exists: the folder `vocabulary` of the run, the
    vocabulary in its config, or the vocabulary of the run from whose weights it started.

    Args:
      weights: the value of `model.weights`: the folder of a run, a file in it, or anything else.
    """
    seen: set[Path] = set()
    while (folder := _folder(weights)) and folder not in seen:
        seen.add(folder)
        kept = folder / KEPT
        if any((kept / name).is_file() for name in (vocabularies.VOCAB, vocabularies.JSON)):
            return str(kept)
        location, weights = _fields_of(folder / CONFIG, (folder / CONFIG).stat().st_mtime_ns)
        if location:
            return location
    return None


def _folder(weights: str) -> Path | None:
    """Returns the folder of the run that `model.weights` names; None if it names no run."""
    if weights in ("", "none", "own", *TRAINED):
        return None
    path = Path(weights).absolute()
    folder = path if path.is_dir() else path.parent
    return folder if path.exists() and (folder / CONFIG).is_file() else None


@functools.lru_cache(maxsize=32)
def _fields_of(config: Path, stamp: int) -> tuple[str, str]:
    """Returns the values of `text.vocabulary` and `model.weights` in a config; "" if missing.

    Args:
      stamp: the time of the last change, so that a changed file is read again.
    """
    try:
        tree: Any = YAML(typ="safe", pure=True).load(config.read_text(encoding="utf-8"))
        text, model = (tree.get(section) or {} for section in ("text", "model"))
        values = text.get("vocabulary"), model.get("weights")
    except (YAMLError, AttributeError, OSError, ValueError):  # Not the config of a run.
        return "", ""
    vocabulary, weights = (value if isinstance(value, str) else "" for value in values)
    return vocabulary, weights


def check(settings: Any, weights: str) -> None:
    """Checks that a config has the vocabulary of the weights of an earlier run.

    Args:
      settings: the config section `text`.
      weights: the value of `model.weights`.

    Raises:
      ValueError: the vocabulary is another one.
    """
    trained = find(weights)
    if trained is None or settings.vocabulary in (None, trained):
        return
    if settings.vocabulary not in EMBEDDED and not Path(settings.vocabulary).exists():
        return  # A finished run must still load. Reading the vocabulary reports that it is missing.
    own, other = (vocabularies.read(location) for location in (trained, settings.vocabulary))
    # `order` does not matter: the table of a run has its rows in the order of the ids.
    if replace(own, order=()) != replace(other, order=()):
        raise ValueError(
            f"text.vocabulary: the weights of {weights!r} were trained with the vocabulary in "
            f"{trained!r}, which has {own.num_tokens:,} tokens; received another vocabulary, "
            f"{settings.vocabulary!r}, which has {other.num_tokens:,}; leave text.vocabulary at "
            "null, or choose other weights"
        )
