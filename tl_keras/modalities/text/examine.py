"""Lists texts that people should look at, such as very long ones; all stay in the data set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.doctor import rare_answers
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.data.wording import number_of
from tl_keras.modalities.text import copies, scripts, tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.marking.words import places_of
from tl_keras.modalities.text.originals import original

MOST_READ = 200_000  # examples; the texts of larger data sets are not read again
# The bounds that decide which texts are listed.
LONG = 3.0  # multiples of the 95th percentile; a longer text is listed
FEWEST_LONG = 64  # tokens; a text that is not longer is not listed as long
ONE_WORD = 6  # tokens; a text of one word is listed if the median of all texts is larger
FEW_CUT = 0.05  # Texts that are cut off are listed if at most this share is.
BEGINNING = 60  # characters of a listed text
ALMOST_ALL = 0.9  # share of the texts; those in another script or language are then listed


def examine(dataset: Dataset, inputs: dict[str, Inputs], settings: TextConfig) -> dict[str, Any]:
    """Returns findings on the texts of a data set, ready for JSON.

    Returns:
      a dict with these keys:

      - `near_duplicates`: a list of pairs of nearly equal texts in different splits or with
        different labels, each with `files`, `splits`, `labels` and `distance` (in percent, see
        `copies.near_duplicates`).
      - `rare`: a list of classes with few examples, each with `class`, `n` and `why`.
      - `lengths`: `n`, the number of texts; `median`, `p95` and `longest`, numbers of tokens with
        start and end; `limit`, the largest number of tokens that the model takes at once;
        `truncated`, the share of texts with more tokens, of which training reads only the
        beginning; `odd`, a list of texts of unusual length, each with `file`, `text` (its
        beginning), `tokens` and `why`.
      - `scripts`: `n`, the number of texts; `scripts` and `languages`, the number of texts in each,
        most frequent first; `odd`, a list of texts in another script or language than almost all
        others, each with `file`, `text`, `script` and `why`. Texts whose language is uncertain are
        not counted in `languages`.

      `near_duplicates` is missing if there are more than `copies.MAX_EXAMPLES` texts, `scripts` if
      there are more than `MOST_READ`. Both are missing if the texts are read from shards.
      `lengths` is missing if the texts are not kept in memory. If the texts are not read again,
      `longest` is at most `limit`, and `truncated` also counts texts of exactly `limit` tokens.
    """
    findings: dict[str, Any] = {"rare": rare_answers(dataset)}
    splits = [split for split in SPLITS if dataset.splits[split]]
    examples = [example for split in splits for example in dataset.splits[split]]
    texts = None
    if dataset.shards is None and dataset.draw is None and len(examples) <= MOST_READ:
        text_of = original(dataset)
        texts = [text_of(example) for example in examples]
        findings["scripts"] = _scripts(examples, texts)
    counted = [inputs[split].lengths for split in splits]
    if all(lengths is not None for lengths in counted):
        findings["lengths"] = _lengths(np.concatenate(counted), examples, texts, settings)
    if texts is not None and len(examples) <= copies.MAX_EXAMPLES:
        findings["near_duplicates"] = _near_duplicates(dataset, splits, examples, texts)
    return findings


def _near_duplicates(
    dataset: Dataset, splits: Sequence[str], examples: Sequence[Example], texts: Sequence[str]
) -> list[dict[str, Any]]:
    of_split = [split for split in splits for _ in dataset.splits[split]]
    labels = [dataset.text(example) for example in examples]
    # Near-duplicates within one split and with one label do no harm and are not listed.
    kinds = {pair: i for i, pair in enumerate(sorted(set(zip(of_split, labels, strict=True))))}
    kind = np.array([kinds[pair] for pair in zip(of_split, labels, strict=True)])
    return [
        {
            "files": [examples[i].file for i in (first, second)],
            "splits": [of_split[i] for i in (first, second)],
            "labels": [labels[i] for i in (first, second)],
            "distance": distance,
        }
        for first, second, distance in copies.near_duplicates(copies.signatures(texts), kind)
    ]


def _lengths(
    counts: np.ndarray,
    examples: Sequence[Example],
    texts: Sequence[str] | None,
    settings: TextConfig,
) -> dict[str, Any]:
    """Returns the finding `lengths`, see `examine`.

    Args:
      counts: the number of tokens of each text that training reads, `(n,)`.
    """
    limit = settings.longest
    whole = counts if texts is None or limit is None else _whole(counts, texts, limit, settings)
    median, p95 = float(np.median(whole)), float(np.percentile(whole, 95))
    cut = whole > counts if texts is not None else counts >= (limit or np.inf)
    lists_cut = 0 < cut.mean() <= FEW_CUT
    odd = []
    for i, (example, count) in enumerate(zip(examples, whole.tolist(), strict=True)):
        text = None if texts is None else texts[i]
        if limit is not None and cut[i] and lists_cut:
            why = _why_cut(count, limit)
        else:
            why = _why_odd(count, median, p95, text)
        if why:
            shown = "" if text is None else beginning(text)
            odd.append({"file": example.file, "text": shown, "tokens": count, "why": why})
    return {
        "n": len(whole),
        "median": median,
        "p95": p95,
        "longest": int(whole.max()),
        "limit": limit,
        "truncated": round(float(cut.mean()), 4),
        "odd": odd,
    }


def _whole(
    counts: np.ndarray, texts: Sequence[str], limit: int, settings: TextConfig
) -> np.ndarray:
    """Returns the number of tokens of each whole text, `(n,)`."""
    whole = counts.copy()
    for i in np.flatnonzero(counts >= limit).tolist():
        whole[i] = num_tokens(texts[i], settings)
    return whole


def _why_cut(count: int, limit: int) -> str:
    """Returns why a text is cut off. The length of a text of exactly `limit` tokens is unknown."""
    of_all = f" of {count}" if count > limit else ""
    return f"training reads only the first {limit}{of_all} tokens"


def _why_odd(count: int, median: float, p95: float, text: str | None) -> str:
    """Returns why a text of `count` tokens is unusually long or short; "" if it is neither."""
    if count > max(LONG * p95, FEWEST_LONG):
        return f"{count / max(median, 1):.0f} times as long as the median text"
    if text is None or not median > ONE_WORD >= count or _num_words(text) > 1:
        return ""
    return "a single word" if _num_words(text) else "no word"


def num_tokens(text: str, settings: TextConfig) -> int:
    """Returns the number of tokens of a text with start and end, if nothing is cut off."""
    words = tokens.of(settings.vocabulary)
    return len(tokens.framed(tokens.encoder_of(words)(text), words, None))


def beginning(text: str) -> str:
    """Returns the first characters of a text, in one line."""
    text = text.strip()
    line = " ".join(text[: 2 * BEGINNING].split())
    is_whole = len(text) <= 2 * BEGINNING and len(line) <= BEGINNING
    return line if is_whole else f"{line[:BEGINNING].rstrip()}…"


def _num_words(text: str) -> int:
    """Returns the number of words of a text, without punctuation."""
    return sum(text[start].isalnum() for start, _ in places_of(text, 0, len(text)))


def _scripts(examples: Sequence[Example], texts: Sequence[str]) -> dict[str, Any]:
    """Returns the finding `scripts`, see `examine`."""
    written = [scripts.script(text) for text in texts]
    spoken = [scripts.language(text) for text in texts]
    all_scripts, languages = Counter(written), Counter(filter(None, spoken))
    script, language = _usual(all_scripts), _usual(languages)
    odd = []
    for example, text, name, guess in zip(examples, texts, written, spoken, strict=True):
        if script not in (None, name):
            has_letters = name != scripts.NO_LETTERS
            why = f"{name} instead of {script} script" if has_letters else "no letters"
        elif language is not None and guess not in ("", language):
            why = f"probably {guess} instead of {language}"
        else:
            continue
        entry = {"file": example.file, "text": beginning(text)}
        odd.append({**entry, "script": name, "why": why})
    return {
        "n": len(texts),
        "scripts": dict(all_scripts.most_common()),
        "languages": dict(languages.most_common()),
        "odd": odd,
    }


def _usual(counts: Counter[str]) -> str | None:
    """Returns the script or language of almost all texts; None if they have several."""
    if not counts:
        return None
    name, count = counts.most_common(1)[0]
    return name if count >= ALMOST_ALL * counts.total() else None


def lines(findings: Mapping[str, Any]) -> list[str]:
    """Returns the findings as lines of the log.

    Args:
      findings: the result of `examine`.
    """
    sentences = []
    if lengths := findings.get("lengths"):
        tokens_of = f"{lengths['median']:.0f} tokens in the median text"
        cut = ""
        if lengths["limit"] is not None:
            cut = f", {lengths['truncated']:.1%} of the texts have more than {lengths['limit']}"
        sentences.append(f"{tokens_of}, {lengths['longest']} in the longest{cut}")
    length, script = (len(findings.get(k, {}).get("odd", [])) for k in ("lengths", "scripts"))
    odd = f"{number_of(length, 'text')} of unusual length"
    sentences.append(f"{odd}, {script} in an unusual script or language")
    return sentences
