"""Checks whether a file or a cell is a readable text. Imports no TensorFlow."""

import contextlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tl_keras.data.wording import count_of, shortened
from tl_keras.modalities.text import copies
from tl_keras.modalities.text.config import TextConfig

FIELDS = 4  # Increase this number when `Checked` gets a new field, or a field other values.
BY = [FIELDS]
MOST_CONTROL = 0.1  # the largest share of control characters in a text
# Control characters that no text needs; tabs, line breaks and form feeds are not among them.
CONTROL = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f]")
WHITE_SPACE = re.compile(r"(?:[^\S\x1c-\x1f]|[\u200b\ufeff])*")
# What Windows-1252 makes of a continuation byte of UTF-8. Its quotation marks and dashes are left
# out, since they often follow a letter.
FOLLOWING = (
    "[\x80-\x9f\xa1-\xbf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u0152\u017d"
    "\u2122\u0161\u0153\u017e\u0178]"
)
# UTF-8 that was read as Windows-1252 or Latin-1 and stored again: "Ã©" for é, "â€™" for an
# apostrophe, "ðŸ" for an emoji. Greek, Cyrillic and Chinese count only if two of these characters
# follow each other.
MOJIBAKE = re.compile(
    f"[\xc2\xc3](?:{FOLLOWING}|\xa0)|\xe2(?:\u20ac|\x80)|\xf0(?:\u0178|\x9f)"
    f"|(?:[\xce-\xd1]{FOLLOWING}){{2}}|(?:[\xe3-\xe9]{FOLLOWING}{{2}}){{2}}"
    # Windows-1252 that was read as Latin-1; U+0085 is a line break.
    "|[\x80-\x84\x86-\x9f]"
)
MARKUP = re.compile(
    r"</?(?:a|b|br|div|em|font|h[1-6]|html|i|img|li|p|script|span|strong|style|table|td|tr|u|ul)"
    r"(?:\s[^<>]*)?/?>|&(?:amp|lt|gt|quot|nbsp|#\d{1,6}|#x[0-9a-f]{1,5});",
    re.IGNORECASE,
)
# Faults of texts that can still be used. The key is a word for `Checked.faults`. The values are a
# pattern, and for the warning the name of the fault and what to do.
FAULTS: dict[str, tuple[re.Pattern[str], str, str]] = {
    "control": (
        CONTROL,
        "control characters",
        "the tokeniser drops or splits at these characters; remove them if they are left from an "
        "export",
    ),
    "mojibake": (
        MOJIBAKE,
        "wrongly decoded characters, such as 'Ã©' for 'é'",
        "a program read UTF-8 as Windows-1252 or Latin-1; export the texts again as UTF-8",
    ),
    "replaced": (
        re.compile("\ufffd"),
        "characters that an earlier program could not decode (U+FFFD)",
        "export the texts again as UTF-8",
    ),
    "markup": (
        MARKUP,
        "HTML markup",
        "the model sees tags and entities as words; remove them from all texts, and from the texts "
        "that the model will see",
    ),
    "mark": (
        re.compile("(?<!^)\ufeff"),
        "a byte-order mark inside the text",
        "several files were probably joined into one; check that each text is one example",
    ),
}
BYTE_ORDER_MARKS = {  # Those of UTF-32 come first: they begin with those of UTF-16.
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# The first bytes of files that are not plain texts, and their names.
BINARIES: dict[bytes, str] = {
    rb"%PDF": "a PDF document",
    rb"PK\x03\x04.{26}(?:word/|xl/|ppt/|\[Content_Types\]|_rels/|docProps/)": "an Office document",
    rb"PK\x03\x04.{26}mimetypeapplication/(?:vnd\.oasis|epub)": "an OpenDocument or EPUB document",
    rb"PK(?:\x03\x04|\x05\x06)": "a ZIP archive or an Office document",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office document (.doc, .xls, .ppt)",
    rb"\{\\rtf": "a document in Rich Text Format (RTF)",
    rb"\x1f\x8b": "a gzip archive",
    rb"BZh[1-9]": "a bzip2 archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    rb"\xfd7zXZ\0": "an xz archive",
    rb"Rar!\x1a\x07": "a RAR archive",
    rb"\xff\xd8\xff": "a JPEG picture",
    rb"\x89PNG\r\n\x1a\n": "a PNG picture",
    rb"GIF8[79]a": "a GIF picture",
    rb"II\*\0|MM\0\*": "a TIFF picture",
    rb"RIFF.{4}WEBP": "a WebP picture",
    rb"RIFF.{4}WAVE": "a sound (WAV)",
    rb"ID3|OggS|fLaC": "a sound",
    rb".{4}ftyp": "a video",
    rb"SQLite format 3\0": "an SQLite database",
    rb"PAR1": "a Parquet table",
    rb"\x93NUMPY": "a NumPy array",
    rb"\x89HDF": "an HDF5 file",
    rb"\x80[\x02-\x05][\x95c}\]]": "a Python pickle",
    rb"\x7fELF|MZ.{2}\0": "a program",
    rb"version https://git-lfs\.github\.com/": "a Git LFS pointer in place of the text",
}
ANY_BINARY = re.compile(b"|".join(BINARIES), re.DOTALL)


@dataclass(frozen=True)
class Checked:
    """The result of checking one file; `reason` says why it cannot be used, and is "" if it can."""

    digest: str = ""  # SHA-256 of the content, hex
    characters: int = 0
    looks: str = ""  # hashes of MinHash, see `copies.looks`; "" if they were not requested
    faults: str = ""  # keys of FAULTS with spaces between them
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
    """Returns the result of checking a text: its number of characters and its faults.

    For an unusable file, the function either returns a `Checked` with a `reason`, or raises
    UnicodeDecodeError, which `blame` converts to a reason.

    Args:
      file: a path, whose size is checked, or an open file. It is not read.
      content: a function that returns all bytes of the text.
      digest: SHA-256 of the content, hex; it is copied to the result.
      looks: whether to compute the hashes by which near-duplicates are found.
    """
    # Before the content is read, since many files are checked at the same time.
    if isinstance(file, Path) and (reason := _refuse_size(file.stat().st_size, settings.max_bytes)):
        return Checked(digest, reason=reason)
    data = content()
    if reason := _refuse_bytes(data, settings.max_bytes):
        return Checked(digest, reason=reason)
    text = data.decode("utf-8-sig")
    if reason := _refuse_text(text):
        return Checked(digest, len(text), reason=reason)
    faults = " ".join(key for key, (pattern, *_) in FAULTS.items() if pattern.search(text))
    return Checked(digest, len(text), copies.looks(text) if looks else "", faults)


def _refuse_size(size: int, max_bytes: int) -> str:
    return f"{size} bytes are over text.max_bytes, {max_bytes}" if size > max_bytes else ""


def _refuse_bytes(data: bytes, max_bytes: int) -> str:
    if reason := _refuse_size(len(data), max_bytes):
        return reason
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return f"{encoding}, by its byte-order mark: save the text as UTF-8"
    if ANY_BINARY.match(data):
        names = (name for start, name in BINARIES.items() if re.match(start, data, re.DOTALL))
        return f"not a plain text, but {next(names)}"
    if encoding := _without_mark(data):
        return f"{encoding} without a byte-order mark: save the text as UTF-8"
    return ""


def _without_mark(data: bytes) -> str:
    """Returns "UTF-16" if every other byte is 0, as in Western texts in this encoding; else ""."""
    start = data[:512]
    halves = (start[::2], start[1::2])
    zeros = sorted(half.count(0) / max(1, len(half)) for half in halves)
    return "UTF-16" if len(start) > 3 and zeros[0] < 0.1 and zeros[1] > 0.6 else ""


def _refuse_text(text: str) -> str:
    if not text:
        return "empty text"
    if WHITE_SPACE.fullmatch(text):
        return "only whitespace"
    control = sum(map(len, CONTROL.findall(text)))
    if control > MOST_CONTROL * len(text):
        what = "NUL" if text.count("\0") > control / 2 else "control"
        return (
            f"{control} of {len(text)} characters are {what} characters: probably not a text, or "
            "in another encoding than UTF-8"
        )
    return ""


def blame(start: bytes, error: Exception) -> str:
    """Returns why a file cannot be read as a text, with the line and the byte.

    Args:
      start: the first bytes of the file.
      error: the exception that `read` raised.
    """
    if not isinstance(error, UnicodeDecodeError):
        return f"cannot be read as a text: {str(error) or repr(error)}"
    before = error.object[: error.start]
    line = before.count(b"\n") + 1
    wrong = error.object[error.start]
    place = f"not UTF-8: line {line} has the byte 0x{wrong:02X}"
    if error.reason == "unexpected end of data":
        return f"{place} at its end, within a character: the text was cut off"
    if letter := _latin(error.object, error.start):
        return f"{place}, which is {letter!r} in Windows-1252; save the text as UTF-8"
    return f"{place}; save the text as UTF-8"


def _latin(data: bytes, place: int) -> str:
    """Returns a byte as a letter in Windows-1252; "" if the bytes around it are not a text."""
    around = data[max(0, place - 8) : place + 8].decode("cp1252", "replace")
    letter = data[place : place + 1].decode("cp1252", "replace")
    is_text = not CONTROL.search(around) and "\ufffd" not in around
    return letter if is_text and letter.isprintable() else ""


def warnings(checked: Mapping[str, Checked]) -> list[str]:
    """Returns one warning for each kind of fault, which names the texts with this fault."""
    sentences = []
    for key, (_, name, advice) in FAULTS.items():
        texts = [
            file for file, text in checked.items() if not text.reason and key in text.faults.split()
        ]
        if texts:
            has = "has" if len(texts) == 1 else "have"
            count = count_of(texts, "text")
            sentences.append(f"{count} {has} {name}: {shortened(texts)}; {advice}")
    return sentences
