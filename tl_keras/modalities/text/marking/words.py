"""Splits texts into words with their places. Imports neither NumPy nor TensorFlow."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Chinese characters and Japanese letters are words of their own, since no spaces part words. Other
# words are letters and digits, with apostrophes and hyphens inside. Punctuation counts too, as the
# faces in ":-)" do.
WORD = re.compile(
    "[\u2e80-\u2fdf\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|\w+(?:['’\-]\w+)*|[^\w\s]+"
)


@dataclass(frozen=True)
class Word:
    """A word, or several neighbouring words, of a text.

    Attributes:
      start, end: its place in the text, as indices of characters.
      ids: its token ids.
    """

    start: int
    end: int
    ids: tuple[int, ...]


def split(text: str, encode: Callable[[str], Sequence[int]], most: int) -> list[Word]:
    """Returns the words of a text with their token ids.

    The ids of all words together are those of the text, except that some tokenisers join
    characters across words.

    Args:
      encode: a tokeniser, from a text to token ids without start and end.
      most: largest number of entries. In a text with more words, each entry is several words.
    """
    places = [match.span() for match in WORD.finditer(text)]
    size = max(1, -(-len(places) // most))
    groups = [places[i : i + size] for i in range(0, len(places), size)]
    words, past = [], 0
    for group in groups:
        start, end = group[0][0], group[-1][1]
        # With the spaces before the word, which some tokenisers encode.
        words.append(Word(start, end, tuple(encode(text[past:end]))))
        past = end
    return words


def divide(text: str, word: Word, encode: Callable[[str], Sequence[int]]) -> list[Word]:
    """Returns the single words of an entry of `split`; the entry itself if it is a single word."""
    places = [match.span() for match in WORD.finditer(text, word.start, word.end)]
    if len(places) < 2:
        return [word]
    # With the space before the first word, as in `split`.
    past = word.start - text[: word.start].endswith((" ", "\n", "\t"))
    single = []
    for start, end in places:
        single.append(Word(start, end, tuple(encode(text[past:end]))))
        past = end
    return read_of(single, len(word.ids))


def read_of(words: Sequence[Word], room: int | None) -> list[Word]:
    """Returns the words that the model reads if it reads the first `room` token ids of the text.

    The last one may have lost some of its ids. None means that the model reads all.
    """
    if room is None:
        return list(words)
    kept = []
    for word in words:
        if room <= 0:
            break
        kept.append(Word(word.start, word.end, word.ids[:room]))
        room -= len(word.ids)
    return kept
