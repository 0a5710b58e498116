"""Writes characters.txt, the table of characters that wordpiece.py reads.

    python -m tl_keras.modalities.text.tokens.make_characters characters.txt

The table lists what BERT's normaliser in the package `tokenizers` does to each character. The
module `unicodedata` cannot replace the table: its Unicode version depends on Python's version, and
`tokenizers` combines several Unicode versions. Needs the package `tokenizers`.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from tl_keras.run.files import write_text

PAGE = 256  # characters
HIGHEST = "\u0345"  # The only character of the highest combining class.
HANGUL = range(0xAC00, 0xD7A4)  # wordpiece.py computes the decomposition of these syllables.
HEADER = """\
# What BERT's normaliser does to characters; written by make_characters.py, read by wordpiece.py.
# All numbers are code points in base 16, except the ranks, which are in base 10.
#   drop, space, chinese, mark, punctuation: ranges of characters
#   rank: canonical combining classes above 0, as RANK:RANGE, numbered in their order
#   decompose, lower: what a character becomes, as CHARACTER:CHARACTERS
"""


def table() -> dict[str, list[str]]:
    """Returns the entries of the table by section, as `tokenizers` behaves."""
    from tokenizers.normalizers import NFD, BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    def normaliser(**switched_on: bool) -> Callable[[str], str]:
        switches = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        return BertNormalizer(**dict.fromkeys(switches, False) | switched_on).normalize_str

    clean, split = normaliser(clean_text=True), normaliser(handle_chinese_chars=True)
    strip, lower = normaliser(strip_accents=True), normaliser(lowercase=True)
    decompose, words = NFD().normalize_str, BertPreTokenizer().pre_tokenize_str
    changes = (clean, split, strip, lower, decompose)
    characters = []
    for start in range(0, 0x110000, PAGE):
        page = [chr(c) for c in range(start, start + PAGE) if not 0xD800 <= c < 0xE000]
        text = "".join(page)
        # NFD moves a combining character before one of a higher class.
        mixed = "".join(f"a{HIGHEST}{c}" for c in page)
        # Most pages have no character that changes.
        changed = any(change(text) != text for change in changes) or decompose(mixed) != mixed
        if changed or len(words(f"a{text}a")) > 1:
            characters += page
    return {
        "drop": _ranges(c for c in characters if not clean(c)),
        "space": _ranges(c for c in characters if clean(c) == " "),
        "chinese": _ranges(c for c in characters if split(c) != c),
        "mark": _ranges(c for c in characters if not strip(c)),
        "punctuation": _ranges(c for c in characters if len(words(f"a{c}a")) == 3),
        "rank": _ranks(characters, decompose),
        "decompose": _changed((c for c in characters if ord(c) not in HANGUL), decompose),
        "lower": _changed(characters, lower),
    }


def _ranges(characters: Iterable[str]) -> list[str]:
    runs: list[list[int]] = []
    for c in map(ord, characters):
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return [f"{first:x}-{last:x}" if last > first else f"{first:x}" for first, last in runs]


def _ranks(characters: list[str], decompose: Callable[[str], str]) -> list[str]:
    """Returns the ranks of combining classes, as NFD orders the characters."""
    # The first character of a class: Unicode has had it for longest, so `tokenizers` knows it.
    of_class = {unicodedata.combining(c): c for c in reversed(characters) if decompose(c) == c}
    samples = [of_class[number] for number in sorted(of_class) if number]
    members: list[list[str]] = [[] for _ in samples]
    lowest, highest = samples[0], samples[-1]
    for c in characters:
        if decompose(c) != c:
            continue
        # NFD swaps two characters if both have a class above 0 and the second has the lower class.
        above_lowest = decompose(c + lowest) == lowest + c != c + lowest
        below_highest = decompose(highest + c) == c + highest != highest + c
        if above_lowest or below_highest:
            lower = [decompose(c + sample) == sample + c != c + sample for sample in samples]
            members[sum(lower)].append(c)
    return [
        f"{rank}:{run}" for rank, of_rank in enumerate(members, start=1) for run in _ranges(of_rank)
    ]


def _changed(characters: Iterable[str], change: Callable[[str], str]) -> list[str]:
    return [
        f"{ord(c):x}:{','.join(f'{ord(part):x}' for part in change(c))}"
        for c in characters
        if change(c) != c
    ]


def main() -> None:
    """Writes the table to the file that the first argument names."""
    text = HEADER
    for name, entries in table().items():
        lines = (" ".join(entries[i : i + 12]) for i in range(0, len(entries), 12))
        text += "".join(f"{name} {line}\n" for line in lines)
    write_text(Path(sys.argv[1]), text)


if __name__ == "__main__":
    main()
