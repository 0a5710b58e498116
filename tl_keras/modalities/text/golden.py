"""Chooses the golden texts of `export/device/`, which test whether a device answers correctly.

The texts are written with the token ids and the answers to expect. Ids show every fault of a
tokeniser. A device that gives only answers shows a fault if the fault changes an answer more than
rounding does. So this module simulates faults on texts for which the model is least sure, and
chooses the texts whose answers change most. It adds texts that are hard to split into tokens, and
texts that are longer than the model takes.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras.data import contents
from tl_keras.data.batching.batches import examples_of
from tl_keras.data.batching.ragged import lengths_of
from tl_keras.export.description import Examples
from tl_keras.modalities import device_folder
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.device import predict
from tl_keras.modalities.text.originals import decoded
from tl_keras.modalities.text.tokens import wordpiece
from tl_keras.run.files import write_json, write_text

TEXTS = 6  # golden texts of the data set
POOL = 128  # examples that the model answers
CANDIDATES = 24  # texts on which faults are simulated
CHARACTERS = 4000  # of a golden text; a longer text is cut
TOLERANCE = 0.03  # smallest allowed difference of probabilities
LABELS = "labels in another order"
LONGEST_TOKENS = 20  # characters of a token of a long text, on average
ODD = (
    " Ünïcödé ÅNGSTRÖM\u00a0[SEP] don't—stop\u200b! 你好 日本語 한국어 हिन्दी 🙂👍🏽 "
    "\u00bd ﬁ e\u0301 \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd"
)
ACCENTS = str.maketrans("aeiounAEIOUN", "áéíóúñÁÉÍÓÚÑ")

Inputs = list[np.ndarray]  # The model's inputs for a text: the token ids of each window.
Encode = Callable[[str], Inputs]
Answer = Callable[[Inputs], np.ndarray]  # From windows to probabilities.
# From a text and its right windows to the windows that a faulty device would make.
Fault = Callable[[str, Inputs], Inputs]
# A golden text, its windows, its expected probabilities and their tolerance.
Row = tuple[str, Inputs, np.ndarray, float]


def write(
    folder: Path, file: Path, spec: dict[str, Any], encode: Encode, examples: Examples
) -> None:
    """Writes `texts.txt`, and `golden.json`, which has the token ids and the answers to expect.

    Args:
      folder: a folder that does not exist yet.
      file: the LiteRT file to ship.
      spec: the result of `bundle.spec_of`.
      encode: the tokeniser of the device.
      examples: the examples to choose from.
    """
    folder.mkdir()
    answer = _answering(predict.load(file))
    other_kernels = _answering(device_folder.without_xnnpack(file))
    candidates = _candidates(encode, answer, spec, examples)
    chosen = _most_changed(candidates, encode, answer, spec)
    variants = _variants(candidates[0])
    long = _long_texts(candidates, encode, answer, spec)
    texts = list(dict.fromkeys([*chosen, *variants, *long]))
    inputs = [encode(text) for text in texts]
    expected = [answer(windows) for windows in inputs]
    pairs = zip(inputs, expected, strict=True)
    allowed = _tolerances([_difference(other_kernels(x), right) for x, right in pairs])
    rows = list(zip(texts, inputs, expected, allowed, strict=True))
    entries = [
        {
            "text": text,
            "windows": [ids.tolist() for ids in windows],
            "prediction": spec["labels"][int(right.argmax())],
            "probabilities": right.tolist(),
            "tolerance": bound,
        }
        for text, windows, right, bound in rows
    ]
    undetected = _undetected(rows, answer, _faults(spec))
    write_json(folder / "golden.json", {"texts": entries, "undetected": undetected})
    write_text(folder / "texts.txt", "".join(f"{text}\n" for text in texts))


def _undetected(rows: Sequence[Row], answer: Answer, faults: dict[str, Fault]) -> list[str]:
    """Returns the names of the faults that change no answer by more than its tolerance."""
    detected: set[str] = set()
    for text, windows, right, bound in rows:
        changed = {name: answer(fault(text, windows)) for name, fault in faults.items()}
        changed[LABELS] = right[::-1]
        detected.update(n for n, wrong in changed.items() if _difference(wrong, right) > bound)
    return [name for name in (*faults, LABELS) if name not in detected]


def _answering(interpreter: Any) -> Answer:
    return lambda windows: predict.run(interpreter, windows)["probabilities"]


def _difference(answer: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(answer - expected).max())


def _tolerances(rounded: Sequence[float]) -> list[float]:
    """Returns, for each text, how far a correct device's probability may be from the expected one.

    Args:
      rounded: for each text, how much its answer differs between two processors.
    """
    values = np.asarray(rounded)
    # The difference measured on one text is not enough, because it can be 0 by chance.
    typical = np.maximum(values, np.sqrt(np.mean(values**2)))
    return [round(max(TOLERANCE, 2 * float(value)), 4) for value in typical]


def _candidates(
    encode: Encode, answer: Answer, spec: dict[str, Any], examples: Examples
) -> list[str]:
    """Returns texts of the data set for which the model is least sure, the least sure first."""
    count = len(examples.inputs)
    places = np.unique(np.linspace(0, count - 1, min(count, POOL)).astype(int))
    if examples.paths is None:
        texts = _joined(examples, places, spec)
    else:
        texts = [decoded(contents.read(examples.paths[place])) for place in places]
    texts = list(dict.fromkeys(filter(None, map(one_line, texts)))) or ["a"]
    tops = [float(answer(encode(text)).max()) for text in texts]
    return [texts[i] for i in np.argsort(tops, kind="stable")[:CANDIDATES]]


def one_line(text: str) -> str:
    """Returns a text without line breaks, and not longer than a golden text may be."""
    text = without_surrogates(text)[:CHARACTERS]
    return " ".join(text.replace("\r", "\n").split("\n")).strip()


def without_surrogates(text: str) -> str:
    """Returns a text without lone halves of surrogate pairs, which UTF-8 cannot express."""
    return text.encode("utf-8", "ignore").decode("utf-8")


def _joined(examples: Examples, places: np.ndarray, spec: dict[str, Any]) -> list[str]:
    """Returns texts that are made from the token ids of examples, because no file has the texts."""
    words = tokens.of(spec["vocabulary"])
    rows = examples_of(examples.inputs.part(places))
    return [
        tokens.as_text([i for i in row[:length].tolist() if i != words.unknown], words)
        for row, length in zip(rows, lengths_of(rows), strict=True)
    ]


def _variants(text: str) -> list[str]:
    """Returns variants of a text that are hard to split into tokens."""
    return [
        text.upper()[:CHARACTERS],
        text.translate(ACCENTS),
        text[: CHARACTERS // 2] + ODD,
        "x" * (wordpiece.LONGEST_WORD + 1) + " " + text[: CHARACTERS // 2],
    ]


def _long_texts(
    texts: list[str], encode: Encode, answer: Answer, spec: dict[str, Any]
) -> list[str]:
    """Returns two texts that are longer than the model takes: of two and of three windows.

    Both begin with a text that fills one window. A text with another answer follows, so a device
    that cuts long texts off gives a wrong answer. One more token in the first text, or one less in
    the second, would change the number of windows.
    """
    if spec["length"] is None:
        return []
    ends = len(encode("")[0])

    def num_tokens(text: str) -> int:
        return sum(len(ids) - ends for ids in encode(text))

    def filled(text: str, count: int) -> str:
        """Returns a text, repeated and then cut to at most `count` tokens."""
        repeated = " ".join([text] * -(-2 * count // num_tokens(text)))
        lengths = range(len(repeated) + 1)
        return repeated[: bisect.bisect(lengths, count, key=lambda i: num_tokens(repeated[:i])) - 1]

    # Repeated long words would make a file of megabytes.
    usual = [text for text in texts if len(text) <= LONGEST_TOKENS * num_tokens(text)] or ["a"]
    answers = [answer(encode(text)) for text in usual]
    pairs = itertools.product(range(len(usual)), repeat=2)
    first, second = max(pairs, key=lambda pair: _difference(*(answers[i] for i in pair)))
    room = spec["length"] - ends
    start = filled(usual[first], room)
    return [f"{start} {filled(usual[second], rest)}" for rest in (room, room + 1)]


def _faults(spec: dict[str, Any]) -> dict[str, Fault]:
    """Returns the faults that a device can have before it runs the model, by name."""
    start, end = (int(spec[name] is not None) for name in ("start", "end"))

    def bare(text: str, windows: Inputs) -> Inputs:
        return [ids[start : len(ids) - end] for ids in windows]

    def cut(text: str, windows: Inputs) -> Inputs:
        ids = np.concatenate(bare(text, windows))
        return predict.windows(ids[: spec["length"] - start - end], spec)

    def shifted(text: str, windows: Inputs) -> Inputs:
        return [ids + 1 - 2 * (ids == spec["num_tokens"] - 1) for ids in windows]

    faults: dict[str, Fault] = {
        "every second token lost": lambda text, windows: [ids[::2] for ids in windows],
        "token ids shifted by 1": shifted,
    }
    if spec["length"] is not None:
        faults["long texts cut off"] = cut
    if start or end:
        faults["start and end left out"] = bare
    if spec["tokeniser"] == "wordpiece":
        faults["capital letters handled wrongly"] = _option_switched(spec, "lowercase")
        faults["accents handled wrongly"] = _option_switched(spec, "strip_accents")
    return faults


def _option_switched(spec: dict[str, Any], name: str) -> Fault:
    """Returns the fault of a tokeniser in which one option, such as `lowercase`, is switched."""
    changed = {**spec, name: not spec[name]}
    how = (changed["lowercase"], changed["strip_accents"], changed["split_chinese"])
    words = tokens.of(spec["vocabulary"])
    encode = wordpiece.encoder(words.tokens, spec["unknown"], *how)

    def wrong(text: str, windows: Inputs) -> Inputs:
        return predict.windows(encode(text), spec)

    return wrong


def _most_changed(
    texts: list[str], encode: Encode, answer: Answer, spec: dict[str, Any]
) -> list[str]:
    """Returns up to `TEXTS` texts that best reveal the faults of a device.

    The faults take turns: at each turn, the text is chosen whose answer that fault changes most.
    """
    faults = _faults(spec)
    inputs = [encode(text) for text in texts]
    rights = [answer(windows) for windows in inputs]
    changes = np.array(
        [
            [_difference(answer(fault(text, windows)), right) for fault in faults.values()]
            + [_difference(right[::-1], right)]
            for text, windows, right in zip(texts, inputs, rights, strict=True)
        ]
    )
    chosen: list[int] = []
    while len(chosen) < min(TEXTS, len(texts)):
        values = changes[:, len(chosen) % changes.shape[1]].copy()
        values[chosen] = -np.inf
        chosen.append(int(values.argmax()))
    return [texts[i] for i in chosen]
