"""Texts as HTML, and sentences about texts, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from tl_keras.report.read import RunFiles
from tl_keras.run.result.exports import OnFiles

ODD: dict[str, str] = {}
WHY_ODD = "Such texts may be unlike the texts that the model will see."
EXPLAINED = "The marked words support the prediction most."
NOT_EXPLAINED = "No words are marked."
NOT_EXPLAINED_IN_FOLDS = (
    "No words are marked, because each of these answers comes from the model of a fold."
)
SOME_NOT_EXPLAINED = "A text without marked words has no word that supports the prediction."
SHIFTS = "other authors, topics or times"


def thumbnails(run: RunFiles, files: Sequence[str]) -> list[Any]:
    """Returns what the report shows of each file; None for a file that cannot be read."""
    return [None] * len(files)


def written(run: RunFiles, name: object) -> None:
    """Returns what `explain` wrote about a text."""
    return None


def image(picture: Any, alt: str, shape: Any = None) -> str:
    """Returns a text as HTML."""
    return ""


def explained(run: RunFiles, heat: Any, alt: str, original: Any) -> str:
    """Returns a text with marked words as HTML."""
    return ""


def prepared(settings: Mapping[str, Any]) -> str:
    """Describes the model's input in a few words."""
    return "input: token ids"


def more_detail(settings: Mapping[str, Any], examined: Mapping[str, Any]) -> None:
    """Returns a change of the config by which the model sees more of a text; None."""
    return None


def on_device(device: OnFiles, right: str) -> str:
    """Returns sentences on the scores of the shipped file on the original texts."""
    return "The tokeniser in export/device/ gives the same token ids as the training code."


def findings(examined: Mapping[str, Any]) -> dict[str, str]:
    """Returns `{title of a section: HTML}` about texts."""
    return {}
