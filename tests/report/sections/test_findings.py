"""Claims on the data check in the report, and on the page of a check without a run."""

import json
import shutil

import pytest
from handmade import SCRIPT, Outline, change, findings

from tl_keras.report.advice import on_data
from tl_keras.report.pages import page
from tl_keras.report.read import read
from tl_keras.report.sections import findings as sections
from tl_keras.run.marks import MARK


@pytest.fixture
def checked(workdir):
    """The folder of an audit: its data and findings alone."""
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
    said = Outline(text).words
    assert SCRIPT not in text and "<i>" not in text and "<cross" not in text
    for words in [
        "1 pair of nearly equal pictures.",
        "distance 2",
        "Without the 10 test examples that have a near-duplicate in another split, 91.0% of the "
        "143 left are right (95% interval 86.0 to 95.0).",
        "by <cross-validation>",
        f"labelled {SCRIPT} looks like 蒲公英 🌼 93.0%",
        "fewer than <20>",
        "577 (from 190 to 1,048)",
        "12 × 900 thin <i>",
        "Of 780 images.",
        "87.1",
        "3.10",
    ]:
        assert words in said, words
    # Once in the pair, whose other picture is lost, once as a suspect, once as a mistake.
    assert text.count('alt="sub/&lt;b&gt;.png"') == 3


def test_leaks_stand_before_duplicates_within_a_split(workdir):
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
    assert "30 pictures, the most doubtful first; the first 24, and 6 more in findings.json" in text
    assert ">23.png<" in text and ">24.png<" not in text


@pytest.mark.parametrize("key", [*findings(), "everything", "nothing"])
def test_every_part_may_be_missing(workdir, key):
    kept = {k: v for k, v in findings().items() if key not in (k, "everything")}
    for content in (kept, kept if key == "everything" else {**findings(), key: None}):
        (workdir / "findings.json").write_text(json.dumps(content))
        Outline(sections.data_check(read(workdir)))


def test_a_run_without_findings_has_no_such_section(workdir):
    assert "Data check" not in report(workdir)


def test_a_check_alone_is_an_audit_report(checked):
    change(checked, "data.json", splits={"train": ["a.png"] * 500, "val": [], "test": ["b"] * 280})
    text = report(checked)
    outline = Outline(text)
    assert (
        "<h1>780 images in 3 classes; 6 findings, 1 warning</h1>" in text
    )  # A file left out among them.
    assert "not finished" not in text and "Start the same command" not in text
    assert "Good enough?" not in outline.text and "Data check" in outline.text
    assert "0 bytes <i>" in outline.words and not (checked / "MODEL_CARD.md").exists()
    assert [line.do for line in on_data.what_to_do(read(checked))] == [
        "Read 1 warning first.",
        "Mend or remove 1 file.",
        "Keep near-duplicates in one split.",
        "Check the labels of 1 pair of nearly equal pictures: sub/<b>.png and lost.png.",
        "Check 1 label that may be wrong: sub/<b>.png.",
        "Add images of “$\\frac{x$ & \"q\" 'r'” (4).",
        f"Look at 1 image of unusual size: {SCRIPT}.png.",
        "Look at 1 image of unusual brightness or colour: b.png.",
        "Then train: tl-keras finetune --data=FOLDER.",
    ]


def test_an_audit_that_finds_nothing_says_so(checked):
    (checked / "findings.json").write_text('{"sizes": {"n": 9}, "near_duplicates": []}')
    change(checked, "data.json", quarantined=[], warnings=[])
    assert "3 classes; 0 findings" in report(checked)
    (only,) = on_data.what_to_do(read(checked))
    assert only.why == "Nothing was found in the data."


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"near_duplicates": [], "suspects_note": "labels were not"}, "Labels were not."),
        ({"suspects": []}, "Near-duplicates were not compared: too many images for the memory."),
    ],
)
def test_what_nobody_looked_for_is_not_called_sound(checked, found, said):
    (checked / "findings.json").write_text(json.dumps(found))
    change(checked, "data.json", quarantined=[], warnings=[])
    unseen, last = on_data.what_to_do(read(checked))
    assert unseen.why == said
    assert last.why == "Nothing was found in what was looked at."
    assert ("Not compared" in report(checked)) == ("suspects" in found)


def test_an_audit_does_not_advise_what_finetune_refuses(checked):
    refused = "data: class 'x' has 1 readable images and none in train: add some"
    (checked / "findings.json").write_text('{"near_duplicates": []}')
    change(checked, "data.json", quarantined=[], warnings=["12 are odd", refused])
    first, last = on_data.what_to_do(read(checked))
    assert first.why == f"{refused}. 12 are odd."
    assert last.do == "Mend the data, then audit them again." and "refuses" in last.why
    change(checked, "data.json", warnings=["12 are odd"])
    assert on_data.what_to_do(read(checked))[-1].do.startswith("Then train")


def test_near_duplicates_of_one_split_under_two_labels_ask_for_a_look(checked):
    pair = {"files": ["1.png", "2.png"], "splits": ["val", "val"], "labels": ["x", "y"]}
    (checked / "findings.json").write_text(json.dumps({"near_duplicates": [pair]}))
    change(checked, "data.json", quarantined=[], warnings=[])
    said = [line.do for line in on_data.what_to_do(read(checked))]
    assert said[0] == "Check the labels of 1 pair of nearly equal pictures: 1.png and 2.png."
    assert said[1].startswith("Then train") and len(said) == 2


def test_a_run_that_has_begun_is_no_audit(checked):
    (checked / "checkpoint").mkdir()
    assert "This run has not finished" in report(checked)
    shutil.rmtree(checked / "checkpoint")
    assert "This run has not finished" not in report(checked)
