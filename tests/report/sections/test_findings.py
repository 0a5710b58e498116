"""Tests of the data check in the report, and of the page of an audit."""

import json
import shutil

import pytest
from handmade import SCRIPT, Outline, change, findings

from tl_keras.config import text as configs
from tl_keras.report.advice import on_data
from tl_keras.report.pages import page
from tl_keras.report.read import read
from tl_keras.report.sections import findings as sections
from tl_keras.run.marks import MARK


@pytest.fixture
def checked(workdir):
    """Returns the folder of an audit, which holds only data.json and findings.json."""
    for path in workdir.iterdir():
        if path.name not in ("data.json", MARK):
            path.unlink()
    (workdir / "findings.json").write_text(json.dumps(findings()))
    return workdir


def report(workdir) -> str:
    return page.write(workdir).read_text(encoding="utf-8")


def test_every_finding_is_shown(workdir):
    (workdir / "findings.json").write_text(json.dumps(findings()))
    text = report(workdir)
    shown = Outline(text).words
    assert SCRIPT not in text and "<i>" not in text and "<cross" not in text
    for words in [
        "1 pair of nearly equal pictures.",
        "distance 2",
        "10 test examples have a near-duplicate in another split. On the other test examples, "
        "91.0% of 143 answers are right (95% interval 86.0 to 95.0).",
        "by <cross-validation>",
        f"labelled {SCRIPT} may be 蒲公英 🌼 , 93.0% sure",
        "fewer than <20>",
        "577 (from 190 to 1,048)",
        "12 × 900 thin <i>",
        "Measured on 780 images.",
        "87.1",
        "3.10",
    ]:
        assert words in shown, words
    # Once in the pair, whose other picture is missing, once as a suspect, once as a mistake.
    assert text.count('alt="sub/&lt;b&gt;.png"') == 3


def test_duplicates_across_splits_come_first(workdir):
    within = {"files": ["1.png", "2.png"], "splits": ["val", "val"], "labels": ["x", "x"]}
    apart = {**within, "files": ["3.png", "4.png"], "splits": ["val", "test"]}
    (workdir / "findings.json").write_text(json.dumps({"near_duplicates": [within, apart]}))
    text = sections.data_check(read(workdir))
    assert text.index("3.png") < text.index("1.png")


def test_long_lists_are_cut_with_a_count(workdir):
    suspect = {"split": "train", "label": "a", "suggested": "b", "probability": 0.9}
    some = [{**suspect, "file": f"{i}.png"} for i in range(30)]
    (workdir / "findings.json").write_text(json.dumps({"suspects": some}))
    text = sections.data_check(read(workdir))
    above = (
        "30 pictures, the most doubtful label first; the first 24 are shown, all are in findings"
    )
    assert above in text
    assert ">23.png<" in text and ">24.png<" not in text


DOUBTED = {"file": "a.png", "split": "train", "label": "a", "suggested": "b", "probability": 0.9}


@pytest.mark.parametrize(
    ("agreement", "n", "is_listed", "sentence"),
    [
        (0.95, 1000, True, "This model agrees with 95.0% of 1,000 labels."),
        (0.85, 1000, True, "agrees with 85.0% of 1,000 labels, and therefore many of these"),
        (
            0.2,
            1000,
            False,
            "agrees with only 20.0% of all labels, and always answering the largest class would",
        ),
        (0.1, 1000, False, "1 of 1,000 labels was doubted, but the doubts are not listed here"),
        (0.34, 3, False, "agrees with only 34.0% of all labels"),  # 1 of 3 may be chance.
    ],
)
def test_doubts_are_worth_as_much_as_their_judge(checked, agreement, n, is_listed, sentence):
    judge = {"n": n, "agreement": agreement, "largest": 0.1}
    record = {"near_duplicates": [], "suspects": [DOUBTED], "suspects_judge": judge}
    (checked / "findings.json").write_text(json.dumps(record))
    change(checked, "data.json", quarantined=[], warnings=[])
    run = read(checked)
    assert sentence in sections.data_check(run)
    assert (">a.png<" in sections.data_check(run)) == is_listed
    advice = on_data.what_to_do(run)
    assert any(line.do.startswith("Check 1 label") for line in advice) == is_listed
    assert any(sentence in line.why for line in advice)
    assert f"{int(is_listed)} finding" in on_data.headline(run)


@pytest.mark.parametrize("judge", [None, {}, {"n": 0, "agreement": 1, "largest": 1}, {"n": "x"}])
def test_without_a_valid_judge_doubts_are_listed_alone(checked, judge):
    record = {"suspects": [DOUBTED], "suspects_judge": judge}
    (checked / "findings.json").write_text(json.dumps(record))
    text = sections.data_check(read(checked))
    assert ">a.png<" in text and "This model agrees" not in text


@pytest.mark.parametrize("key", [*findings(), "everything", "nothing"])
def test_every_part_may_be_missing(workdir, key):
    kept = {k: v for k, v in findings().items() if key not in (k, "everything")}
    for content in (kept, kept if key == "everything" else {**findings(), key: None}):
        (workdir / "findings.json").write_text(json.dumps(content))
        Outline(sections.data_check(read(workdir)))


def test_the_probability_of_the_label_is_shown_if_it_is_known(workdir):
    suspect = {**findings()["suspects"][0], "probability": 0.742, "label_probability": 0.1}
    (workdir / "findings.json").write_text(json.dumps({"suspects": [suspect]}))
    assert ", 74.2% against 10.0%" in Outline(report(workdir)).words.replace(" ,", ",")


def test_a_run_without_findings_has_no_such_section(workdir):
    assert "Data check" not in report(workdir)


def test_a_check_alone_is_an_audit_report(checked):
    change(checked, "data.json", splits={"train": ["a.png"] * 500, "val": [], "test": ["b"] * 280})
    text = report(checked)
    outline = Outline(text)
    # The quarantined file is one of the findings.
    assert "<h1>780 images in 3 classes; 6 findings, 1 warning</h1>" in text
    assert "not finished" not in text and "Start the same command" not in text
    assert "Good enough?" not in outline.text and "Data check" in outline.text
    assert "0 bytes <i>" in outline.words and not (checked / "MODEL_CARD.md").exists()
    assert [line.do for line in on_data.what_to_do(read(checked))] == [
        "Read 1 warning first.",
        "Repair or remove 1 file.",
        "Keep near-duplicates in one split.",
        "Check the labels of 1 pair of nearly equal pictures: sub/<b>.png and lost.png.",
        "Check 1 label that may be wrong: sub/<b>.png.",
        "Add images of “$\\frac{x$ & \"q\" 'r'” (4).",
        f"Look at 1 image with unusual size: {SCRIPT}.png.",
        "Look at 1 image with unusual brightness or colour: b.png.",
        "Then train a model.",
    ]


def test_an_audit_ends_with_a_command_that_suits_the_number_of_examples(checked):
    (checked / "findings.json").write_text('{"near_duplicates": []}')
    config = configs.from_tree({"data": {"path": "/data/my photos"}})
    (checked / "config.yaml").write_text(configs.to_yaml(config))
    change(
        checked, "data.json", splits={"train": ["a"] * 65, "val": ["b"] * 13, "test": ["c"] * 13}
    )
    last = on_data.what_to_do(read(checked))[-1]
    assert last.do == "Then train with cross-validation."
    assert last.why.startswith(
        "With only 91 pictures, the command finetune measures the model on 13 of them, "
        "cross-validation on all. You need"
    )
    assert last.command == (
        "tl-keras cross_validate '--data=/data/my photos' '--workdir=runs/my photos_folds' "
        "--set data.test=0"
    )
    change(checked, "data.json", splits={"train": ["a"] * 300})
    last = on_data.what_to_do(read(checked))[-1]
    assert last.command == "tl-keras finetune '--data=/data/my photos'"
    assert "cross-validation" not in last.do + last.why


@pytest.mark.parametrize(
    ("note", "backbone"),
    [
        ("labels were not compared with predictions: model.weights: no network", "StaticEmbedding"),
        ("labels were not compared with predictions: too few", None),
        (None, None),
    ],
)
def test_training_after_an_audit_needs_no_download_that_has_failed(checked, note, backbone):
    (checked / "findings.json").write_text(json.dumps({"suspects_note": note} if note else {}))
    data = {"path": "/x/reviews.csv", "modality": "text", "source": "csv"}
    config = configs.from_tree({"data": data, "model": {"backbone": "MiniLM-L6"}})
    (checked / "config.yaml").write_text(configs.to_yaml(config))
    last = on_data.what_to_do(read(checked))[-1]
    assert ("--set model.backbone=StaticEmbedding" in last.command) == bool(backbone)
    assert ("trains StaticEmbedding, because it needs no download." in last.why) == bool(backbone)


def test_notes_are_shown_without_being_warnings(checked):
    (checked / "findings.json").write_text('{"near_duplicates": []}')
    note = "18 near-duplicates are kept in the same split or fold"
    change(checked, "data.json", quarantined=[], warnings=[], notes=[note])
    assert len(on_data.what_to_do(read(checked))) == 1
    text = Outline(report(checked)).words
    assert note in text and "warning" not in text.lower().partition("config")[0]


def test_an_audit_that_finds_nothing_says_so(checked):
    (checked / "findings.json").write_text('{"sizes": {"n": 9}, "near_duplicates": []}')
    change(checked, "data.json", quarantined=[], warnings=[])
    assert "3 classes; 0 findings" in report(checked)
    (only,) = on_data.what_to_do(read(checked))
    assert only.do == "Train with cross-validation."
    assert only.why.endswith("The data check found nothing wrong.")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"near_duplicates": [], "suspects_note": "labels were not"}, "Labels were not."),
        (
            {"suspects": []},
            "Near-duplicates were not searched for: there are too many images to compare in "
            "memory.",
        ),
    ],
)
def test_checks_that_were_not_made_are_named(checked, record, why):
    (checked / "findings.json").write_text(json.dumps(record))
    change(checked, "data.json", quarantined=[], warnings=[])
    unchecked, last = on_data.what_to_do(read(checked))
    assert unchecked.why == why
    assert last.why.endswith("The checks that were possible found nothing wrong.")
    assert ("Not searched for" in report(checked)) == ("suspects" in record)


def test_an_audit_does_not_advise_training_that_would_be_refused(checked):
    refused = "data: class 'x' has 1 readable images and none in train: add some"
    (checked / "findings.json").write_text('{"near_duplicates": []}')
    change(checked, "data.json", quarantined=[], warnings=["12 are odd", refused])
    first, last = on_data.what_to_do(read(checked))
    assert first.why == f"{refused}. 12 are odd."
    assert last.do == "Repair the data, then audit them again." and "refuses" in last.why
    change(checked, "data.json", warnings=["12 are odd"])
    assert on_data.what_to_do(read(checked))[-1].do.startswith("Then train")


def test_near_duplicates_with_different_labels_are_to_be_checked(checked):
    pair = {"files": ["1.png", "2.png"], "splits": ["val", "val"], "labels": ["x", "y"]}
    (checked / "findings.json").write_text(json.dumps({"near_duplicates": [pair]}))
    change(checked, "data.json", quarantined=[], warnings=[])
    check, train = (line.do for line in on_data.what_to_do(read(checked)))
    assert check == "Check the labels of 1 pair of nearly equal pictures: 1.png and 2.png."
    assert train.startswith("Then train")


def test_a_run_that_has_begun_is_not_an_audit(checked):
    (checked / "checkpoint").mkdir()
    assert "This run has not finished" in report(checked)
    shutil.rmtree(checked / "checkpoint")
    assert "This run has not finished" not in report(checked)
