"""Writes `export/device/`: code that runs the shipped file on a device, and texts to check it."""

import importlib.resources
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.data import contents
from tl_keras.data.batching.inputs import CORES, Inputs
from tl_keras.export import parity
from tl_keras.export.description import Examples
from tl_keras.modalities import device_folder
from tl_keras.modalities.text import golden, tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.device import predict
from tl_keras.modalities.text.originals import decoded
from tl_keras.modalities.text.tokens import vocabulary, wordpiece
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.exports import OnFiles

FOLDER = importlib.resources.files("tl_keras.modalities.text.device")
# Code that splits texts by WordPiece without a library; other tokenisers need one.
NATIVE = ("tokens.h", "classify.cc", "Tokens.kt", "TextClassifier.kt")
TASKS = ("classification",)  # Tasks whose outputs the device programs can print.
FILES = """\
| `wordpiece.py` | the tokeniser in Python |
| `vocab.txt`, `characters.txt` | the tokens by id; what the tokeniser does to each character |
| `tokens.h`, `classify.cc` | the tokeniser in C++, and a program that runs it and the model |
| `Tokens.kt`, `TextClassifier.kt` | the same in Kotlin, for Android |
"""
ONLY_PYTHON = (
    "This folder has code in Python alone, because the tokeniser of this model needs the library "
    "`tokenizers`.\n\n"
)
ABOUT_ABSTAINING = " For a text of several windows, the model abstains if the mean is 0.5 or more."

Encode = Callable[[str], list[np.ndarray]]  # From a text to its windows, the model's inputs.


def measured_sentence(device: OnFiles) -> str:
    """Returns the result of `measure` as a sentence.

    The sentence leaves out the accuracy if `device` does not have it.
    """
    accuracy = f"accuracy {device['accuracy']:.3f}; " if "accuracy" in device else ""
    return (
        f"On the original texts, split into tokens by `predict.py`: {accuracy}"
        f"{device.identical:.0%} of the texts have exactly the same token ids as after preparation "
        "by the training code."
    )


def spec_of(
    settings: TextConfig,
    classes: Sequence[str],
    name: str,
    threshold: float | None,
    batch: int | str = 1,
) -> dict[str, Any]:
    """Returns the content of `spec.json`: what a program must know to use the model file.

    `vocabulary` is the location of the vocabulary here; `write` replaces it by the digest.

    Args:
      name: format of the model file.
      threshold: a class is possible if its probability is at least this. The output `abstain` is 0
        if exactly one class is possible, else 1. None if the file has no output `abstain`.
      batch: batch size of the file, or `dynamic`.
    """
    words = tokens.of(settings.vocabulary)
    return {
        "format": name,
        "batch": batch,
        "length": settings.longest,
        "longer_texts": "mean over windows",
        "tokeniser": words.kind,
        "vocabulary": settings.vocabulary,
        "num_tokens": words.num_tokens,
        "lowercase": words.lowercase,
        "strip_accents": words.strip_accents,
        "split_chinese": words.split_chinese,
        "start": words.start,
        "end": words.end,
        "unknown": words.unknown,
        "padding_row": words.order[0],
        "labels": list(classes),
        "abstain_threshold": threshold,
    }


def measure(file: Path, spec: dict[str, Any], examples: Examples) -> OnFiles:
    """Measures the model file on the original texts, split into tokens by `predict.py`.

    Texts that are longer than the model takes are divided into windows, as in evaluation.

    The answers are compared with the answers of the same model file to the same texts, prepared by
    the training code.

    Returns:
      the accuracy on the original texts and its interval; the share of texts with the same answer
      after both preparations; the largest difference of a probability; and `identical`, the share
      of texts that get exactly the same token ids from both preparations.
    """
    count = min(CORES, parity.MOST_AT_ONCE)
    interpreters = [predict.load(file) for _ in range(count)]
    encode = device_encoder(spec)
    paths, total = examples.paths, len(examples.inputs)
    assert paths is not None
    results: list[tuple] = [()] * total

    def run(interpreter: Any, places: np.ndarray) -> None:
        for place in places:
            actual = encode(decoded(contents.read(paths[place])))
            expected = _windows_of(examples.inputs, place)
            runs = [predict.run(interpreter, x)["probabilities"] for x in (actual, expected)]
            results[place] = (*runs, _are_equal(actual, expected))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, interpreters, np.array_split(np.arange(total), count)))
    answers, reference = (np.stack([result[i] for result in results]) for i in (0, 1))
    measures = tasks.of(TASKS[0], "exports").of_file(answers, reference, examples.inputs.labels)
    return OnFiles(**measures, identical=float(np.mean([result[2] for result in results])))


def _windows_of(inputs: Inputs, place: int) -> list[np.ndarray]:
    part = inputs.part(np.array([place]))
    array: Any = part.windows.array if part.windows else part.whole()
    return [array.values[start:stop] for start, stop in pairwise(array.starts)]


def _are_equal(windows: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    return len(windows) == len(others) and all(map(np.array_equal, windows, others))


def device_encoder(spec: dict[str, Any]) -> Encode:
    """Returns the tokeniser of `predict.py`, which reads the files that a device gets."""
    with tempfile.TemporaryDirectory() as folder:
        write_tokeniser(Path(folder), spec)
        return predict.tokeniser(spec, Path(folder), wordpiece.encoder)


def write_tokeniser(folder: Path, spec: dict[str, Any]) -> None:
    """Writes the files from which `predict.py` makes its tokeniser.

    Args:
      spec: the result of `spec_of`.
    """
    words = tokens.of(spec["vocabulary"])
    if words.kind == "wordpiece":
        write_text(folder / vocabulary.VOCAB, "".join(f"{token}\n" for token in words.tokens))
        for file in (wordpiece.CHARACTERS, Path(wordpiece.__file__)):
            shutil.copyfile(file, folder / file.name)
    else:
        write_text(folder / vocabulary.JSON, words.definition)


def write(
    folder: Path,
    file: Path,
    spec: dict[str, Any],
    about: dict[str, str],
    examples: Examples,
    measured: str,
) -> None:
    """Writes the device folder. The folder must not exist yet.

    Args:
      file: the LiteRT file to ship.
      spec: the result of `spec_of`.
      about: texts for the README: `title` of the model, `about` (what the model does) and `by`
        (version, author, licence).
      examples: the examples from which the golden texts, which test a device, are chosen.
      measured: score, size and latency of the file as Markdown, for the README.
    """
    folder.mkdir()
    write_tokeniser(folder, spec)
    encode = predict.tokeniser(spec, folder, wordpiece.encoder)
    golden.write(folder / "golden", file, spec, encode, examples)
    is_native = spec["tokeniser"] == "wordpiece"
    values = {**words(spec, fixed_length(file)), **about, "measured": measured}
    templates = (*(NATIVE if is_native else ()), "README.md")
    device_folder.fill(folder, FOLDER, templates, values)
    digest = {"vocabulary": tokens.of(spec["vocabulary"]).digest}  # not a path of this machine
    write_json(folder / "spec.json", {**spec, **digest, **device_folder.identity_of(file)})


def fixed_length(file: Path) -> int:
    """Returns the number of token ids that a LiteRT file takes; 0 if it takes any number."""
    (entrance,) = predict.load(file).get_input_details()
    return max(int(entrance["shape_signature"][1]), 0)


def words(spec: dict[str, Any], fixed: int) -> dict[str, Any]:
    """Returns `{placeholder: value}` for the template files of the device folder.

    Args:
      spec: the result of `spec_of`.
      fixed: the result of `fixed_length`.
    """
    is_native = spec["tokeniser"] == "wordpiece"
    ids = {name: -1 if spec[name] is None else spec[name] for name in ("start", "end", "unknown")}
    flags = ("lowercase", "strip_accents", "split_chinese")
    native = (FOLDER / "native.md").read_text(encoding="utf-8") if is_native else ONLY_PYTHON
    return {
        **ids,
        **{name: str(spec[name]).lower() for name in flags},
        "length": spec["length"] or 0,
        "fixed": fixed,
        "input_length": fixed or "any",
        "window_words": _window_words(spec),
        "long_words": ", or longer than the model takes" if spec["length"] else "",
        "padding_sentence": _padding_sentence(fixed),
        "packages": "" if is_native else " tokenizers",
        "and_packages": "" if is_native else " and tokenizers",
        "native": native,
        "files": FILES if is_native else "| `tokenizer.json` | the tokeniser |\n",
        "tokeniser_words": _tokeniser_words(spec),
        "frame_words": _frame_words(spec),
        **device_folder.answer_words(spec, ABOUT_ABSTAINING),
    }


def _padding_sentence(fixed: int) -> str:
    if fixed:
        return f"The model takes {fixed} ids: fill a shorter text up with 0."
    return "A text needs no padding."


def _tokeniser_words(spec: dict[str, Any]) -> str:
    if spec["tokeniser"] != "wordpiece":
        padding = spec["padding_row"]
        swap = f"; exchange the ids 0 and {padding}, since padding is 0 here" if padding else ""
        return f"`tokenizer.json` and Hugging Face's library `tokenizers`{swap}"
    how = [
        "in lower case" if spec["lowercase"] else "with its capital letters",
        "without accents" if spec["strip_accents"] else "with its accents",
    ]
    return (
        "WordPiece, as BERT does: `vocab.txt` has the token of id 0 on its first line. The text is "
        f"taken {' and '.join(how)}. An unknown word has the id {spec['unknown']}"
    )


def _window_words(spec: dict[str, Any]) -> str:
    """Returns the step of the README about windows, and the number of the step after it."""
    if spec["length"] is None:
        return "2"
    room = spec["length"] - sum(spec[name] is not None for name in ("start", "end"))
    return (
        f"2. If the text has more than {room} ids, divide them into windows of about the same "
        "length, as few as\n   possible. With n ids in k windows, the first n mod k windows have "
        "one id more than the others.\n   Run the model on each window. The mean of the outputs is "
        "the answer.\n3"
    )


def _frame_words(spec: dict[str, Any]) -> str:
    places = (("start", "before"), ("end", "after"))
    ends = [f"{spec[name]} {place}" for name, place in places if spec[name] is not None]
    if not ends:
        return "Put nothing before or after the ids."
    return f"Put the id {' and '.join(ends)} the ids of each window."
