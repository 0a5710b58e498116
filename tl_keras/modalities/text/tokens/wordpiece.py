"""WordPiece: splits a text into tokens of a vocabulary, as BERT does.

Needs only Python's standard library and the file characters.txt in the same folder, because an
export copies both to the device. The token ids equal those of the package `tokenizers` with its
normaliser `BertNormalizer` and its option `clean_text`.

There is one deviation: a special token that is written in a text, such as `[SEP]`, is read as
ordinary characters. `tokenizers` does the same with `encode_special_tokens = True`.
"""

import bisect
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHARACTERS = Path(__file__).with_name("characters.txt")
LONGEST_WORD = 100  # characters; a longer word is an unknown token
CACHED_WORDS = 100_000
HANGUL, FIRST_PARTS = range(0xAC00, 0xD7A4), (0x1100, 0x1161, 0x11A7)

Ranges = tuple[tuple[int, ...], tuple[int, ...]]  # the first and the last character of each range


@dataclass(frozen=True)
class Characters:
    """The content of characters.txt. A character is its code point.

    Attributes:
      drop: control and format characters, and others that are left out.
      space: white space.
      chinese: characters that are words of their own if the vocabulary splits Chinese.
      mark: accents.
      punctuation: characters that are words of their own.
      rank: canonical combining classes above 0, numbered in their order.
      decompose: canonical decompositions (NFD), without Korean syllables.
      lower: characters in lower case, if that changes them.
    """

    drop: Ranges
    space: Ranges
    chinese: Ranges
    mark: Ranges
    punctuation: Ranges
    rank: dict[int, int]
    decompose: dict[int, tuple[int, ...]]
    lower: dict[int, tuple[int, ...]]


@functools.cache
def read_characters() -> Characters:
    """Returns the content of characters.txt."""
    entries: dict[str, list[str]] = {}
    for line in CHARACTERS.read_text(encoding="ascii").splitlines():
        name, *values = line.split()
        entries.setdefault(name, []).extend(values)
    rank = {}
    for entry in entries["rank"]:
        number, _, characters = entry.partition(":")
        first, last = _range(characters)
        rank.update(dict.fromkeys(range(first, last + 1), int(number)))

    def ranges(name: str) -> Ranges:
        firsts, lasts = zip(*map(_range, entries[name]), strict=True)
        return firsts, lasts

    return Characters(
        drop=ranges("drop"),
        space=ranges("space"),
        chinese=ranges("chinese"),
        mark=ranges("mark"),
        punctuation=ranges("punctuation"),
        rank=rank,
        decompose=dict(map(_change, entries["decompose"])),
        lower=dict(map(_change, entries["lower"])),
    )


def _range(entry: str) -> tuple[int, int]:
    first, _, last = entry.partition("-")
    return int(first, 16), int(last or first, 16)


def _change(entry: str) -> tuple[int, tuple[int, ...]]:
    character, _, parts = entry.partition(":")
    return int(character, 16), tuple(int(part, 16) for part in parts.split(","))


def within(character: int, ranges: Ranges) -> bool:
    """Returns whether a character is in one of the ranges."""
    place = bisect.bisect_right(ranges[0], character) - 1
    return place >= 0 and character <= ranges[1][place]


def decomposed(character: int) -> tuple[int, ...]:
    """Returns the canonical decomposition of a character."""
    if character not in HANGUL:
        return read_characters().decompose.get(character, (character,))
    number = character - HANGUL[0]
    parts = (number // 588, number // 28 % 21, number % 28)
    every = tuple(first + part for first, part in zip(FIRST_PARTS, parts, strict=True))
    return every if parts[2] else every[:2]


class _Table(dict[int, str]):
    """A table for `str.translate` that computes an entry when it is first read."""

    def __init__(self, compute: Callable[[int], str]):
        self._compute = compute

    def __missing__(self, character: int) -> str:
        self[character] = value = self._compute(character)
        return value


def cleaned(character: int, split_chinese: bool) -> tuple[int, ...]:
    """Returns what a character becomes before accents and case: the first step of `normaliser`."""
    table = read_characters()
    # Python's strings may have halves of surrogate pairs; bytes that are not UTF-8 have none.
    if within(character, table.drop) or 0xD800 <= character < 0xE000:
        return ()
    if within(character, table.space):
        return (0x20,)
    if split_chinese and within(character, table.chinese):
        return (0x20, character, 0x20)
    return (character,)


def finished(character: int, lowercase: bool, strip_accents: bool) -> str:
    """Returns what a character becomes after its decomposition: the last step of `normaliser`."""
    table = read_characters()
    if strip_accents and within(character, table.mark):
        return ""
    text = ""
    for part in table.lower.get(character, (character,)) if lowercase else (character,):
        if within(part, table.space):
            text += " "
        else:
            text += f" {chr(part)} " if within(part, table.punctuation) else chr(part)
    return text


def normaliser(
    lowercase: bool, strip_accents: bool, split_chinese: bool
) -> Callable[[str], list[str]]:
    """Returns a function that splits a text into normalised words.

    Args:
      lowercase: whether words are in lower case.
      strip_accents: whether characters lose their accents.
      split_chinese: whether each Chinese character is a word.
    """

    def prepared(character: int) -> str:
        parts = cleaned(character, split_chinese)
        if strip_accents:
            parts = tuple(piece for part in parts for piece in decomposed(part))
        return "".join(map(chr, parts))

    def last(character: int) -> str:
        return finished(character, lowercase, strip_accents)

    first_step, last_step = _Table(prepared), _Table(last)
    both = _Table(lambda character: "".join(map(last, map(ord, prepared(character)))))
    disordered = _disordered() if strip_accents else None

    def words(text: str) -> list[str]:
        result = text.translate(both)
        if disordered is not None and disordered.search(result):
            result = _in_order(text.translate(first_step)).translate(last_step)
        return result.split()

    return words


@functools.cache
def _disordered() -> re.Pattern[str]:
    """Returns a pattern of the characters that NFD may move and that are not accents."""
    table = read_characters()
    lasting = "".join(chr(c) for c in table.rank if not within(c, table.mark))
    return re.compile(f"[{lasting}]")


def _in_order(text: str) -> str:
    """Returns a decomposed text in canonical order: combining characters sorted by their class."""
    rank = read_characters().rank
    keys, run = [], 0
    for character in map(ord, text):
        place = rank.get(character, 0)
        run += not place  # Characters are sorted only between two characters of class 0.
        keys.append((run, place))
    return "".join(text[i] for i in sorted(range(len(text)), key=keys.__getitem__))


def encoder(
    tokens: Sequence[str],
    unknown: int,
    lowercase: bool,
    strip_accents: bool,
    split_chinese: bool,
) -> Callable[[str], list[int]]:
    """Returns a function from a text to its token ids, without start and end.

    Args:
      tokens: the vocabulary by id; a token that continues a word starts with `##`.
      unknown: id of the token for words that cannot be split.
      lowercase, strip_accents, split_chinese: see `normaliser`.
    """
    starts = {token: i for i, token in enumerate(tokens)}
    rests = {token[2:]: i for i, token in enumerate(tokens) if token.startswith("##")}
    longest = max(map(len, tokens))
    words = normaliser(lowercase, strip_accents, split_chinese)
    cache: dict[str, list[int]] = {}

    def pieces(word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [unknown]
        ids, start, known = [], 0, starts
        while start < len(word):
            for end in range(min(len(word), start + longest), start, -1):
                token = known.get(word[start:end])
                if token is not None:
                    break
            else:
                return [unknown]
            ids.append(token)
            start, known = end, rests
        return ids

    def encode(text: str) -> list[int]:
        ids: list[int] = []
        for word in words(text):
            word_ids = cache.get(word)
            if word_ids is None:
                word_ids = pieces(word)
                if len(word) <= LONGEST_WORD:
                    if len(cache) >= CACHED_WORDS:
                        cache.clear()
                    cache[word] = word_ids
            ids += word_ids
        return ids

    return encode


@functools.lru_cache(maxsize=8)
def encoder_of(vocabulary: Any) -> Callable[[str], list[int]]:
    """Returns the `encoder` of a `Vocabulary`."""
    return encoder(
        vocabulary.tokens,
        vocabulary.unknown,
        vocabulary.lowercase,
        vocabulary.strip_accents,
        vocabulary.split_chinese,
    )
