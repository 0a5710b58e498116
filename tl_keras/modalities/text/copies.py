"""Finds near-duplicates: texts that are equal except for case, spaces, punctuation or a few words.

Two texts are compared by the runs of `RUN` characters that they contain. Their similarity is the
share of common runs among all runs of both (the Jaccard index), which MinHash estimates
(https://doi.org/10.1109/SEQUEN.1997.666900). Runs of characters need no spaces between words, so
Chinese texts can be compared as well. Imports no TensorFlow.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_EXAMPLES = 20_000  # Larger sets are not searched.
RUN = 5  # characters
SHAPE = (128,)  # shape of a signature, which stands for a text; dtype uint8
# Two texts of 60 characters that differ in one word or one typing error are more similar than this.
# Among the sentences of SST-2, only equal ones are.
MIN_SIMILARITY = 0.7
ROWS = 5  # minima in a band
BANDS = 16  # bands of `looks`: two texts of similarity 0.7 have an equal band in 95% of all cases
PARTNERS = 3  # largest number of pairs listed for one text
IN_BUCKET = 50  # largest number of texts with an equal band that are compared with each other
CHUNK = 1 << 16  # runs of characters that are hashed together, which limits the memory
# Parameters of the hash functions; any fixed numbers serve.
FACTORS, OFFSETS = np.random.default_rng(0).integers(0, 1 << 63, (2, *SHAPE), np.uint64)
FACTORS |= np.uint64(1)
SPACES = ("P", "Z", "C", "Sm", "Sc", "Sk")  # Unicode categories that count as spaces


class _Letters(dict[int, str]):
    """Maps code points to the characters that are compared, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        self[code] = " " if category.startswith(SPACES) else character
        return self[code]


LETTERS = _Letters()


def plain(text: str) -> str:
    """Returns a text without capitals and punctuation, and with single spaces.

    A text that has only punctuation is returned without the spaces around it.
    """
    letters = unicodedata.normalize("NFKC", text).casefold().translate(LETTERS)
    return " ".join(letters.split()) or text.strip()


def looks(text: str) -> str:
    """Returns 8 hex digits for each of `BANDS` bands; similar texts have an equal band."""
    minima = _minima(text, ROWS * BANDS).reshape(BANDS, ROWS)
    powers = np.uint64(0x9E3779B97F4A7C15) ** np.arange(ROWS, dtype=np.uint64)
    hashes = (minima * powers).sum(1, dtype=np.uint64) >> np.uint64(32)
    return "".join(f"{value:08x}" for value in hashes.tolist())


def signature(text: str) -> np.ndarray:
    """Returns the lowest 8 bits of each minimum of MinHash, `(128,) uint8`."""
    return _minima(text, *SHAPE).astype(np.uint8)


def signatures(texts: Iterable[str]) -> np.ndarray:
    """Returns the signature of each text, `(n, 128) uint8`."""
    return np.array([signature(text) for text in texts], np.uint8).reshape(-1, *SHAPE)


def read_thumbnail(content: bytes) -> np.ndarray:
    """Returns the signature of the text in a file's content, `(128,) uint8`."""
    return signature(content.decode("utf-8-sig", "replace"))


def _minima(text: str, count: int) -> np.ndarray:
    """Returns the minimum of `count` hash functions over all runs of characters, `(count,)`."""
    letters = f" {plain(text)} ".ljust(RUN).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(letters, "<u4").astype(np.uint64)
    number = len(codes) - RUN + 1
    runs = np.zeros(number, np.uint64)
    for place in range(RUN):
        runs = runs * np.uint64(0x100000001B3) + codes[place : place + number]
    # Without these steps (those of MurmurHash3), similar runs would have similar hashes.
    runs = (runs ^ (runs >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    runs = (runs ^ (runs >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    runs ^= runs >> np.uint64(33)
    minima = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, number, CHUNK):
        chunk = runs[start : start + CHUNK]
        for i in range(0, count, ROWS):
            some = slice(i, i + ROWS)
            values = chunk * FACTORS[some, None] + OFFSETS[some, None]
            minima[some] = np.minimum(minima[some], values.min(1))
    return minima >> np.uint64(32)  # The lowest bits of a product are not random.


def with_similar_hashes(looks: Sequence[str]) -> np.ndarray:
    """Returns the indices of texts that share a band with another text, `(n,) int64`, increasing.

    Near-duplicates of each other nearly always share a band, see `BANDS`.

    Args:
      looks: the result of the function `looks` for each text.
    """
    bands = np.frombuffer(bytes.fromhex("".join(looks)), ">u4").reshape(-1, BANDS)
    similar = np.zeros(len(bands), bool)
    for band in bands.T:
        _, places, counts = np.unique(band, return_inverse=True, return_counts=True)
        similar |= counts[places] > 1
    return np.flatnonzero(similar)


def near_duplicates(marks: np.ndarray, kind: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns pairs of near-duplicates.

    Each text is paired with at most `PARTNERS` texts before it, the most similar ones. Otherwise a
    thousand copies of one text would give half a million pairs.

    Args:
      marks: signatures, `(n, 128) uint8`.
      kind: a number for each text, `(n,) int64`. Texts with the same number are not compared, such
        as texts of the same split with the same label.

    Returns:
      a sorted list of (index of the earlier text, index of the later text, distance). The distance
      is the share of runs of characters that only one of the texts contains, in percent.
    """
    bands = np.ascontiguousarray(marks).view(np.uint32).tolist()
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    kinds, pairs = kind.tolist(), []
    for second, keys in enumerate(bands):
        near: set[int] = set()
        for bucket in (buckets[key] for key in enumerate(keys)):
            near.update(first for first in bucket if kinds[first] != kinds[second])
            alike = sum(kinds[first] == kinds[second] for first in bucket)
            if alike <= PARTNERS and len(bucket) < IN_BUCKET:
                bucket.append(second)
        firsts = np.array(sorted(near), np.int64)
        similar = _similarity(marks[firsts], marks[second])
        best = np.argsort(-similar, kind="stable")[:PARTNERS]
        pairs += [
            (int(firsts[i]), second, round(100 * (1 - float(similar[i]))))
            for i in best
            if similar[i] >= MIN_SIMILARITY
        ]
    return sorted(pairs)


def _similarity(marks: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """Returns the estimated similarity of signatures to another signature, in 0..1."""
    equal = (marks == mark).mean(1)
    # Two different minima have the same lowest 8 bits in one of 256 cases.
    return np.maximum(0.0, (equal - 1 / 256) / (1 - 1 / 256))


def clusters(marks: np.ndarray) -> list[list[int]]:
    """Returns groups of near-duplicates, each as a list of two or more indices of texts.

    Two texts are in one group if they are near-duplicates of each other, or are linked by a chain
    of texts of which each is a near-duplicate of the next.

    Args:
      marks: signatures, `(n, 128) uint8`.
    """
    pairs = near_duplicates(marks, np.arange(len(marks)))
    ends = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), ends), shape=(len(marks), len(marks)))
    numbers = connected_components(graph, directed=False)[1]
    groups: dict[int, list[int]] = defaultdict(list)
    for i, number in enumerate(numbers.tolist()):
        groups[number].append(i)
    return [members for members in groups.values() if len(members) > 1]
