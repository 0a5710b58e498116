"""Learns a WordPiece vocabulary from texts of any language.

Pairs of neighbouring tokens are merged, the most frequent pair first, as in byte-pair encoding
(arXiv 1508.07909). Needs only Python's standard library.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from tl_keras.modalities.text.tokens import special_tokens
from tl_keras.modalities.text.tokens.definition import Vocabulary, wordpiece
from tl_keras.modalities.text.tokens.wordpiece import LONGEST_WORD, normaliser

FIELD = "pretrain.vocabulary"
SPECIAL = {name: names[0] for name, names in special_tokens.NAMES.items()}
ORDER = ("padding", "unknown", "start", "end", "mask")  # The first tokens, as in BERT.
RAREST = 2  # A pair that occurs less often is not merged.
CHARACTERS = 0.75  # Largest share of the vocabulary that single characters take.

Pair = tuple[str, str]


def learn(texts: Iterable[str], size: int, lowercase: bool = True) -> Vocabulary:
    """Returns a vocabulary of at most `size` tokens, with all characters of the texts.

    Accents are kept, because many languages distinguish letters by them. If the characters would
    take more than `CHARACTERS` of the vocabulary, the rarest are left out.

    Args:
      size: number of tokens, special tokens and characters included.
      lowercase: whether words are in lower case.

    Raises:
      ValueError: the texts have no words.
    """
    how = {"lowercase": lowercase, "strip_accents": False, "split_chinese": True}
    words = counted(texts, how)
    if not words:
        raise ValueError(
            f"{FIELD}: the texts have no words from which a vocabulary could be learned; expected "
            "texts with letters; received only empty texts, white space or control characters"
        )
    first = [SPECIAL[name] for name in ORDER]
    alphabet = characters(words, int((size - len(first)) * CHARACTERS))
    rows = [*first, *alphabet]
    rows += merged(words, size - len(rows), known=rows)
    places = {token: row for row, token in enumerate(rows)}
    special: dict[str, int | None] = {name: places[token] for name, token in SPECIAL.items()}
    return wordpiece(rows, special, "the learned vocabulary", how)


def counted(texts: Iterable[str], how: Mapping[str, bool]) -> Counter[str]:
    """Returns how often each normalised word occurs.

    Words that the tokeniser does not split because they are too long are left out.

    Args:
      how: the arguments of `wordpiece.normaliser`.
    """
    split = normaliser(**how)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text))
    return Counter({word: n for word, n in counts.items() if len(word) <= LONGEST_WORD})


def characters(words: Mapping[str, int], most: int) -> list[str]:
    """Returns the tokens of single characters, sorted, at most `most`.

    A character has a token for the start of a word. If a word has more than one character, each of
    them also has a token that continues a word.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
            if len(word) > 1:
                counts[f"##{character}"] += count
    tokens = sorted(counts, key=lambda token: (-counts[token], token))
    if len(tokens) > most:
        lost, whole = sum(counts[token] for token in tokens[most:]), sum(counts.values())
        logging.warning(
            "%s: %d of %d tokens of single characters are left out, the rarest (%.2g%% of the "
            "characters); words with them become the unknown token; a larger vocabulary keeps them",
            *(FIELD, len(tokens) - most, len(tokens), 100 * lost / whole),
        )
    return sorted(tokens[:most])


def merged(words: Mapping[str, int], room: int, known: Iterable[str]) -> list[str]:
    """Returns up to `room` new tokens, made by merging pairs of neighbouring tokens, in order.

    Of equally frequent pairs, the alphabetically first is merged.

    Args:
      words: how often each word occurs.
      known: tokens that the vocabulary already has; words with other characters are left out.
    """
    seen = set(known)
    splits, counts = _split(words, seen)
    pairs: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)  # The words that have a pair.
    for i, tokens in enumerate(splits):
        for pair in itertools.pairwise(tokens):
            pairs[pair] += counts[i]
            where[pair].add(i)
    queue = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(queue)
    new: list[str] = []
    while queue and len(new) < room:
        negative, pair = heapq.heappop(queue)
        count = pairs[pair]
        if count < RAREST:
            continue
        if count != -negative:  # Other merges have changed the count.
            heapq.heappush(queue, (-count, pair))
            continue
        token = pair[0] + pair[1].removeprefix("##")
        if token not in seen:  # Two ways of merging may give the same token.
            seen.add(token)
            new.append(token)
        for changed in _merge(pair, token, splits, counts, pairs, where):
            heapq.heappush(queue, (-pairs[changed], changed))
    return new


def _split(words: Mapping[str, int], known: set[str]) -> tuple[list[list[str]], list[int]]:
    """Returns the words with several characters as tokens of one character, and their counts."""
    splits, counts = [], []
    for word in sorted(words):
        tokens = [word[0], *(f"##{character}" for character in word[1:])]
        if len(tokens) > 1 and known.issuperset(tokens):
            splits.append(tokens)
            counts.append(words[word])
    return splits, counts


def _merge(
    pair: Pair,
    token: str,
    splits: list[list[str]],
    counts: Sequence[int],
    pairs: Counter[Pair],
    where: defaultdict[Pair, set[int]],
) -> set[Pair]:
    """Merges a pair in all words, and returns the pairs that occur more often now.

    Args:
      token: the token that replaces the pair.
      splits: the tokens of each word; changed in place.
      counts: how often each word occurs.
      pairs: how often each pair occurs; changed in place.
      where: the words that have, or once had, a pair; changed in place.
    """
    raised = set()
    for i in where.pop(pair):
        before = splits[i]
        after = replaced(before, pair, token)
        if len(after) == len(before):  # Another merge has taken the pair from the word.
            continue
        splits[i] = after
        for old in itertools.pairwise(before):
            pairs[old] -= counts[i]
        for neighbours in itertools.pairwise(after):
            pairs[neighbours] += counts[i]
            if token in neighbours:
                where[neighbours].add(i)
                raised.add(neighbours)
    del pairs[pair]
    return raised


def replaced(tokens: Sequence[str], pair: Pair, token: str) -> list[str]:
    """Returns tokens in which one token replaces each occurrence of a pair, from left to right."""
    result, i = [], 0
    while i < len(tokens):
        if tokens[i] == pair[0] and tokens[i + 1 : i + 2] == [pair[1]]:
            result.append(token)
            i += 2
        else:
            result.append(tokens[i])
            i += 1
    return result
