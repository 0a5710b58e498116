"""pretrain on German texts without labels, a run that starts from it, a kill, and errors."""

import itertools
import json
import shutil
from types import SimpleNamespace

import pytest
from runs import assert_same_weights, epochs_of, shoot

import tl_keras
from tl_keras import cli
from tl_keras.backbones import run_vocabulary
from tl_keras.config.model import ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since, record
from tl_keras.data.examples import Example
from tl_keras.modalities.text import tokens

WHO = ("Der Bäcker", "Die Ärztin", "Mein Großvater", "Unsere Nachbarin", "Das Mädchen")
DOES = ("kauft", "sucht", "verschenkt", "öffnet")
WHAT = ("einen Schlüssel", "zwei Äpfel", "das alte Fahrrad", "süße Brötchen")
GERMAN = [f"{who} {does} {what}." for who, does, what in itertools.product(WHO, DOES, WHAT)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The config of a tiny run on 80 German sentences, files of a folder with folders in it."""
    folder = tmp_path_factory.mktemp("german") / "texte"
    for i, text in enumerate(GERMAN):
        file = folder / f"teil_{i % 3}" / f"{i % 2}" / f"{i:02d}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "teil_0" / "kurz.txt").write_text("J", encoding="utf-8")
    (folder / "teil_0" / "kopie.txt").write_text(GERMAN[5], encoding="utf-8")
    (folder / "LIESMICH.md").write_text("Zum Inhalt", encoding="utf-8")
    sizes = {"layers": 2, "width": 16, "heads": 2, "inner": 32, "positions": 32}
    return {
        "data": {"path": str(folder), "test": 0},
        "model": {"backbone": "BERT", "options": sizes},
        "pretrain": {"objective": "masked_language", "vocabulary": 120},
        "fit": {"epochs": 4, "learning_rate": 0.01},
    }


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    return tl_keras.pretrain(tree, tmp_path_factory.mktemp("pretrained") / "run")


def labelled(folder):
    """A table of 80 other sentences, with the verb's kind as the label."""
    lines = [f"{text[:-1]} heute.,{'gibt' if 'kauft' in text else 'anderes'}" for text in GERMAN]
    (folder / "saetze.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / "saetze.csv")


def test_the_model_learns_to_guess_hidden_tokens(run):
    record, epochs = run.result.pretraining, epochs_of(run.workdir)
    assert record.objective == "masked_language" and record.epochs <= 4
    assert {line["stage"] for line in epochs} == {"pretrain"}
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]
    assert record.val["loss"] == pytest.approx(min(line["val_loss"] for line in epochs))
    assert record.val["perplexity"] < record.facts["vocabulary"]
    assert 0 <= record.val["masked_accuracy"] <= 1
    assert run.result.test is None and run.result.val is None


def test_single_tokens_and_copies_are_left_out(run):
    data = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    assert sum(len(data["splits"][split]) for split in ("train", "val")) == 81
    assert sum(run.result.pretraining.pieces.values()) == 80
    assert data["omitted"] == ["teil_2/1/05.txt"] and data["objective"] == "masked_language"
    assert [entry["file"] for entry in data["quarantined"]] == ["LIESMICH.md"]


def test_the_vocabulary_is_learned_from_the_texts(run):
    words = tokens.of(str(run.workdir / "vocabulary"))
    assert words.num_tokens == run.result.pretraining.facts["vocabulary"] == 120
    ids = tokens.encoder_of(words)("Die Ärztin öffnet süße Brötchen")
    assert words.unknown not in ids and len(ids) < 12
    assert "öffnet" in words.tokens


def test_the_report_and_the_card_say_what_was_learned(run):
    html = (run.workdir / "report.html").read_text(encoding="utf-8")
    assert "hidden validation tokens right, perplexity" in html and "Pre-training: " in html
    card = (run.workdir / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "pipeline_tag: feature-extraction" in card and "without labels" in card
    assert "lowest validation loss" in card


def test_a_finished_run_is_returned_unless_its_texts_change(run, tree):
    assert tl_keras.pretrain(tree, run.workdir).result == run.result
    recorded = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    assert changed_since.since(run.config, recorded) is None


@pytest.mark.parametrize("command", ["predict", "evaluate", "export"])
def test_it_answers_nothing_before_it_is_fine_tuned(command, run, capsys):
    given = ["Guten Tag"] if command == "predict" else []
    assert cli.main([command, f"--workdir={run.workdir}", *given]) == 2
    assert "pretrained without labels, which answers nothing yet" in capsys.readouterr().err


def test_a_later_run_finds_weights_and_vocabulary(run, tree, tmp_path):
    config = {
        "data": {"source": "csv", "path": labelled(tmp_path)},
        "model": {**tree["model"], "weights": str(run.workdir)},
        "fit": {"epochs": 1},
        "export": {"formats": ["float32"]},
    }
    later = tl_keras.finetune(config, tmp_path / "later")
    assert later.config.settings.vocabulary == str(run.workdir / "vocabulary")
    assert later.result.model.weights == str(run.workdir)
    # A third run starts from the second, and finds the vocabulary there.
    third = RunConfig.model_validate(
        config | {"model": {**tree["model"], "weights": str(later.workdir)}}
    )
    assert tokens.of(third.settings.vocabulary) == tokens.of(str(run.workdir / "vocabulary"))
    with pytest.raises(ValueError, match=r"text.vocabulary: the weights of .*; received another v"):
        RunConfig.model_validate(config | {"text": {"vocabulary": "english"}})


def test_the_vocabulary_of_a_run_without_its_own_is_that_of_its_weights(run, tmp_path):
    (tmp_path / "config.yaml").write_text(f"model: {{weights: '{run.workdir}'}}\n")
    assert run_vocabulary.find(str(tmp_path)) == str(run.workdir / "vocabulary")
    assert run_vocabulary.find(str(tmp_path / "none")) is None
    (tmp_path / "config.yaml").write_text("text: {vocabulary: english}\n")
    assert run_vocabulary.find(str(tmp_path / "config.yaml")) == "english"


def test_texts_that_the_weights_know_may_be_validated_but_not_tested_on(run, tree, tmp_path):
    def config(split):
        lines = [f"{text},{'ab'[i % 2]},{split}" for i, text in enumerate(GERMAN[:20])]
        lines += [f"{text} Nein.,{'ab'[i % 2]},train" for i, text in enumerate(GERMAN[:40])]
        lines += [
            f"{text} Ja.,{'ab'[i % 2]},{'val' if split == 'test' else 'test'}"
            for i, text in enumerate(GERMAN[:20])
        ]
        file = tmp_path / f"{split}.csv"
        file.write_text("text,label,split\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return {
            "data": {"source": "csv", "path": str(file)},
            "model": {**tree["model"], "weights": str(run.workdir)},
            "fit": {"epochs": 0},
            "export": {"formats": ["float32"]},
        }

    with pytest.raises(ValueError, match=r"trained on \d+ texts of test, .*mark these texts as te"):
        tl_keras.finetune(config("test"), tmp_path / "test")
    assert tl_keras.finetune(config("val"), tmp_path / "val").result.test


@pytest.mark.parametrize("whole", [False, True])
def test_few_known_test_texts_are_a_warning(whole, run):
    known = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))["digests"]["train"]
    digests = [*known[:2], *(f"{i:064x}" for i in range(198))]
    examples = [Example(f"{i}.txt", 0, digest) for i, digest in enumerate(digests)]
    splits = {"train": examples, "val": examples, "test": [] if whole else examples}
    dataset = SimpleNamespace(splits=splits, whole=whole, nouns=("text", "texts"))
    (line,) = record.refuse_leaks(dataset, ModelConfig(weights=str(run.workdir)))
    where = "the folds and test" if whole else "test"
    assert line.startswith(f"2 texts of {where}, such as '0.txt', were among the examples without")


def test_test_texts_of_a_table_with_labels_are_left_out(tree, tmp_path):
    data = {"source": "csv", "path": labelled(tmp_path)}
    run = tl_keras.pretrain({**tree, "data": data, "fit": {"epochs": 1}}, tmp_path / "run")
    config = {
        "data": data,
        "model": {**tree["model"], "weights": str(run.workdir)},
        "fit": {"epochs": 0},
        "export": {"formats": ["float32"]},
    }
    tested = tl_keras.finetune(config, tmp_path / "later").result.test.n
    recorded = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    assert tested == len(recorded["omitted"])
    assert recorded["notes"] == [
        f"{tested} texts of test are left out, so that later runs can be measured on them"
    ]


def test_a_killed_run_ends_as_an_unbroken_one(run, tree, tmp_path):
    workdir = tmp_path / "run"
    shoot("pretrain", tree, workdir, workdir / "checkpoint" / "pretrain.npy")
    tl_keras.pretrain(tree, workdir)
    assert_same_weights(workdir, run.workdir)
    assert run.result.pretraining.val == tl_keras.pretrain(tree, workdir).result.pretraining.val


def test_pretraining_continues_from_an_earlier_run(run, tree, tmp_path):
    config = {**tree, "model": {**tree["model"], "weights": str(run.workdir)}}
    config["fit"] = {"epochs": 1, "mixed_precision": True}
    again = tl_keras.pretrain(config, tmp_path / "again")
    assert again.result.pretraining.val["loss"] < run.result.pretraining.val["loss"] + 0.2
    assert again.result.model.kept == "finetuned"
    assert tokens.of(str(again.workdir / "vocabulary")) == tokens.of(
        str(run.workdir / "vocabulary")
    )


class TestRefused:
    def refused(self, tree, tmp_path, texts, match, **sections):
        lines = [json.dumps({"text": text}) for text in texts]
        (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        data = {"source": "jsonl", "path": str(tmp_path / "texts.jsonl"), "max_bad_share": 1}
        with pytest.raises(ValueError, match=match):
            tl_keras.pretrain({**tree, "data": data, **sections}, tmp_path / "run")

    def test_too_few_texts(self, tree, tmp_path):
        self.refused(
            *(tree, tmp_path, [*GERMAN[:4], *GERMAN[:4], "  "]),
            r"has 4 texts to pre-train on, of different content; expected at least 10",
        )

    def test_texts_of_one_token(self, tree, tmp_path):
        self.refused(
            *(tree, tmp_path, [chr(97 + i) for i in range(20)]),
            r"data: the split train has only texts of fewer than 2 tokens",
        )

    def test_texts_without_words(self, tree, tmp_path):
        self.refused(
            *(tree, tmp_path, ["\u200b" * i for i in range(1, 15)]),
            r"(?s)pretrain.vocabulary: the texts have no words|to pre-train on",
        )

    def test_a_frozen_backbone(self, tree, tmp_path):
        model = {"backbone": "BERT", "weights": "none"}
        self.refused(tree, tmp_path, GERMAN, r"fit.freeze: ", model=model, fit={"freeze": 0.5})

    def test_no_epochs(self, tree, run, tmp_path):
        model = {**tree["model"], "weights": str(run.workdir)}
        self.refused(tree, tmp_path, GERMAN, r"fit.epochs: ", model=model, fit={"epochs": 0})

    def test_a_column_of_splits_with_other_names(self, tree, tmp_path):
        lines = "".join(
            f"{text},{'train' if i else 'sometimes'}\n" for i, text in enumerate(GERMAN)
        )
        (tmp_path / "t.csv").write_text("text,split\n" + lines, encoding="utf-8")
        data = {"source": "csv", "path": str(tmp_path / "t.csv")}
        with pytest.raises(ValueError, match=r"row 2: expected 'train', 'val', 'test' or an empty"):
            tl_keras.pretrain({**tree, "data": data}, tmp_path / "run")


def test_splits_in_the_names_of_folders_are_kept(tree, tmp_path):
    for split, texts in (("train", GERMAN[:40]), ("valid", GERMAN[40:50]), ("test", GERMAN[50:])):
        (tmp_path / "data" / split).mkdir(parents=True)
        for i, text in enumerate(texts):
            (tmp_path / "data" / split / f"{i}.txt").write_text(text, encoding="utf-8")
    config = {**tree, "data": {"path": str(tmp_path / "data")}, "fit": {"epochs": 1}}
    run = tl_keras.pretrain(config, tmp_path / "run")
    assert run.result.pretraining.pieces == {"train": 40, "val": 10}
    shutil.rmtree(tmp_path / "data" / "test")
    with pytest.raises(ValueError, match=r"finished with other data \(30 files removed"):
        tl_keras.pretrain(config, run.workdir)
