"""Checks whether a file is a readable text. Imports no TensorFlow."""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tl_keras.modalities.text.config import TextConfig

FIELDS = 1  # Increase this number when `Checked` gets a new field.
BY = [FIELDS]


@dataclass(frozen=True)
class Checked:
    """The result of checking one file; `reason` says why it cannot be used, and is "" if it can."""

    digest: str = ""  # SHA-256 of the content, hex
    characters: int = 0
    looks: str = ""
    reason: str = ""


def bound(settings: TextConfig) -> int:
    """Returns `text.max_bytes`, on which checks depend. If it changes, checks are repeated."""
    return settings.max_bytes


def session() -> AbstractContextManager:
    """Returns a context manager for the checks of many files."""
    return contextlib.nullcontext()


def read(
    file: Path | BinaryIO,
    content: Callable[[], bytes],
    digest: str,
    settings: TextConfig,
    looks: bool,
) -> Checked:
    """Decodes a text, and returns its number of characters."""
    data = content()
    if len(data) > settings.max_bytes:
        reason = f"{len(data)} bytes are over text.max_bytes, {settings.max_bytes}"
        return Checked(digest, reason=reason)
    text = data.decode("utf-8-sig")
    if not text.strip():
        return Checked(digest, reason="empty text")
    return Checked(digest, len(text), "x" if looks else "")


def blame(start: bytes, error: Exception) -> str:
    """Returns why a file cannot be read as a text."""
    return f"not UTF-8 text: {error}"


def warnings(checked: Mapping[str, Checked]) -> list[str]:
    """Returns warnings about readable texts."""
    return []
