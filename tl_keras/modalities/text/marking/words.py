"""Splits texts into words with their places. Imports neither NumPy nor TensorFlow."""

import bisect
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Chinese and Japanese texts have no spaces between words, so each of their characters is a word.
# Other words are letters and digits, with apostrophes and hyphens inside. A run of punctuation is a
# word too, such as ":-)".
WORD = re.compile(
    "[\u2e80-\u2fdf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|\w+(?:['’\-]\w+)*|[^\w\s]+"
)
JOINERS = "\u200c\u200d"  # Invisible characters inside words, for example in Persian and Sinhala.


@dataclass(frozen=True)
class Word:
    """A word, or several neighbouring words, of a text.

    Attributes:
      start, end: indices of its first character and of the character after it.
      ids: its token ids.
      several: whether this is more than one word.
    """

    start: int
    end: int
    ids: tuple[int, ...]
    several: bool = False


def split(text: str, encode: Callable[[str], Sequence[int]], most: int) -> list[Word]:
    """Returns the words of a text with their token ids.

    The ids of all words together are the ids of the text, unless a tokeniser joins characters of
    neighbouring words.

    Args:
      encode: a tokeniser, from a text to token ids without start and end.
      most: largest number of entries. In a text with more words, each entry is several words.
    """
    return _split(text, 0, len(text), encode, most)


def divide(text: str, word: Word, encode: Callable[[str], Sequence[int]], most: int) -> list[Word]:
    """Divides an entry of `split` into up to `most` entries; a single word is returned as it is."""
    return _split(text, word.start, word.end, encode, most) if word.several else [word]


def places_of(text: str, first: int, last: int) -> list[tuple[int, int]]:
    """Returns the start and the end of each word in `text[first:last]`."""
    places: list[tuple[int, int]] = []
    for match in WORD.finditer(text, first, last):
        start, end = match.span()
        if places and places[-1][1] == start and text[places[-1][0]].isalnum():
            # `\w` leaves out accents, vowel signs and joiners, which are parts of a word, too.
            signs = next((i for i in range(start, end) if not _joins(text[i])), end)
            past = end if _joins(text[start - 1]) else signs
            places[-1] = places[-1][0], past
            start = past
        if start < end:
            places.append((start, end))
    return places


def _joins(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character).startswith("M")


def _split(
    text: str, first: int, last: int, encode: Callable[[str], Sequence[int]], most: int
) -> list[Word]:
    places = places_of(text, first, last)
    size = max(1, -(-len(places) // most))
    groups = [places[i : i + size] for i in range(0, len(places), size)]
    # The ids of a word include the spaces before the word, which some tokenisers encode.
    past = len(text[:first].rstrip())
    words = []
    for group in groups:
        start, end = group[0][0], group[-1][1]
        words.append(Word(start, end, tuple(encode(text[past:end])), len(group) > 1))
        past = end
    return words


def windows_of(words: Sequence[Word], room: int | None) -> list[int]:
    """Returns the number of the window in which each word begins.

    A text of more than `room` token ids is divided into windows of about the same length, see
    `prepare.windows`; None means that there is no limit.
    """
    total = sum(len(word.ids) for word in words)
    count = 1 if room is None else max(1, -(-total // max(room, 1)))
    longer = total % count  # windows that have one id more than the others
    edges = [(i + 1) * (total // count) + min(i + 1, longer) for i in range(count)]
    numbers, place = [], 0
    for word in words:
        numbers.append(min(bisect.bisect_right(edges, place), count - 1))
        place += len(word.ids)
    return numbers
