"""Tests of the report's sections on how a model was made."""

import re

import pytest
from handmade import candidate, change, report, rewrite

from tl_keras.report.read import read
from tl_keras.report.sections import provenance
from tl_keras.run.result.training import ActivationsRecord, ModelRecord


def test_long_lists_are_cut_with_a_count(workdir):
    quarantined = [{"file": f"{i}.png", "reason": "0 bytes"} for i in range(1234)]
    change(workdir, "data.json", quarantined=quarantined)
    text = report(workdir)
    assert "1,234 files cannot be read or used; the first 100 are listed here, all of them" in text
    assert ">99.png<" in text and ">100.png<" not in text


def test_rows_that_are_left_out_are_not_called_files(workdir):
    quarantined = [{"file": f"row {i}", "reason": "empty"} for i in (3, 5)]
    change(workdir, "data.json", quarantined=quarantined)
    text = report(workdir)
    assert "2 rows cannot be read or used." in text and ">Row</th>" in text
    assert "Repair or remove 2 rows." in text
    assert "2 rows were left out" in (workdir / "MODEL_CARD.md").read_text()


def test_model_and_its_candidates_are_described(workdir):
    values = {"freeze": 0.5, "block": "block_8", "cut": "block_8_add", "kept": "mix"}
    candidates = {"head": candidate(log_loss=0.48289), "mix": candidate(log_loss=0.15)}
    rewrite(workdir, model=ModelRecord(candidates=candidates, **values))
    text = provenance.model(read(workdir))
    assert "<dd>up to block_8 (0.5 of the blocks, rounded to whole blocks)</dd>" in text
    assert "block_8_add" not in text
    assert "<dd>the mean of the weights before and after fine-tuning</dd>" in text
    assert "<td>mix (kept)</td>" in text and ">0.150<" in text and ">0.483<" in text


@pytest.mark.parametrize(
    ("candidates", "frozen"),
    [
        (("head",), "all layers of the backbone"),
        (
            ("head", "finetuned"),
            "all layers of the backbone; fine-tuning froze up to block_8 (0.5 of the blocks, "
            "rounded to whole blocks), but the fine-tuned weights were not kept",
        ),
    ],
)
def test_a_head_alone_is_described_as_all_frozen(workdir, candidates, frozen):
    tried = {name: candidate() for name in candidates}
    depth = {"freeze": 0.5, "block": "block_8", "cut": "block_8_add"}
    rewrite(workdir, model=ModelRecord(kept="head", candidates=tried, **depth))
    assert f"<dd>{frozen}</dd>" in provenance.model(read(workdir))


def test_examples_of_each_class_are_counted_by_split(workdir):
    assert "Examples of each class" not in provenance.data(read(workdir))  # an older run
    answers = {"train": {"cat": 65, "dog": 9}, "val": {"cat": 13, "dog": 0}, "test": {}}
    change(workdir, "data.json", classes=["cat", "dog"], answers=answers)
    text = provenance.data(read(workdir))
    assert "Examples of each class." in text
    cells = [re.sub("<[^>]+>", " ", row).split() for row in re.findall("<tr>.*?</tr>", text)]
    assert ["Class", "train", "validation"] in cells
    assert ["cat", "65", "13"] in cells and ["dog", "9", "0"] in cells
    names = [f"c{i}" for i in range(50)]
    answers = {"train": {name: 50 - i for i, name in enumerate(names)}}
    change(workdir, "data.json", classes=names, answers=answers)
    text = provenance.data(read(workdir))
    assert "the 40 classes with the fewest examples are shown" in text
    assert ">c49<" in text and ">c10<" in text and ">c9<" not in text


def test_features_are_described(workdir):
    kept = ActivationsRecord(keep=True, cached=True, bytes=1_064_960, seconds=5.193, why="one view")
    features = {"a/b/train": kept, "cut/val": ActivationsRecord(keep=False, why="<another> view")}
    rewrite(workdir, features=features)
    text = provenance.features(read(workdir))
    row = "<td>a/b</td><td>train</td><td>read from the cache</td>"
    assert row in text and ">1.1 MB<" in text and ">5.2 s<" in text
    assert "<td>validation</td><td>not stored</td>" in text and "&lt;another&gt; view" in text


def test_time_by_phase_is_drawn_as_shares(workdir):
    text = provenance.time(read(workdir))
    assert "5 min 12 s in all. If the run was stopped and resumed, the times of all" in text
    assert '<span class="bar" style="--share:0.603">60.3%</span>' in text  # 188 of 312 s.


def test_training_from_scratch_is_described(workdir):
    scratch = ModelRecord(weights="none", freeze=0.0, block=None, cut=None, kept="scratch")
    rewrite(workdir, model=scratch)
    text = provenance.model(read(workdir))
    for value in ("none (random initial weights)", "nothing", "the weights trained from scratch"):
        assert f"<dd>{value}</dd>" in text


def test_config_is_shown_as_written(workdir):
    (workdir / "config.yaml").write_text("data: {path: '</code><b>'}  # my comment\n")
    text = provenance.config(read(workdir))
    assert "&lt;/code&gt;&lt;b&gt;&#x27;}  # my comment" in text
