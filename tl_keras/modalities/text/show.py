"""Texts as HTML, and sentences about texts, for the report."""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_keras.data.contents import find_table, reader
from tl_keras.modalities.text.marking.excerpts import Excerpt, Mark, excerpt, from_json
from tl_keras.modalities.text.originals import decoded
from tl_keras.report.drawings.markup import escape
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    is_number,
    listed,
    number,
    percent,
)
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.findings import SHOWN, measured
from tl_keras.run.result.exports import OnFiles

LARGEST = 4_000_000  # bytes; a larger text is not read for the report
NAMED = 5  # words that are named below a text
ODD = {"lengths": "length", "scripts": "script or language"}
WHY_ODD = (
    "Such texts may be cut off, empty of meaning or in another language, unlike the texts that the "
    "model will see."
)
EXPLAINED = (
    "Bold, underlined words support the prediction; words with a dotted underline speak against "
    "it. The stronger the colour, the more the answer changes without the word."
)
NOT_EXPLAINED = (
    "No words are marked, because no single word of these texts changes the answers, or because "
    "the texts could not be read."
)
NOT_EXPLAINED_IN_FOLDS = (
    "No words are marked, because each of these answers comes from the model of a fold. Words are "
    "marked with the final model, which was trained on these texts and may answer differently."
)
SOME_NOT_EXPLAINED = "In a text without marked words, no single word changes the answer."
AS_ON_DEVICE = "texts are split into tokens as on a device"
LARGER = "Let the model read more of each text."
BACKBONES = ("StaticEmbedding", "MiniLM-L6")  # The first needs no download.
SHIFTS = "other authors, topics, languages or times"


def thumbnails(run: RunFiles, files: Sequence[str]) -> list[Excerpt | None]:
    """Returns the beginning of each text; None for a text that is missing or unreadable."""
    content = _content(run)
    return [_read(content, file) for file in files]


Content = Callable[[str], bytes]


def _read(content: Content, file: str) -> Excerpt | None:
    try:
        return excerpt(decoded(content(file)).strip())
    # The report leaves out a text that cannot be read, whatever the reason is.
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _content(run: RunFiles) -> Content:
    """Returns a function from the name of an example to its content.

    Reports are shared. So the function raises FileNotFoundError for names and links that lead out
    of the data folder.
    """
    root = run.data.get("root")
    if root is None and run.source == "intents":
        return _drawn()
    if not isinstance(root, str) or "\0" in root:
        return _nothing
    if find_table(root) is not None:
        return reader(Path(root))
    folder = Path(root).resolve()

    def within(file: str) -> bytes:
        path = (folder / file).resolve()
        if path.is_relative_to(folder):
            status = os.stat(path)
            # Reading a named pipe might never end, although its size is 0.
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
                return path.read_bytes()
        raise FileNotFoundError(file)

    return within


def _nothing(file: str) -> bytes:
    raise FileNotFoundError(file)


def _drawn() -> Content:
    from tl_keras.modalities.text.drawn import intents

    texts, _ = intents.texts()

    def at(file: str) -> bytes:
        match = re.fullmatch("intents/([0-9]{3,4})", file)
        if not match:
            raise FileNotFoundError(file)
        return texts[int(match[1])]

    return at


def written(run: RunFiles, name: object) -> Excerpt | None:
    """Returns an excerpt that `explain` wrote to the index; None if it is not one."""
    return from_json(name)


def image(picture: Excerpt, alt: str, shape: Excerpt | None = None) -> str:
    """Returns a text as HTML, with its marked words.

    The direction, left to right or right to left, follows the first letter of the text.

    Args:
      alt: not used, since a text needs no alternative text.
      shape: not used.
    """
    html, past = "", 0
    for mark in picture.marks:
        html += escape(picture.text[past : mark.start]) + _marked(picture.text, mark)
        past = mark.end
    return f'<p class="text" dir="auto">{html}{escape(picture.text[past:])}</p>'


def _marked(text: str, mark: Mark) -> str:
    kind = "for" if mark.weight > 0 else "against"
    style = f"--share:{abs(mark.weight):.2f}"
    return f'<mark class="{kind}" style="{style}">{escape(text[mark.start : mark.end])}</mark>'


def explained(
    run: RunFiles, heat: Excerpt, original: Excerpt | None, file: str, answer: str
) -> list[str]:
    """Returns a text with marked words as HTML, and a line that names the strongest words.

    Args:
      heat: the text with its marks.
      original: not used, since `heat` has the text.
      answer: the answer that the words support.
    """
    named: list[str] = []
    for sign, word in ((1, "for"), (-1, "against")):
        marks = sorted((m for m in heat.marks if sign * m.weight > 0), key=lambda m: -abs(m.weight))
        strongest = list(dict.fromkeys(heat.text[mark.start : mark.end] for mark in marks))[:NAMED]
        if strongest:
            quoted = ", ".join(f"“<b>{escape(marked)}</b>”" for marked in strongest)
            named.append(f"{word} {'it' if named else escape(answer)}: {quoted}")
    line = f'<p class="words">{"; ".join(named)}</p>' if named else ""
    return [image(heat, file) + line]


def prepared(settings: Mapping[str, Any]) -> str:
    """Describes the model's input in a few words, as in "input: at most 128 token ids".

    Args:
      settings: the section `text` of a config, as read from a file and not validated.
    """
    length = settings.get("length")
    most = f"at most {count(length)} token ids" if is_number(length) else "token ids"
    return f"input: {most} of type int32, 0 is padding; the mask is made inside the model"


def more_detail(settings: Mapping[str, Any], examined: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns a change of the config by which the model reads more of the texts, and a reason.

    The change is a setting such as "text.length=256". Returns None if few texts are cut off, or if
    the config does not set the length, because then the model reads as much as it can.

    Args:
      settings: the section `text` of a config, as read from a file and not validated.
      examined: the result of `examine`.
    """
    lengths = examined.get("lengths") or {}
    values = settings.get("length"), lengths.get("truncated"), lengths.get("p95")
    length, share, p95 = (value if is_number(value) else 0 for value in values)
    if not length or share < 0.02:
        return None
    larger = int(min(-(-p95 // 32) * 32, 2 * length))
    if larger <= length:
        return None
    why = (
        f"{percent(share)} of the texts have more than {count(length)} tokens, and training reads "
        f"only their beginning. With {count(larger)} tokens it reads more of them, and takes about "
        f"{larger / length:.1f} times as long on the longest texts."
    )
    return f"text.length={larger}", why


def on_device(device: OnFiles, right: str) -> str:
    """Returns sentences on the scores of the shipped file on the original texts.

    Args:
      device: the field `shipped.device` of result.json.
      right: the words about the accuracy that follow "the shipped file" in the first sentence, as
        in "is right on 90%, and "; "" if the accuracy was not measured.
    """
    return (
        "If export/device/predict.py encodes the original texts, the shipped file "
        f"{right}gives, for {percent(device.agreement)} of {count(device.n)} texts, the same "
        f"answer as after preparation by the training code. {percent(device.identical)} of the "
        "texts have exactly the same token ids after both preparations."
    )


def findings(examined: Mapping[str, Any]) -> dict[str, str]:
    """Returns `{title of a section: HTML}` about the lengths and the scripts of texts.

    The HTML is "" if nothing was measured.

    Args:
      examined: the result of `examine`.
    """
    return {
        "Lengths": _lengths(examined.get("lengths") or {}),
        "Scripts and languages": _scripts(examined.get("scripts") or {}),
    }


def _lengths(lengths: dict) -> str:
    words = {"median": "median", "p95": "95% have at most", "longest": "longest"}
    named = [
        (name, f"{number(lengths[key])} tokens")
        for key, name in words.items()
        if is_number(lengths.get(key))
    ]
    if is_number(lengths.get("limit")):
        named.append(("the model takes at once", f"{count(lengths['limit'])} tokens"))
        named.append(("longer texts", percent(lengths.get("truncated"))))
    rows = [
        [*_named(entry), count(entry.get("tokens")), escape(entry.get("why") or NOTHING)]
        for entry in _odd(lengths)
    ]
    columns = ["File", "Beginning", "Tokens", "Why"]
    unusual = f"text of unusual {ODD['lengths']}"
    return measured(lengths, named, columns, rows, unusual, (2,))


def _scripts(scripts: dict) -> str:
    named = [
        (title, listed([f"{name} {count(n)}" for name, n in counts.items()]))
        for title, counts in (
            ("script", scripts.get("scripts")),
            ("language, by a guess", scripts.get("languages")),
        )
        if isinstance(counts, dict) and counts
    ]
    rows = [[*_named(entry), escape(entry.get("why") or NOTHING)] for entry in _odd(scripts)]
    unusual = f"text of unusual {ODD['scripts']}"
    return measured(scripts, named, ["File", "Beginning", "Why"], rows, unusual, ())


def _named(entry: dict) -> list[str]:
    """Returns two cells: the name of a text, and its beginning."""
    beginning = f'<span dir="auto">{escape(entry.get("text") or NOTHING)}</span>'
    return [escape(entry.get("file")), beginning]


def _odd(part: dict) -> list[dict]:
    return (part.get("odd") or [])[:SHOWN]
