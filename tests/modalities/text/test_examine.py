"""Findings on the texts of a data set: near-duplicates, lengths, scripts and languages."""

import numpy as np
import pytest

from tl_keras.data.batching import ragged
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset, Example
from tl_keras.modalities.text import examine, prepare, scripts
from tl_keras.modalities.text.config import TextConfig

GOOD = "What a lovely place, I will come back with my friends and all of their dogs, number {}."
BAD = "The soup was cold and nobody came to our table for more than an hour, visit {}."
SETTINGS = TextConfig(vocabulary="english", length=64)


def written(folder, texts: list[tuple[str, str, str]], settings=SETTINGS, table=True):
    """Returns the findings on texts, each given as (split, label, text)."""
    splits = {"train": [], "val": [], "test": [], "rest": []}
    classes = tuple(sorted({label for _, label, _ in texts}))
    if table:
        lines = ["text,label"]
        lines += ['"{}",{}'.format(t.replace('"', '""'), label) for _, label, t in texts]
        (folder / "texts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for i, (split, label, text) in enumerate(texts):
        name = f"row {i + 2}" if table else f"{i}.txt"
        if not table:
            (folder / name).write_text(text, encoding="utf-8")
        splits[split].append(Example(name, classes.index(label), ""))
    root = folder / "texts.csv" if table else folder
    dataset = Dataset(classes, splits, root, None, [], [], "", nouns=("text", "texts"))
    inputs = {
        split: Inputs(
            dataset.labels(split),
            ragged.of(
                [
                    prepare.encoded(text, settings, settings.longest)
                    for own, _, text in texts
                    if own == split
                ],
                np.empty(0, np.int32),
            ),
        )
        for split in ("train", "val", "test")
    }
    return examine.examine(dataset, inputs, settings)


def many(count: int = 20) -> list[tuple[str, str, str]]:
    numbers = ["one two three", "seven", "eleven and a half", "forty-two", "nine hundred"]
    words = [f"{numbers[i % 5]} {chr(97 + i) * 3}" for i in range(count)]
    good = [("train", "good", f"Number {w}. " + w.join(["I like it", "a lot"])) for w in words]
    bad = [("test", "bad", f"Visit {w}? Cold soup, {w}, {w}, slow staff.") for w in words]
    return good + bad


@pytest.mark.parametrize("table", [True, False])
def test_pairs_in_two_splits_or_with_two_labels_are_found(tmp_path, table):
    texts = [
        ("train", "good", GOOD.format(1)),
        ("train", "good", GOOD.format(1).upper()),  # The same split and label: harmless.
        ("train", "bad", BAD.format(1)),
        ("train", "good", BAD.format(1).replace(",", "")),
        ("test", "bad", "Something else altogether, written by another person."),
        ("val", "good", f"  {GOOD.format(1).lower()}"),
    ]
    pairs = written(tmp_path, texts, table=table)["near_duplicates"]
    name = (lambda i: f"row {i + 2}") if table else (lambda i: f"{i}.txt")
    assert pairs == [
        {
            "files": [name(0), name(5)],
            "splits": ["train", "val"],
            "labels": ["good", "good"],
            "distance": 0,
        },
        {
            "files": [name(1), name(5)],
            "splits": ["train", "val"],
            "labels": ["good", "good"],
            "distance": 0,
        },
        {
            "files": [name(2), name(3)],
            "splits": ["train", "train"],
            "labels": ["bad", "good"],
            "distance": 0,
        },
    ]


def test_lengths_count_the_tokens_that_are_cut_off_too(tmp_path):
    long = "word " * 300
    found = written(tmp_path, [*many(), ("test", "bad", long)])["lengths"]
    assert (found["n"], found["limit"], found["longest"]) == (41, 64, 302)
    assert found["truncated"] == round(1 / 41, 4)
    assert found["odd"] == [
        {
            "file": "row 42",
            "text": f"{long[:59]}…",
            "tokens": 302,
            "why": "training reads only the first 64 of 302 tokens",
        }
    ]


def test_the_length_of_texts_that_are_not_read_again_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "MOST_READ", 10)
    found = written(tmp_path, [*many(), ("test", "bad", "word " * 300)])
    assert found.keys() == {"rare", "lengths"}
    assert found["lengths"]["longest"] == 64 and found["lengths"]["truncated"] == round(1 / 41, 4)
    assert [entry["why"] for entry in found["lengths"]["odd"]] == [
        "training reads only the first 64 tokens"
    ]


def test_texts_without_tokens_are_no_measure_of_length(tmp_path):
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\nword\n")
    settings = TextConfig(vocabulary=str(folder), length=512)
    texts = [("train", "good", "\u200e" * (i + 1)) for i in range(40)]
    found = written(tmp_path, [*texts, ("test", "bad", "word " * 100)], settings)["lengths"]
    assert found["median"] == 0
    assert found["odd"][-1]["why"] == "100 times as long as the median text"


def test_a_text_of_exactly_the_limit_is_not_truncated(tmp_path):
    found = written(tmp_path, [*many(), ("test", "bad", "word " * 62)])["lengths"]
    assert found["longest"] == 64 and found["truncated"] == 0


def test_truncated_texts_are_only_counted_if_they_are_many(tmp_path):
    long = [("test", "bad", f"{chr(97 + i)} word " * 100) for i in range(10)]
    found = written(tmp_path, [*many(), *long])["lengths"]
    assert found["truncated"] == 0.2 and found["odd"] == []


def test_very_long_and_very_short_texts_are_odd(tmp_path):
    settings = TextConfig(vocabulary="english", length=512)
    texts = [*many(), ("train", "good", "word " * 400), ("test", "bad", "Horrible!")]
    texts.append(("test", "bad", "!!!"))
    found = written(tmp_path, texts, settings)["lengths"]["odd"]
    whys = {entry["file"]: entry["why"] for entry in found}
    assert whys["row 42"].endswith("times as long as the median text")
    assert whys == {"row 42": whys["row 42"], "row 43": "a single word", "row 44": "no word"}


def test_short_texts_among_short_texts_are_usual(tmp_path):
    texts = [("train", "good", word) for word in "yes yeah sure okay fine".split()]
    assert written(tmp_path, [*texts, ("test", "bad", "no")])["lengths"]["odd"] == []


def test_texts_in_another_script_or_language_are_odd(tmp_path):
    english = [
        (split, label, f"{text} This is what they said to me.") for split, label, text in many()
    ]
    texts = [
        *english,
        ("train", "good", "Это место мне очень понравилось"),
        ("train", "good", "Das ist nicht gut und ich werde nie wieder zu diesem Laden gehen."),
        ("test", "bad", "12345 !!!"),
    ]
    found = written(tmp_path, texts)["scripts"]
    assert found["n"] == 43
    assert found["scripts"] == {"Latin": 41, "Cyrillic": 1, scripts.NO_LETTERS: 1}
    assert found["languages"] == {"English": 40, "German": 1}
    assert [(entry["file"], entry["why"]) for entry in found["odd"]] == [
        ("row 42", "Cyrillic instead of Latin script"),
        ("row 43", "probably German instead of English"),
        ("row 44", "no letters"),
    ]


def test_a_set_of_several_scripts_has_no_odd_ones(tmp_path):
    russian = [("train", "good", f"Это место мне очень понравилось {i}") for i in range(10)]
    assert written(tmp_path, [*many(), *russian])["scripts"]["odd"] == []


def test_large_sets_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(examine.copies, "MAX_EXAMPLES", 10)
    assert set(written(tmp_path, many())) == {"rare", "scripts", "lengths"}
    monkeypatch.setattr(examine, "MOST_READ", 10)
    found = written(tmp_path, [*many(), ("train", "good", "word " * 100)])
    assert set(found) == {"rare", "lengths"}
    assert found["lengths"]["longest"] == 64 and found["lengths"]["truncated"] > 0


def test_drawn_texts_are_examined():
    raw = np.array([GOOD.format(1).encode(), GOOD.format(1).encode(), b"Else."], object)
    splits = {
        "train": [Example("a/0", 0, "", 0), Example("a/2", 0, "", 2)],
        "val": [],
        "test": [Example("a/1", 0, "", 1)],
    }
    dataset = Dataset(("good",), splits, None, raw, [], [], "")
    inputs = {
        split: Inputs(
            dataset.labels(split),
            ragged.of(
                prepare.embedded(raw[[e.index for e in splits[split]]], SETTINGS),
                np.empty(0, np.int32),
            ),
        )
        for split in splits
    }
    found = examine.examine(dataset, inputs, SETTINGS)
    assert [pair["files"] for pair in found["near_duplicates"]] == [["a/0", "a/1"]]


def test_the_log_has_a_line_on_lengths_and_one_on_odd_texts(tmp_path):
    found = written(tmp_path, [*many(), ("test", "bad", "word " * 300)])
    first, second = examine.lines(found)
    assert first.endswith(" 302 in the longest, 2.4% of the texts have more than 64")
    assert second == "1 text of unusual length, 0 in an unusual script or language"
    assert examine.lines({})[0].startswith("0 texts of unusual length")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo", "one two"),
        (f"{' ' * 200}word", "word"),
        (f"word{' ' * 200}more", "word…"),
        ("x" * 61, f"{'x' * 60}…"),
    ],
)
def test_the_beginning_of_a_text_is_one_line(text, shown):
    assert examine.beginning(text) == shown
