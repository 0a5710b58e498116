"""The words that explain an answer: right ones are marked, views are those of training."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches, ragged
from tl_keras.data.batching.inputs import Inputs, Training
from tl_keras.data.examples import Dataset, Example
from tl_keras.modalities.text import explain, prepare
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.marking import words as marking
from tl_keras.modalities.text.marking.excerpts import from_json
from tl_keras.modalities.text.tokens import encoder
from tl_keras.modalities.text.tokens.vocabulary import read
from tl_keras.report.facts import confidence
from tl_keras.training.network import model as models

ENGLISH = read("english")
EVIDENCE = {"good": 2.0, "bad": -2.0, "dull": -1.0, "nice": 0.1}


def config_of(**sections) -> RunConfig:
    text = {"vocabulary": "english", "length": 64, **sections.pop("text", {})}
    return configs.from_tree(
        {
            "data": {"modality": "text", "path": "a.csv"},
            "model": {"backbone": "own.keras"},
            "text": text,
            **sections,
        }
    )


SETTINGS = config_of().settings


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A model that adds up the evidence of all tokens, for `positive` and against it."""
    ids = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(ENGLISH.num_tokens, 1)
    features = keras.ops.sum(embedding(ids), axis=1)
    table = np.zeros((ENGLISH.num_tokens, 1), np.float32)
    for word, weight in EVIDENCE.items():
        (token,) = encoder("english")(word)
        table[token] = weight
    embedding.set_weights([table])
    model = models.add_head(keras.Model(ids, features), ("negative", "positive"), 0.0)
    model.get_layer("logits").set_weights([np.array([[-1.0, 1.0]]), np.zeros(2)])
    return model


def answer_to(model: keras.Model, text: str) -> np.ndarray:
    return model(prepare.encoded(text, SETTINGS, None)[None]).numpy()


def words_of(model: keras.Model, text: str, settings: TextConfig = SETTINGS) -> dict[str, float]:
    answer = answer_to(model, text)
    marks = explain.marked(text, answer, explain.scorer(model), settings)
    return {text[mark.start : mark.end]: mark.weight for mark in marks}


def test_words_are_marked_by_what_they_contribute_to_the_answer(model):
    text = "A good film with a Dull end, but NICE music."
    # The weakest words are not marked.
    assert words_of(model, text) == pytest.approx({"good": 1.0, "Dull": -0.5})
    assert words_of(model, "A bad, bad film with a good end") == pytest.approx(
        {"bad": 1.0, "good": -1.0}
    )


def test_each_occurrence_is_marked(model):
    text = "bad, bad: dull"
    marks = explain.marked(text, answer_to(model, text), explain.scorer(model), SETTINGS)
    assert [(mark.start, mark.end) for mark in marks] == [(0, 3), (5, 8), (10, 14)]
    assert [mark.weight for mark in marks] == pytest.approx([1.0, 1.0, 0.5])


def test_nothing_is_marked_if_no_word_counts(model):
    assert words_of(model, "a film about a train") == {}
    assert words_of(model, "...") == {} and words_of(model, "") == {}


def test_words_in_every_window_of_a_long_text_are_marked(model):
    text = "bad " + 70 * "word " + "bad " + 70 * "word " + "good"
    assert prepare.encoded(text, SETTINGS, None).size > 2 * SETTINGS.length
    marks = explain.marked(text, answer_to(model, text), explain.scorer(model), SETTINGS)
    assert [(text[m.start : m.end], m.weight) for m in marks] == [
        ("bad", pytest.approx(1.0)),
        ("bad", pytest.approx(1.0)),
        ("good", pytest.approx(-1.0)),
    ]


def test_single_words_of_a_long_text_are_marked(model, monkeypatch):
    settings = SETTINGS.model_copy(update={"length": 2048})
    text = 500 * "word " + "very bad film indeed " + 900 * "word " + "not good"
    left_out = []
    weights = explain.weights

    def counted(words, places, *others):
        left_out.append(len(places))
        return weights(words, places, *others)

    monkeypatch.setattr(explain, "weights", counted)
    assert words_of(model, text, settings) == pytest.approx({"bad": 1.0, "good": -1.0})
    assert left_out[0] <= explain.FEWEST_PARTS and sum(left_out) < 150


def test_few_words_are_marked(model):
    text = " ".join(20 * ["bad good"])
    marks = explain.marked(text, answer_to(model, text), explain.scorer(model), SETTINGS)
    assert len(marks) == explain.MARKED
    assert [mark.start for mark in marks] == sorted(mark.start for mark in marks)


def test_scores_of_a_batch_equal_those_of_single_texts(model, monkeypatch):
    words = marking.split("a bad film , not good at all", encoder("english"), 64)
    arguments = words, range(8), np.array([[1.0, 0.0]]), explain.scorer(model), SETTINGS
    expected = explain.weights(*arguments)
    monkeypatch.setattr(explain, "MOST_VALUES", 16)
    np.testing.assert_allclose(explain.weights(*arguments), expected, atol=1e-6)
    assert expected.tolist() == pytest.approx([0, 4, 0, 0, 0, -4, 0, 0])


TEXTS = {
    "test": [
        ("positive", "a bad film"),  # The labels of the first two are wrong.
        ("negative", "a good good film"),
        ("positive", "good"),
        ("negative", "bad and dull"),
        ("negative", "dull"),
        ("positive", "a train"),  # No evidence: the first class is predicted.
    ],
    "train": [("positive", f"a good film number {i} with many words") for i in range(9)],
}


def written(folder: Path, model: keras.Model, config: RunConfig, whole: bool = False) -> dict:
    """Returns the index of a run whose examples are the rows of a CSV file."""
    rows = [(split, *row) for split, texts in TEXTS.items() for row in texts]
    lines = ["text,label", *(f"{text},{label}" for _, label, text in rows)]
    (folder / "a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    splits: dict[str, list] = {"train": [], "val": [], "test": []}
    for i, (split, label, _) in enumerate(rows):
        splits[split].append(Example(f"row {i + 2}", int(label == "positive"), ""))
    if whole:
        splits["val"], splits["test"] = splits["test"], []
    data = Dataset(
        ("negative", "positive"), splits, folder / "a.csv", None, [], [], "", whole=whole
    )
    inputs, empty = {}, np.empty(0, np.int32)
    for split in splits:
        texts = [text for own, _, text in rows if own == ("test" if split == "val" else split)]
        texts = texts if splits[split] else []
        ids = [prepare.encoded(text, config.settings, None) for text in texts]
        inputs[split] = Inputs(data.labels(split), ragged.of(ids, empty))
    split = "val" if whole else "test"
    answers = {split: model(inputs[split].array[:]).numpy()}
    explain.pictures(model, data, inputs, answers, config, folder / "pictures")
    return json.loads((folder / "pictures" / "index.json").read_text())


def marks(heat: dict) -> list[str]:
    shown = from_json(heat)
    return [shown.text[mark.start : mark.end] for mark in shown.marks]


def test_the_index_has_the_worst_mistakes_and_right_answers(tmp_path, model):
    index = written(tmp_path, model, config_of())
    assert [entry["file"] for entry in index["mistakes"]] == ["row 3", "row 2", "row 7"]
    assert [marks(entry["heat"]) for entry in index["mistakes"][:2]] == [["good", "good"], ["bad"]]
    assert index["mistakes"][2]["heat"] is None  # No word of "a train" counts.
    assert [entry["file"] for entry in index["right"]] == ["row 5", "row 6", "row 4"]
    assert {entry["split"] for entry in index["mistakes"] + index["right"]} == {"test"}
    assert index["augmented"] == [] and explain.MISTAKES == confidence.MISTAKES


def test_answers_of_folds_are_not_explained(tmp_path, model):
    index = written(tmp_path, model, config_of(), whole=True)
    assert [entry["heat"] for entry in index["mistakes"]] == [None, None, None]
    assert index["right"] == []


def test_a_text_that_was_removed_is_left_out(tmp_path, model, monkeypatch):
    def read(dataset):
        def fail(example):
            raise FileNotFoundError(example.file)

        return fail

    monkeypatch.setattr(explain, "original", read)
    index = written(tmp_path, model, config_of(text={"augment": [{"mask": 0.5}]}))
    assert [entry["heat"] for entry in index["mistakes"]] == [None, None, None]
    assert index["augmented"] == []


def test_augmented_texts_are_written_as_words(tmp_path, model):
    index = written(tmp_path, model, config_of(text={"augment": [{"mask": 0.5}]}))
    assert len(index["augmented"]) == explain.SAMPLES
    entry = index["augmented"][0]
    original = from_json(entry["original"]).text
    assert original.startswith("a good film number") and len(entry["views"]) == explain.VIEWS
    for view in entry["views"]:
        shown = from_json(view).text.split()
        assert len(shown) == len(original.split())
        assert set(shown) <= {*original.split(), "[MASK]"}
    assert any("[MASK]" in view["text"] for view in entry["views"])


def test_no_views_without_fine_tuning(tmp_path, model):
    config = config_of(text={"augment": [{"mask": 0.5}]}, fit={"epochs": 0})
    assert written(tmp_path, model, config)["augmented"] == []


def test_views_equal_those_of_training():
    config = config_of(text={"augment": [{"mask": 0.3}, {"delete": 0.2}]})
    ids = [np.array([101, *range(1000, 1010 + i), 102], np.int32) for i in range(10)]
    inputs = Inputs(np.arange(10), ragged.of(ids, np.empty(0, np.int32)))
    operations = config.settings.augmentations
    how = Training("text", 10, 0, operations, None, "none", 10)
    shown = explain.views(inputs.take(np.array([7, 2])), [7, 2], 10, config)
    assert shown.shape == (3, 2, 24)
    place = tf.Variable([0, 0], dtype=tf.int64)
    for view in range(3):
        place.assign([view, 0])
        ((trained, targets, _),) = batches.training(inputs, how, place).as_numpy_iterator()
        of_label = dict(zip(targets.argmax(-1), trained, strict=True))
        for row, label in zip(shown[view], (7, 2), strict=True):
            assert row[row != 0].tolist() == of_label[label][of_label[label] != 0].tolist()
