"""Tests of the model card: valid Markdown, also with hostile names."""

import json
import re

import pytest
from handmade import HAN, SCRIPT, change, epochs, rewrite, scores, write_records
from ruamel.yaml import YAML

from tl_keras.report.pages import card, page
from tl_keras.report.read import read
from tl_keras.run.result.exports import Shipped
from tl_keras.run.result.training import Counts, ModelRecord


def front_matter(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text.split("---\n")[1])


def test_card_is_written_beside_the_report(workdir):
    page.write(workdir)
    text = (workdir / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text == card.render(read(workdir))
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert titles == [
        *("Data", "Method", "Figures", "By class", "Exports", "Limits", "How to reproduce"),
    ]


def test_front_matter_fits_hugging_face(workdir):
    (workdir / "config.yaml").write_text("data: {source: folder, path: '/home/me/ants: bees'}\n")
    matter = front_matter(card.render(read(workdir)))
    assert matter["library_name"] == "keras" and matter["pipeline_tag"] == "image-classification"
    assert "license" not in matter
    (entry,) = matter["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "run" and result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "ants: bees", "type": "folder", "split": "test"}
    assert {m["type"]: m["value"] for m in result["metrics"]} == {"accuracy": 0.9412, "f1": 0.9045}


@pytest.mark.parametrize("name", ["🌼 🐝", "a\x7f\x85b\ufeff", '\u2028"q\\'])
def test_front_matter_holds_any_name(workdir, name):
    config = {"data": {"source": "folder", "path": "x", "name": name}}
    YAML(typ="safe", pure=True).dump(config, workdir / "config.yaml")
    ((result,),) = [m["results"] for m in front_matter(card.render(read(workdir)))["model-index"]]
    assert result["dataset"]["name"] == name


def test_without_a_config_the_source_is_unknown(workdir):
    (workdir / "config.yaml").unlink()
    text = card.render(read(workdir))
    assert "- Source: unknown\n" in text and "None" not in text


def test_figures_have_their_examples_and_intervals(workdir):
    text = card.render(read(workdir))
    assert "| test | 153 | Accuracy | 94.1% | 89.9% to 97.4% |" in text
    assert f"| {card.plain(SCRIPT)} | 93.4% | 84.3 to 97.4 | 61 | 100.0% |" in text
    assert (
        "| int8 | export/model_int8.tflite | 0.7 MB | 92.8% | 87.6 to 95.9 | 153 | 3.14 | ok |"
        in (text)
    )
    assert "| ok |\n\nLatency is the median time for one example on one thread" in text
    assert 'reproduce" names. export/model.tflite is the int8 file.\n\n## ' in text
    assert "Calibration error 3.9% on 153 examples" in text
    # The folder of the run: `config.yaml` lies beside the card.
    assert "    tl-keras finetune --config=config.yaml --workdir=../run_again\n" in text
    assert "- data fingerprint: 9f2c1e7a" in text and "- keras: 3.15.0" in text


def test_the_card_says_that_nothing_can_be_shipped(workdir):
    reason = "export.max_bytes is 10, but the smallest file, int8, has 20 bytes"
    rewrite(workdir, shipped=Shipped(format=None, status=f"{reason}. Raise the limit"))
    text = card.render(read(workdir))
    assert f"nothing to ship: {reason}.\n" in text
    assert f"No model.tflite can be shipped: {reason}.\n" in text


def test_limits_are_computed(workdir):
    text = card.render(read(workdir))
    assert "Good enough? " in text and "always answering" in text and f"“{HAN}” (0)" in text
    rewrite(workdir, test=None, val=scores(77))
    assert "The run has no test split" in card.render(read(workdir))


def test_a_card_of_cross_validation_counts_no_held_out_split(workdir):
    rewrite(workdir, test=None, pipeline="cross_validate", data=Counts(train=91, val=0, test=0))
    text = card.render(read(workdir))
    assert "- 91 training images\n" in text and "- 0 held-out" not in text
    ((result,),) = [m["results"] for m in front_matter(text)["model-index"]]
    assert result["dataset"]["split"] == "held-out"


def test_a_card_does_not_show_local_paths(workdir):
    places = {"backbone": "/home/me/secret/own.keras", "weights": "/home/me/secret/weights.h5"}
    rewrite(workdir, model=ModelRecord(**places))
    text = card.render(read(workdir))
    assert "- weights: weights.h5" in text and "- backbone: own.keras" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("fit", "stage", "kept", "line"),
    [
        ("{}", "finetune", "finetuned", "weights averaged over the second half of the epochs"),
        ("{keep: auto}", "finetune", "mix", "weights averaged over the second half of the epochs"),
        (
            "{keep: best}",
            "finetune",
            "finetuned",
            "weights of the epoch with the lowest validation",
        ),
        ("{keep: auto}", "scratch", "scratch", "weights of the epoch with the lowest validation"),
        ("{keep: best}", "finetune", "head", "not kept, because it was not clearly better"),
    ],
)
def test_the_card_says_which_weights_were_kept(workdir, fit, stage, kept, line):
    (workdir / "config.yaml").write_text(f"image: {{augment: [{{flip: both}}]}}\nfit: {fit}\n")
    write_records(workdir / "metrics.jsonl", epochs(stage))
    rewrite(workdir, model=ModelRecord(kept=kept))
    text = card.render(read(workdir))
    name = "training" if stage == "scratch" else "fine-tuning"
    assert f"- {name}: 3 epochs, {line}" in text
    assert ("augmentation" in text) == (kept != "head")


def test_hostile_names_are_text(workdir):
    change(workdir, "data.json", classes=["| x |\n\n# big", "[a](http://evil)", "<img src=x>"])
    text = card.render(read(workdir))
    assert "\n# big" not in text and "](http:" not in text and "<img" not in text.replace("\\<", "")
    assert "\\<script\\>" in text and not re.search(r"(?<!\\)<script", text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("model_float32.tflite", "model_float32.tflite"),
        ("_x_ *b* `c`", "\\_x\\_ \\*b\\* \\`c\\`"),
        ("a|b\n---", "a\\|b ---"),
        ("1. x", "1\\. x"),
        ("- x", "\\- x"),
        ("12.5% right", "12.5% right"),
        ("http://e.com www.e.com", "http\\://e.com www\\.e.com"),
    ],
)
def test_only_active_marks_of_markdown_are_escaped(text, escaped):
    assert card.plain(text) == escaped


def test_a_result_without_scores_has_a_card(workdir):
    for path in workdir.iterdir():
        path.unlink()
    (workdir / "result.json").write_text(json.dumps({"pipeline": "finetune"}))
    text = card.render(read(workdir))
    assert "# run" in text and "## Limits" in text and "model-index" not in front_matter(text)
