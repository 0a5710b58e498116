"""A whole run on texts in a table: its data check, the words in its report, and predictions."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

import tl_keras
from tl_keras import cli
from tl_keras.approaches import evaluate
from tl_keras.config import text as configs
from tl_keras.modalities.text.drawn import intents
from tl_keras.modalities.text.tokens import vocabulary


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on some texts of `intents`, written to a CSV file with a few faults."""
    folder = tmp_path_factory.mktemp("texts")
    texts, labels = intents.texts()
    rows = [
        (text.decode(), ("other", "thanks")[int(intents.CLASSES[label] == "thanks")])
        for text, label in zip(texts[300:], labels[300:], strict=True)
    ]
    rows += [
        ("Dies ist ein Satz, den ich auf Deutsch und nicht auf Englisch schreibe.", "other"),
        ("cafÃ© closed early", "other"),
        ("Many, many thanks to all of you for the quick delivery!", "thanks"),
        ("many many thanks to all of you for the QUICK delivery", "other"),
        ("   ", "other"),
    ]
    lines = ['"{}",{}'.format(text.replace('"', '""'), label) for text, label in rows]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    tree = {
        "data": {"source": "csv", "path": str(folder / "texts.csv")},
        "text": {"augment": [{"mask": 0.1}]},
        "model": {"backbone": "StaticEmbedding", "weights": "none", "options": {"dimensions": 16}},
        "fit": {"epochs": 3, "learning_rate": 0.02},
        "export": {"formats": ["float32"]},
    }
    return tl_keras.finetune(tree, folder / "run")


def test_the_data_check_finds_each_fault(run):
    data = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    assert [entry["reason"] for entry in data["quarantined"]] == ["only whitespace"]
    assert any("1 text has wrongly decoded characters" in line for line in data["warnings"])
    odd = run.findings["scripts"]["odd"]
    assert [entry["why"] for entry in odd] == ["probably German instead of English"]
    (pair,) = (p for p in run.findings["near_duplicates"] if len(set(p["labels"])) > 1)
    assert pair["distance"] == 0 and sorted(pair["labels"]) == ["other", "thanks"]
    assert run.findings["lengths"]["truncated"] == 0


def test_the_report_shows_texts_with_marked_words(run):
    html = (run.workdir / "report.html").read_text(encoding="utf-8")
    assert html.count('<p class="text" dir="auto">') >= 6 and '<mark class="for"' in html
    assert "[MASK]" in html and "probably German instead of English" in html
    words = re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    assert not re.search(r"\b(images?|pictures?|pixels?)\b", words)


def test_texts_files_and_tables_get_the_same_predictions(run, tmp_path):
    text = "thank you so much, you are the best"
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.csv").write_text(f'text\n"{text}"\n')
    expected = tl_keras.predict(run, text)[0]["probabilities"]
    for value in (Path(tmp_path / "a.txt"), str(tmp_path / "b.csv"), [text]):
        (row,) = tl_keras.predict(run, value)
        assert row["probabilities"] == pytest.approx(expected, abs=1e-6)
    short = tl_keras.predict(run, [text, "no"])
    assert short[0]["probabilities"] == pytest.approx(expected, abs=1e-5)


def test_the_command_line_takes_a_text(run, capsys):
    arguments = ["predict", f"--workdir={run.workdir}", "thank you so much", "--format=csv"]
    assert cli.main(arguments) == 0
    assert "#0,thanks," in capsys.readouterr().out
    assert cli.main(arguments[:2]) == 2
    assert "expected texts, text files, tables or folders; received none" in capsys.readouterr().err
    assert cli.main([*arguments, "-"]) == 2
    assert "standard input is not read" in capsys.readouterr().err
    assert cli.main([*arguments, "lost.txt"]) == 2
    assert "expected a text or a folder; 'lost.txt' does not exist" in capsys.readouterr().err


def test_a_report_without_the_data_still_shows_the_marked_words(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.workdir, copy)
    data = json.loads((copy / "data.json").read_text(encoding="utf-8"))
    (copy / "data.json").write_text(json.dumps({**data, "root": str(tmp_path / "lost.csv")}))
    html = tl_keras.report(copy).read_text(encoding="utf-8")
    assert '<mark class="for"' in html


def test_evaluate_takes_the_names_of_columns(run, tmp_path, capsys):
    (tmp_path / "b.csv").write_text(
        "review,class\nthank you so much,thanks\nplease tell me a joke,other\n"
    )
    arguments = ["evaluate", f"--workdir={run.workdir}", f"--data={tmp_path / 'b.csv'}"]
    assert cli.main(arguments) == 2
    assert "set data.text_column" in capsys.readouterr().err
    columns = ["--set=data.text_column=review", "--set=data.label_column=class"]
    assert cli.main([*arguments, *columns]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2


def test_a_changed_file_of_the_run_is_named(run, tmp_path):
    copy = shutil.copytree(run.workdir, tmp_path / "run")
    words = copy / "vocabulary/vocab.txt"
    words.write_text(words.read_text(encoding="utf-8").replace("\nthank\n", "\nthanc\n"))
    with pytest.raises(ValueError, match="vocab.txt or .* has changed since tl_keras wrote it"):
        tl_keras.predict(copy, "thank you")
    (copy / "data.json").write_text("{}")
    with pytest.raises(ValueError, match="data.json' is damaged; restore it"):
        tl_keras.predict(copy, "thank you")


class Killed(BaseException):
    pass


def test_a_killed_run_continues_with_the_vocabulary_with_which_it_began(tmp_path, monkeypatch):
    def kill(*_):
        raise Killed

    own = tmp_path / "own"
    vocabulary.write(vocabulary.read("english"), own)
    (own / "digest.txt").unlink()
    tree = {
        "data": {"source": "intents"},
        "text": {"vocabulary": str(own)},
        "model": {"backbone": "StaticEmbedding", "weights": "none", "options": {"dimensions": 16}},
        "fit": {"epochs": 1},
        "export": {"formats": ["float32"]},
    }
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("tl_keras.modalities.text.prepare.keep", kill)
        tl_keras.finetune(tree, tmp_path / "run")
    assert not (tmp_path / "run/vocabulary").exists()
    words = (own / "vocab.txt").read_text(encoding="utf-8")
    (own / "vocab.txt").write_text(words.replace("\nthank\n", "\nthanc\n"), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"^text\.vocabulary: '.*own' has changed since the run in"
    ):
        tl_keras.finetune(tree, tmp_path / "run")
    (own / "vocab.txt").write_text(words, encoding="utf-8")
    tl_keras.finetune(tree, tmp_path / "run")
    assert vocabulary.read(str(tmp_path / "run/vocabulary")) == vocabulary.read("english")


def test_evaluate_also_takes_the_usual_names_of_columns(run, tmp_path):
    file = tmp_path / "others.csv"
    file.write_text("text,label\nthank you so much,thanks\nwhere is it,other\n")
    config = configs.load(run.workdir / "config.yaml", ["data.text_column=review"])
    renamed = dataclasses.replace(run, config=config)
    assert evaluate.run(renamed, file) == evaluate.run(run, file)
    file.write_text("message,label\nthank you so much,thanks\n")
    with pytest.raises(ValueError, match=r"^data.text_column: .* has no column 'review'"):
        evaluate.run(renamed, file)


def test_latency_is_that_of_a_text_of_median_length(run):
    file = run.result.export["float32"]
    assert 6 <= file.latency_ms.length <= 20
    assert file.arena_bytes is None  # It depends on the length of the text.
    readme = (run.workdir / "export" / "device" / "README.md").read_text(encoding="utf-8")
    assert f"ms per text of {file.latency_ms.length} input values, the median length" in readme
    assert "bytes of memory" not in readme


def test_a_damaged_file_of_an_earlier_run_is_named(run, tmp_path):
    copy = shutil.copytree(run.workdir, tmp_path / "earlier")
    (copy / "data.json").write_text("{}")
    model = {"backbone": "StaticEmbedding", "weights": str(copy), "options": {"dimensions": 16}}
    with pytest.raises(ValueError, match="earlier/data.json' is damaged; restore it"):
        tl_keras.finetune({"data": {"source": "intents"}, "model": model}, tmp_path / "run")
