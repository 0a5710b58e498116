"""Finds the words that support an answer, and shows augmented training texts, for the report.

The report only reads files and loads no model. So the words are found while the model is in
memory.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import ragged
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset, Example
from tl_keras.maybe import Maybe
from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.augment import augment, num_columns
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.marking.excerpts import Mark, excerpt, to_json
from tl_keras.modalities.text.marking.words import Word, divide, split, windows_of
from tl_keras.modalities.text.originals import original
from tl_keras.run.files import write_json
from tl_keras.training.network.model import logits_of

MISTAKES = 12
RIGHT = 4
SAMPLES, VIEWS = 6, 3
# Bounds of the number of parts that are left out one by one. A part is a word, or several words of
# a longer text. Long texts take more time, so they have fewer parts.
FEWEST_PARTS, MOST_PARTS = 16, 64
DIVIDED, PIECES = 4, 8  # The strongest parts of a long text are divided into smaller parts.
MARKED = 8  # marked words of a text, at most
WEAKEST = 0.25  # Words of a smaller weight are not marked; the strongest word has the weight 1.
TINY = 1e-9
NEGLIGIBLE = 0.01  # If no word changes the support by this much, no word is marked.
MOST_VALUES = 8192  # token ids of a batch
SHORT = 200  # characters of an augmented text that are shown
EMPTY = np.empty(0, np.int32)

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # See `scorer`.


def pictures(
    model: keras.Model,
    dataset: Dataset,
    inputs: dict[str, Inputs],
    probabilities: dict[str, np.ndarray],
    config: RunConfig,
    folder: Path,
) -> None:
    """Writes texts with marked words and augmented training texts to an index for the report.

    The index, `index.json`, has three lists:

    - `mistakes`: wrongly answered texts, each with `file`, `split` and `heat`, an excerpt with
      marked words, see `excerpts`. `heat` is None if no word is marked: no word changes the answer,
      the text cannot be read, or the answer is from the model of a fold, not from `model`.
    - `right`: some rightly answered texts, in the same form.
    - `augmented`: training texts, each with `file`; `original`, an excerpt of the text; and
      `views`, excerpts of its augmented versions.

    Args:
      model: maps token ids `(batch, length) int32` to answers; has a layer `logits`.
      probabilities: the answers, by split. Texts of test are shown, or of val if test was not
        measured.
      folder: folder for the index. An existing folder is removed first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    split = next(name for name in ("test", "val") if name in probabilities)
    answers, labels, text_of = probabilities[split], inputs[split].labels, original(dataset)
    # Rounded like predictions.csv, so that the report chooses the same mistakes.
    rounded, metrics = np.round(answers, 6), tasks.of(dataset.task, "metrics")
    wrong = metrics.worst(rounded, labels, len(labels))
    # In cross-validation, the answers on val come from the models of the folds, not from `model`.
    of_folds = dataset.whole and split == "val"
    chosen = {
        "mistakes": list(wrong[:MISTAKES]),
        "right": [] if of_folds else _some_right(labels, wrong),
    }
    score = None if of_folds else scorer(model, dataset.task)
    index: dict[str, Any] = {}
    for name, places in chosen.items():
        examples = [(dataset.splits[split][i], answers[i : i + 1]) for i in places]
        index[name] = [
            _entry(example, split, answer, text_of, score, config.settings)
            for example, answer in examples
        ]
    index["augmented"] = _augmented(dataset, inputs["train"], config, text_of)
    write_json(folder / "index.json", index)


def _some_right(labels: np.ndarray, wrong: Sequence[int]) -> list[int]:
    """Returns the indices of up to `RIGHT` rightly answered examples, of different labels."""
    right = np.setdiff1d(np.arange(len(labels)), np.array(wrong, np.int64))
    return right[_spread(labels[right], RIGHT)].tolist()


def _spread(labels: np.ndarray, count: int) -> list[int]:
    """Returns the indices of up to `count` examples, from as many classes as possible.

    The examples are sorted by label, and evenly spaced ones are taken.
    """
    order = np.argsort(labels, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[steps.round().astype(int)].tolist()


def _entry(
    example: Example,
    split: str,
    answer: np.ndarray,
    text_of: Callable[[Example], str],
    score: Maybe[Score],
    settings: TextConfig,
) -> dict[str, Any]:
    """Returns the entry of the index for one example.

    Args:
      answer: the answer to explain, `(1, columns)`.
      score: a function that `scorer` returned; None if no words are to be marked.
    """
    marks: list[Mark] = []
    text = ""
    with contextlib.suppress(OSError):  # The file was removed during training.
        text = text_of(example)
        marks = marked(text, answer, score, settings) if score else []
    heat = to_json(excerpt(text, marks)) if marks else None
    return {"file": example.file, "split": split, "heat": heat}


def scorer(model: keras.Model, task: str = tasks.DEFAULT) -> Score:
    """Returns a function from token ids and an answer to the support for this answer, `(batch,)`.

    The function takes `(batch, length) int32` and `(1, columns)`. For classification, the support
    is the log odds of the class that the answer prefers.
    """
    raw, support = logits_of(model), tasks.of(task, "losses").support
    signature = [tf.TensorSpec((None, None), tf.int32)]  # Compiled once for all lengths.
    infer = tf.function(lambda ids: raw(ids, training=False), signature)

    def score(ids: np.ndarray, answer: np.ndarray) -> np.ndarray:
        rows = max(1, MOST_VALUES // ids.shape[1])
        parts = [infer(ids[i : i + rows]).numpy() for i in range(0, len(ids), rows)]
        return support(np.concatenate(parts), np.repeat(answer, len(ids), 0))

    return score


def marked(text: str, answer: np.ndarray, score: Score, settings: TextConfig) -> list[Mark]:
    """Returns the words that most support an answer or speak against it; [] if none does.

    In a long text, parts of several words are left out at first. Then the strongest parts are
    divided, again and again, until they are single words.

    Args:
      answer: the answer to explain, `(1, columns)`.
      score: a function that `scorer` returned.
    """
    encode = tokens.encoder(settings.vocabulary)
    words = split(text, encode, _num_parts(len(encode(text)), settings))
    places = list(range(len(words)))
    changes = weights(words, places, answer, score, settings)
    if np.abs(changes).max(initial=0) < NEGLIGIBLE:
        return []
    while True:
        strongest = [places[i] for i in np.argsort(-np.abs(changes), kind="stable")[:DIVIDED]]
        if not any(words[i].several for i in strongest):
            break
        words, places = _divided(text, words, strongest, encode)
        changes = weights(words, places, answer, score, settings)
    # Of the parts of a long text, some are still several words.
    single = [i for i, place in enumerate(places) if not words[place].several]
    return _marks([words[places[i]] for i in single], changes[single])


def _marks(words: Sequence[Word], changes: np.ndarray) -> list[Mark]:
    """Returns marks for the strongest words, with weights relative to the strongest one."""
    shares = changes / max(np.abs(changes).max(initial=0), TINY)
    order = np.argsort(-np.abs(shares), kind="stable")[:MARKED]
    kept = sorted(int(i) for i in order if abs(shares[i]) >= WEAKEST)
    return [Mark(words[i].start, words[i].end, float(shares[i])) for i in kept]


def _num_parts(length: int, settings: TextConfig) -> int:
    """Returns the largest number of parts into which a text of `length` token ids is divided."""
    window = min(length, settings.longest or length)
    return min(max(2 * MOST_VALUES // max(window, 1), FEWEST_PARTS), MOST_PARTS)


def _divided(
    text: str, words: Sequence[Word], chosen: Sequence[int], encode: Callable[[str], list[int]]
) -> tuple[list[Word], list[int]]:
    """Returns the words of a text with the chosen entries divided, and the indices of the parts."""
    entries: list[Word] = []
    places: list[int] = []
    for i, word in enumerate(words):
        parts = divide(text, word, encode, PIECES) if i in chosen else [word]
        places += range(len(entries), len(entries) + len(parts)) if i in chosen else ()
        entries += parts
    return entries, places


def weights(
    words: Sequence[Word],
    places: Sequence[int],
    answer: np.ndarray,
    score: Score,
    settings: TextConfig,
) -> np.ndarray:
    """Returns by how much the support for an answer falls without a word, `(places,)`.

    This is occlusion (arXiv 1311.2901): the unknown token takes the place of the word's tokens. If
    the vocabulary has no unknown token, the tokens are deleted.

    The method was chosen on a MiniLM that was fine-tuned on SST-2. The measure was how much the
    probability of an answer falls if the strongest words are deleted: two words of a text of one
    sentence, or five words of a text of five sentences.

    - This method: 0.46 and 0.46.
    - Occlusion by the mask token: 0.41 and 0.32.
    - Integrated gradients (arXiv 1703.01365): 0.24 to 0.40, depending on their baseline, and 0.29.

    In a long text, a word changes only the answer for its own window.

    Args:
      words: all words of a text.
      places: indices of the words that are left out, one at a time.
    """
    vocabulary = tokens.of(settings.vocabulary)
    ends = (vocabulary.start is not None) + (vocabulary.end is not None)
    room = None if settings.longest is None else settings.longest - ends
    numbers = windows_of(words, room)
    instead = [] if vocabulary.unknown is None else [vocabulary.unknown]

    def row(window: int, left_out: int | None) -> np.ndarray:
        ids: list[int] = []
        for i, (word, number) in enumerate(zip(words, numbers, strict=True)):
            if number == window:
                ids += instead * len(word.ids) if i == left_out else word.ids
        return np.array(tokens.framed(ids, vocabulary, settings.longest), np.int32)

    chosen = [numbers[i] for i in places]
    windows = sorted(set(chosen))
    rows = [row(window, None) for window in windows]
    rows += [row(numbers[i], i) for i in places]
    # Padded like the batches of evaluation.
    scores = score(ragged.of(rows, EMPTY)[:], answer) if rows else EMPTY
    whole = dict(zip(windows, scores.tolist(), strict=False))
    return np.array([whole[window] for window in chosen]) - scores[len(windows) :]


def _augmented(
    dataset: Dataset, inputs: Inputs, config: RunConfig, text_of: Callable[[Example], str]
) -> list[dict[str, Any]]:
    operations = config.settings.augmentations
    if not operations or config.fit.is_head_alone or inputs.lengths is None:
        return []  # A head that is trained alone sees no augmented texts.
    chosen = _spread(inputs.labels, SAMPLES)
    shown = views(inputs.take(np.array(chosen)), chosen, len(inputs), config)
    vocabulary, entries = tokens.of(config.settings.vocabulary), []
    for i, place in enumerate(chosen):
        example = dataset.splits["train"][place]
        with contextlib.suppress(OSError):
            original = to_json(excerpt(text_of(example), characters=SHORT))
            written = [
                to_json(excerpt(tokens.as_text(view[i].tolist(), vocabulary), (), SHORT))
                for view in shown
            ]
            entries.append({"file": example.file, "original": original, "views": written})
    return entries


def views(ids: np.ndarray, indices: Sequence[int], count: int, config: RunConfig) -> np.ndarray:
    """Augments texts as the first epochs of training do: one view of each text per epoch.

    Args:
      ids: `(texts, length) int32`.
      indices: index of each text among all training examples.
      count: number of all training examples.

    Returns:
      `(views, texts, length) int32`.
    """
    operations, shown = config.settings.augmentations, []
    # Each epoch shows one view; `auto` always trains for at least `VIEWS` epochs.
    epochs = VIEWS if config.fit.epochs == "auto" else config.fit.epochs
    for view in range(min(VIEWS, epochs, config.fit.views or VIEWS)):
        numbers = tf.random.stateless_uniform(
            (count, num_columns(operations)), (2 * config.seed, view)
        )
        shown.append(augment(tf.constant(ids), tf.gather(numbers, indices), operations).numpy())
    return np.stack(shown)
