"""A model is trained, measured and used on tables of texts, and on folders of texts."""

import csv
import json
import shutil

import numpy as np
import pytest

import tl_keras
from tl_keras import cli
from tl_keras.config.text import from_tree
from tl_keras.data import load
from tl_keras.data.examples import SPLITS
from tl_keras.data.sources import unlabelled

WORDS = {
    "good": ["great", "lovely", "superb", "happy"],
    "bad": ["awful", "boring", "dull", "sad"],
}
NOUNS = ["film", "movie", "actor", "plot", "scene", "music", "story", "cast"]


def texts(count, seed):
    """Returns `(text, label)` of short reviews, some with commas, quotes and line breaks."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        label = ("good", "bad")[i % 2]
        words = [*rng.choice(NOUNS, 3), *rng.choice(WORDS[label], 2), str(rng.integers(10**6))]
        rows.append((f'{words[3]} {" ".join(words)}, "ä"\n{words[4]}', label))
    return rows


def write_csv(file, rows, header=("text", "label")):
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def write_json_lines(file, rows):
    lines = [json.dumps(dict(zip(("text", "label"), row, strict=False))) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def tree_of(file, cache, source="csv", **data):
    return {
        "data": {"source": source, "path": str(file), **data},
        "model": {
            "backbone": "BERT",
            "weights": "none",
            "options": {"layers": 1, "width": 16, "heads": 2, "inner": 32},
        },
        "fit": {"epochs": 2, "batch_size": 8},
        "export": {"formats": []},
        "cache": {"path": str(cache)},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, its config and its table. Tests leave the table as they found it."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [*texts(60, 0), ("", "good"), ("no label", "")]
    file = write_csv(folder / "reviews.csv", rows)
    tree = tree_of(file, folder / "cache")
    return tl_keras.finetune(tree, folder / "run"), tree, file


def test_the_record_names_rows(trained):
    run, _, file = trained
    record = json.loads((run.workdir / "data.json").read_text())
    assert record["root"] == str(file)
    names = [name for split in SPLITS for name in record["splits"][split]]
    assert sorted(names) == sorted(f"row {i}" for i in range(2, 62))
    reasons = {entry["file"]: entry["reason"] for entry in record["quarantined"]}
    assert reasons == {"row 62": "empty cell", "row 63": "no label"}
    assert "modality: text" in (run.workdir / "config.yaml").read_text()


def test_a_finished_run_is_returned_until_a_cell_changes(trained):
    run, tree, file = trained
    again = tl_keras.finetune(tree, run.workdir)
    assert again.result == run.result
    before = file.with_suffix(".before")
    shutil.copy2(file, before)
    rows = texts(60, 0)
    rows[4] = (rows[4][0].replace(" ", "_", 1), rows[4][1])  # A text of the same length.
    write_csv(file, [*rows, ("", "good"), ("no label", "")])
    with pytest.raises(ValueError, match=r"with other data \(changed content of 'row 6'\)"):
        tl_keras.finetune(tree, run.workdir)
    shutil.move(before, file)
    tl_keras.finetune(tree, run.workdir)


def moved(rows: list, what: str) -> list:
    """Returns the rows of a table after a change."""
    return {
        "removed": [*rows[:4], *rows[5:]],
        "two removed": [*rows[:4], *rows[5:30], *rows[31:]],
        "inserted": [*rows[:2], ("a new text", "good"), *rows[2:]],
        "replaced": [*rows[:4], *rows[5:30], ("a new text", "good"), *rows[30:]],
        "swapped": [*rows[:4], rows[5], rows[4], *rows[6:]],
        "appended": [*rows[:4], ("a new text", "good"), *rows[5:], ("another text", "good")],
    }[what]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("removed", "1 row removed; the first row that differs is 'row 6'"),
        ("two removed", "2 rows removed; the first row that differs is 'row 6'"),
        ("inserted", "1 row inserted; the first row that differs is 'row 4'"),
        ("replaced", "1 row removed and 1 row inserted; the first row that differs is 'row 6'"),
        ("swapped", "rows in another order; the first row that differs is 'row 6'"),
        ("appended", "1 row added: 'row 64'; changed content of 'row 6'"),
    ],
)
def test_rows_that_have_moved_are_not_called_changed(trained, what, said):
    run, tree, file = trained
    before = file.with_suffix(".before")
    shutil.copy2(file, before)
    write_csv(file, moved([*texts(60, 0), ("", "good"), ("no label", "")], what))
    try:
        with pytest.raises(ValueError, match="was finished with other data") as caught:
            tl_keras.finetune(tree, run.workdir)
    finally:
        shutil.move(before, file)
    assert f"({said})" in str(caught.value)


def test_a_table_is_measured_as_its_texts_are(trained, tmp_path):
    run, _, _ = trained
    rows = texts(24, 1)
    scores = tl_keras.evaluate(run, write_csv(tmp_path / "new.csv", rows))
    assert scores["n"] == 24
    assert tl_keras.evaluate(run, write_json_lines(tmp_path / "new.jsonl", rows)) == scores
    for i, (text, label) in enumerate(rows):
        (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / label / f"{i}.txt").write_text(text, encoding="utf-8", newline="")
    of_files = tl_keras.evaluate(run, tmp_path / "folder")
    # The order of the examples differs, and with it the rounding of a mean.
    assert of_files.pop("log_loss") == pytest.approx(scores.pop("log_loss"), abs=1e-12)
    assert of_files == scores


def test_predictions_on_rows_files_and_strings_are_equal(trained, tmp_path, capsys):
    run, _, _ = trained
    rows = texts(5, 2)
    file = write_csv(tmp_path / "new.csv", [*rows, ("", "")], ("Text", "other"))
    lines = write_json_lines(tmp_path / "new.jsonl", [(text,) for text, _ in rows])
    (tmp_path / "0.txt").write_text(rows[0][0], encoding="utf-8", newline="")
    expected = [row["probabilities"] for row in tl_keras.predict(run, [text for text, _ in rows])]
    found = list(tl_keras.predict(run, file))
    assert [row["file"] for row in found] == [f"{file}/row {i}" for i in range(2, 8)]
    assert found.pop() == {"file": f"{file}/row 7", "error": "empty cell"}
    mixed = list(tl_keras.predict(run, [lines, tmp_path / "0.txt"]))
    assert [row["file"] for row in mixed] == [
        *(f"{lines}/line {i}" for i in range(1, 6)),
        str(tmp_path / "0.txt"),
    ]
    for row, answer in zip([*found, *mixed], [*expected, *expected, expected[0]], strict=True):
        assert row["probabilities"] == pytest.approx(answer, abs=1e-5)
    assert cli.main(["predict", "--workdir", str(run.workdir), str(file)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6 and "row 7' is skipped: empty cell" in err


def test_another_column_is_used_everywhere(trained, tmp_path):
    run, _, _ = trained
    rows = [("wrong", text, label) for text, label in texts(20, 3)]
    file = write_csv(tmp_path / "other.csv", rows, ("text", "Review", "stars"))
    data = {"text_column": "review", "label_column": "stars"}
    dataset = load.load(from_tree(tree_of(file, tmp_path / "cache", **data)))
    assert dataset.root == file / "review"
    assert sum(len(dataset.splits[split]) for split in SPLITS) == 20


def test_unlabelled_tables_and_folders(trained, tmp_path):
    _, tree, file = trained
    new = texts(9, 4)
    known = texts(60, 0)[:2]
    table = write_json_lines(
        tmp_path / "new.jsonl", [(text,) for text, _ in [*new, *known, new[0]]]
    )
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for i, (text, _) in enumerate(new):
        place = tmp_path / "folder" / "deep" / f"{i}.txt"
        place.write_text(text, encoding="utf-8", newline="")
    digests = []
    for path in (table, tmp_path / "folder"):
        config = from_tree({**tree, "data": {**tree["data"], "unlabelled": str(path)}})
        found = unlabelled.load(config, load.load(config))
        assert {example.label for example in found.examples} == {unlabelled.UNKNOWN}
        digests.append({example.digest for example in found.examples})
        if path == table:
            assert found.examples[0].file == f"{table}/line 1"
            assert found.warnings[0].startswith("3 lines of data.unlabelled left out")
    assert digests[0] == digests[1] and len(digests[0]) == 9


def test_labels_of_an_unlabelled_table_are_known(trained, tmp_path):
    _, tree, _ = trained
    table = write_csv(tmp_path / "new.csv", [("a text", "bad"), ("more", ""), ("other", "neutral")])
    config = from_tree({**tree, "data": {**tree["data"], "unlabelled": str(table)}})
    found = unlabelled.load(config, load.load(config)).examples
    assert [example.label for example in found] == [0, unlabelled.UNKNOWN, unlabelled.UNKNOWN]
