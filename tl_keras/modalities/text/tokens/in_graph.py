"""WordPiece in core TensorFlow operators, for the SavedModel that takes strings.

The ids equal those of wordpiece.py. All texts of a batch are one long row of characters, which
passes through these steps:

1. A character is dropped, replaced or put between spaces; the tables come from wordpiece.py.
2. Words are the runs between spaces.
3. For each character, a trie of the vocabulary finds the longest token that starts there.
4. Each word is split greedily: after each token, the longest token that starts there follows.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tl_keras.modalities.text.tokens import wordpiece
from tl_keras.modalities.text.tokens.vocabulary import FIELD, Vocabulary

SPACE = 0x20
PAGE = 256  # characters of a page; many pages of Unicode have the same entries
NUM_CHARACTERS = 0x110000
# Entries of a `Table` that need no sequence: the character itself, and itself between spaces.
ITSELF, BETWEEN_SPACES = 0, 1
BITS = 21  # of a code point, in the keys of the trie
MULTIPLE = 8  # Padded lengths are multiples of it, as in training.


class Table(NamedTuple):
    """What each character becomes.

    The entry of character `c` is `cells[pages[c // PAGE], c % PAGE]`.

    Attributes:
      starts, lengths: for each entry, where its characters are in `characters`, and how many.
    """

    pages: np.ndarray
    cells: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    characters: np.ndarray


class Trie(NamedTuple):
    """The tokens of a vocabulary as a tree of characters.

    Node 0 is where a word starts, node 1 where it continues.

    Attributes:
      keys: `node << BITS | character` of each edge, int64, sorted.
      children: the node at the end of each edge.
      tokens: for each node, the id of the token that ends there, or -1.
      longest: number of characters of the longest token.
    """

    keys: np.ndarray
    children: np.ndarray
    tokens: np.ndarray
    longest: int


def encode(text: tf.Tensor, vocabulary: Vocabulary, longest: int | None) -> tf.Tensor:
    """Returns the token ids of one text with start and end, `(length,) int32`.

    Args:
      text: scalar string in UTF-8; bytes that are not UTF-8 are left out.
      longest: largest number of ids; None for no limit.
    """
    return encode_ragged(tf.reshape(text, [1]), vocabulary, longest).flat_values


def encode_batch(texts: tf.Tensor, vocabulary: Vocabulary, longest: int | None) -> tf.Tensor:
    """Returns the token ids of texts `(batch,) string`, padded with 0: `(batch, length) int32`.

    The length is that of the longest text, rounded up to a multiple of `MULTIPLE`.
    """
    ids = encode_ragged(texts, vocabulary, longest)
    length = tf.cast(ids.bounding_shape(axis=1), tf.int32)
    length = tf.maximum(-(-length // MULTIPLE), 1) * MULTIPLE
    return ids.to_tensor(shape=tf.stack([-1, length]))


def encode_ragged(texts: tf.Tensor, vocabulary: Vocabulary, longest: int | None) -> tf.RaggedTensor:
    """Returns the token ids of texts `(batch,) string`, with start and end.

    Raises:
      ValueError: the vocabulary is not one of WordPiece.
    """
    if vocabulary.kind != "wordpiece" or vocabulary.unknown is None:
        raise ValueError(
            f"{FIELD}: only WordPiece can be written into a SavedModel; received a tokeniser of "
            "the package `tokenizers`; use the signature that takes token ids"
        )
    with tf.device("/CPU:0"):  # Some of the operators have no other kernel.
        characters = tf.strings.unicode_decode(texts, "UTF-8")
        rows, count = characters.value_rowids(), characters.nrows()
        values, rows = _normalise(characters.flat_values, rows, vocabulary)
        ids, rows = _match(values, rows, vocabulary)
        ragged = tf.RaggedTensor.from_value_rowids(ids, rows, nrows=count, validate=False)
        return _frame(ragged, count, vocabulary, longest)


def _frame(
    ids: tf.RaggedTensor, count: tf.Tensor, vocabulary: Vocabulary, longest: int | None
) -> tf.RaggedTensor:
    """Puts start and end around the ids of each text; see `tokens.framed`."""

    def column(i: int | None) -> list[tf.Tensor]:
        return [] if i is None else [tf.fill(tf.stack([count, 1]), tf.constant(i, tf.int32))]

    start, end = column(vocabulary.start), column(vocabulary.end)
    if longest is not None:
        ids = ids[:, : max(longest - len(start) - len(end), 0)]
    parts = [*start, ids, *end]
    return tf.concat(parts, axis=1) if len(parts) > 1 else ids


def _normalise(
    values: tf.Tensor, rows: tf.Tensor, vocabulary: Vocabulary
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns normalised characters, words between spaces, and for each the index of its text."""
    how = (vocabulary.lowercase, vocabulary.strip_accents, vocabulary.split_chinese)
    first, last = _tables(*how)
    values, rows = _replace(values, rows, first)
    if vocabulary.strip_accents:
        values = _in_order(values, rows)
    return _replace(values, rows, last)


def _replace(values: tf.Tensor, rows: tf.Tensor, table: Table) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what the characters become, and for each the index of its text."""
    page = tf.gather(tf.constant(table.pages), values // PAGE)
    entry = tf.gather_nd(tf.constant(table.cells), tf.stack([page, values % PAGE], axis=1))
    lengths = tf.gather(tf.constant(table.lengths), entry)
    origin = tf.repeat(tf.range(tf.size(values)), lengths)
    offset = tf.range(tf.size(origin)) - tf.gather(tf.cumsum(lengths, exclusive=True), origin)
    values, entry = tf.gather(values, origin), tf.gather(entry, origin)
    listed = tf.gather(tf.constant(table.characters), tf.gather(table.starts, entry) + offset)
    kept = (entry == ITSELF) | ((entry == BETWEEN_SPACES) & (offset == 1))
    return tf.where(kept, values, listed), tf.gather(rows, origin)


def _in_order(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Sorts the combining characters between two others by their class, as NFD does."""
    table = wordpiece.read_characters()
    characters = sorted(table.rank)
    ranks = np.array([0, *(table.rank[c] for c in characters)], np.int32)
    place = tf.searchsorted(tf.constant(characters, tf.int32), values)
    place = tf.minimum(place, len(characters) - 1)
    combines = tf.gather(tf.constant(characters, tf.int32), place) == values
    rank = tf.gather(tf.constant(ranks), tf.where(combines, place + 1, 0))
    starts = ~combines | _differs_from_previous(rows)
    run = tf.cumsum(tf.cast(starts, tf.int64))
    keys = run * (int(ranks.max()) + 1) + tf.cast(rank, tf.int64)
    return tf.gather(values, tf.argsort(keys, stable=True))


def _differs_from_previous(values: tf.Tensor) -> tf.Tensor:
    """Returns whether each value differs from the value before it; True for the first value."""
    first = tf.ones_like(values[:1], tf.bool)
    return tf.concat([first, values[1:] != values[:-1]], axis=0)


def _match(
    values: tf.Tensor, rows: tf.Tensor, vocabulary: Vocabulary
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the token ids of normalised characters, and for each the index of its text."""
    inside = values != SPACE
    previous = tf.concat([tf.zeros_like(inside[:1]), inside[:-1]], axis=0)
    begins = inside & (~previous | _differs_from_previous(rows))
    word = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int32)) - 1, inside)
    values, rows, begins = (tf.boolean_mask(x, inside) for x in (values, rows, begins))
    # Places of the first character of each word, and of the first one of the next word.
    firsts = tf.cast(tf.where(begins)[:, 0], tf.int32)
    total = tf.size(values)
    ends = tf.concat([firsts, total[None]], axis=0)[1:]
    end = tf.gather(ends, word)
    short = tf.gather(ends - firsts <= wordpiece.LONGEST_WORD, word)
    tokens, lengths = _longest(values, begins, end, short, _trie(vocabulary))
    visited = _visited(firsts, tf.range(total) + lengths, end)
    lost = tf.cast(visited & (lengths == 0), tf.int32)
    failed = tf.gather(tf.math.unsorted_segment_max(lost, word, tf.size(firsts)), word) > 0
    kept = tf.where(failed, begins, visited)
    ids = tf.where(failed, tf.constant(vocabulary.unknown, tf.int32), tokens)
    return tf.boolean_mask(ids, kept), tf.boolean_mask(rows, kept)


def _longest(
    values: tf.Tensor, begins: tf.Tensor, end: tf.Tensor, short: tf.Tensor, trie: Trie
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the longest token that starts at each character, and its length (0 without a token).

    Args:
      values: characters of all words.
      begins: for each character, whether it is the first one of its word.
      end: for each character, the place where the next word starts.
      short: for each character, whether its word is short enough to be split.
    """
    keys, children, tokens = (tf.constant(array) for array in trie[:3])
    total = tf.size(values)

    def step(
        depth: tf.Tensor, alive: tf.Tensor, node: tf.Tensor, best: tf.Tensor, length: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        character = tf.gather(values, alive + depth)
        key = tf.bitwise.left_shift(tf.cast(node, tf.int64), tf.constant(BITS, tf.int64))
        key += tf.cast(character, tf.int64)
        edge = tf.minimum(tf.searchsorted(keys, key), tf.size(keys) - 1)
        exists = tf.gather(keys, edge) == key
        alive, node = tf.boolean_mask(alive, exists), tf.gather(children, edge[exists])
        depth += 1
        token = tf.gather(tokens, node)
        ends = token >= 0
        places = alive[ends][:, None]
        best = tf.tensor_scatter_nd_update(best, places, token[ends])
        length = tf.tensor_scatter_nd_update(length, places, tf.fill(tf.shape(places)[:1], depth))
        further = alive + depth < tf.gather(end, alive)
        return depth, alive[further], node[further], best, length

    alive = tf.boolean_mask(tf.range(total), short)
    node = tf.boolean_mask(tf.where(begins, 0, 1), short)
    zeros = tf.zeros([total], tf.int32)
    state = (tf.constant(0), alive, node, zeros, zeros)
    shapes = (tf.TensorShape([]), *[tf.TensorShape([None])] * 4)
    *_, best, length = tf.while_loop(
        lambda _, alive, *__: tf.size(alive) > 0,
        step,
        state,
        shape_invariants=shapes,
        maximum_iterations=trie.longest,
    )
    return best, length


def _visited(firsts: tf.Tensor, following: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Returns whether each character is the first one of a token, if words are split greedily.

    A jump leads from a character past the longest token that starts there. After step `k`, all
    characters are marked that fewer than `2 ** k` jumps from the start of a word reach.

    Args:
      firsts: places of the first character of each word.
      following: for each character, the place after the longest token that starts there.
      end: for each character, the place where the next word starts.
    """
    total = tf.size(following)
    here = tf.range(total)
    jump = tf.where(following < end, following, here)
    marks = tf.zeros([total], tf.int32)
    marks = tf.tensor_scatter_nd_update(marks, firsts[:, None], tf.ones_like(firsts))
    for _ in range(wordpiece.LONGEST_WORD.bit_length()):
        marks = tf.maximum(marks, tf.math.unsorted_segment_max(marks, jump, total))
        jump = tf.gather(jump, jump)
    return marks > 0


@functools.lru_cache(maxsize=8)
def _trie(vocabulary: Vocabulary) -> Trie:
    edges: dict[int, int] = {}
    tokens = [-1, -1]

    def add(text: str, token: int, node: int) -> None:
        for character in map(ord, text):
            key = node << BITS | character
            if key not in edges:
                edges[key] = len(tokens)
                tokens.append(-1)
            node = edges[key]
        tokens[node] = token

    for token, text in enumerate(vocabulary.tokens):
        if text.startswith("##") and len(text) > 2:
            add(text[2:], token, 1)
        add(text, token, 0)
    keys = np.array(sorted(edges), np.int64)
    children = np.array([edges[int(key)] for key in keys], np.int32)
    longest = max(map(len, vocabulary.tokens))
    return Trie(keys, children, np.array(tokens, np.int32), longest)


@functools.lru_cache(maxsize=8)
def _tables(lowercase: bool, strip_accents: bool, split_chinese: bool) -> tuple[Table, Table]:
    """Returns the tables before and after the sorting of combining characters."""
    table = wordpiece.read_characters()

    def first(character: int) -> tuple[int, ...]:
        parts = wordpiece.cleaned(character, split_chinese)
        if not strip_accents:
            return parts
        return tuple(piece for part in parts for piece in wordpiece.decomposed(part))

    def last(character: int) -> tuple[int, ...]:
        return tuple(map(ord, wordpiece.finished(character, lowercase, strip_accents)))

    spaces = [c for span in zip(*table.space, strict=True) for c in _span(span)]
    changed = [*spaces, *range(0xD800, 0xE000)]
    decomposed = [*table.decompose, *wordpiece.HANGUL] if strip_accents else []
    accents = table.mark if strip_accents else ((), ())
    return (
        _table(first, [table.drop, table.chinese], [*changed, *decomposed]),
        _table(last, [accents, table.punctuation], [*spaces, *table.lower]),
    )


def _span(ends: tuple[int, ...]) -> range:
    return range(ends[0], ends[1] + 1)


def _table(
    change: Callable[[int], tuple[int, ...]],
    ranges: list[wordpiece.Ranges],
    characters: list[int],
) -> Table:
    """Returns the table that has the results of `change` for all characters.

    Args:
      change: a function from a character to the characters that it becomes.
      ranges: ranges of characters that `change` may change. In each range, `change` does the same
        to all characters that are not in `characters`.
      characters: other characters that `change` may change.
    """
    sequences: dict[tuple[int, ...], int] = {(): ITSELF, (SPACE, 0, SPACE): BETWEEN_SPACES}
    entries = np.zeros(NUM_CHARACTERS, np.int32)

    def entry(character: int) -> int:
        became = change(character)
        if became == (character,):
            return ITSELF
        if became == (SPACE, character, SPACE):
            return BETWEEN_SPACES
        # -1 stands for the empty sequence, because the key () is the entry `ITSELF`.
        return sequences.setdefault(became or (-1,), len(sequences))

    alone = set(characters)
    for firsts, lasts in ranges:
        for start, end in zip(firsts, lasts, strict=True):
            sample = next((c for c in range(start, end + 1) if c not in alone), start)
            entries[start : end + 1] = entry(sample)
    for character in alone:
        entries[character] = entry(character)
    cells, pages = np.unique(entries.reshape(-1, PAGE), axis=0, return_inverse=True)
    lists = [[] if sequence == (-1,) else list(sequence) for sequence in sequences]
    lengths = np.array([len(part) for part in lists], np.int32)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    lengths[ITSELF] = 1
    flat = np.array([c for part in lists for c in part] + [0], np.int32)
    return Table(pages.reshape(-1).astype(np.int32), cells, starts, lengths, flat)
