"""Claims on the judgement and the advice: each rule speaks when its figures ask, else not."""

import csv
import json

import pytest
from handmade import (
    candidate,
    change,
    counted,
    epochs,
    exported,
    findings,
    result,
    rewrite,
    scores,
    strengths,
    write_records,
)

from tl_keras.report.advice import rules, verdict
from tl_keras.report.facts import figures
from tl_keras.report.read import read
from tl_keras.run.result.exports import Shipped
from tl_keras.run.result.training import ModelRecord

GOOD = [[480, 10], [10, 500]]
NAMES = ["cat", "dog"]


@pytest.fixture
def good(workdir):
    """A run whose numbers ask for nothing but shipping."""
    test = counted(GOOD, NAMES)
    val = counted(GOOD, NAMES, accuracy=0.975, interval=[0.96, 0.99])
    files = {
        name: exported(f"model_{name}.tflite", own.bytes, accuracy=0.975)
        for name, own in result().export.items()
    }
    rewrite(workdir, test=test, val=val, export=files)
    change(workdir, "data.json", quarantined=[])
    write_answers(workdir, [("cat", "cat", 0.98)] * 98 + [("cat", "dog", 0.7)] * 2)
    write_records(workdir / "metrics.jsonl", strengths())
    return workdir


def write_answers(workdir, answers: list[tuple[str, str, float]]) -> None:
    """predictions.csv of (label, prediction, probability), all of test."""
    with (workdir / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        rows = [[f"{i}.png", "test", *answer] for i, answer in enumerate(answers)]
        csv.writer(file).writerows([header, *rows])


def lines(workdir) -> list[str]:
    return [f"{line.do} {line.why}" for line in rules.what_to_do(read(workdir))]


def said(workdir, start: str) -> str:
    """The one line of advice that begins so; empty if there is none."""
    found = [line for line in lines(workdir) if line.startswith(start)]
    assert len(found) < 2
    return "".join(found)


def test_headline(workdir):
    assert verdict.headline(read(workdir)) == (
        "94.1% of 153 test examples right (95% interval 89.9 to 97.4), float exports agree; "
        "to ship: int8, 0.7 MB, 3.1 ms an example"
    )


def test_a_good_run_is_told_to_ship(good):
    (look, ship) = lines(good)
    assert look.startswith("Look at the mistakes of “cat”") and "may be chance" in look
    assert ship == (
        "To ship it, take export/model.tflite. It is the int8 file: of the small ones that are "
        "sound on validation the fastest: 0.7 MB, 3.1 ms an example (median of 50 runs), 97.5% "
        "of 1,000 examples right (95% interval 96.3 to 98.3)."
    )


def test_verdict_of_a_good_run(good):
    found = verdict.verdict(read(good))
    assert found.answer == "Yes, where one wrong answer in 50 does no harm."
    assert found.why == [
        "In the long run it is right on 94 to 100 of 100 pictures like these (95% interval, "
        "measured on 1,000 test examples).",
        "Always answering “dog”, the largest class, would get 51 of 100 right, on the same "
        "examples.",
        "The weakest class is “cat”: 480 of 490 found, 98.0% (95% interval 96.3 to 98.9).",
        "Where it is at least 90% sure, on 98 of 100 examples, 100.0% are right "
        "(95% interval 96.2 to 100.0).",
    ]


@pytest.mark.parametrize(
    ("rows", "interval", "answer"),
    [
        ([[70, 5], [22, 3]], [0.64, 0.81], "No: it is not shown to be better than always"),
        ([[70, 5], [15, 10]], [0.70, 0.88], "It depends: it is not shown to be right more often"),
        ([[900, 50], [10, 40]], [0.92, 0.95], "It depends: it is not shown to be right more"),
        ([[8, 0], [0, 2]], [0.72, 1.0], "Nobody can say yet: too few examples were measured."),
        ([[9, 1], [1, 9]], [0.7, 1.0], "Nobody can say yet: too few examples were measured."),
        ([[400, 0], [60, 40]], [0.85, 0.91], "Not for all classes: it finds too few of “dog”."),
        ([[400, 100], [100, 400]], [0.77, 0.83], "Yes, where one wrong answer in 5 does"),
        ([[380, 120], [120, 380]], [0.73, 0.79], "Only where one wrong answer in 4 does"),
        ([[50, 0], [0, 50]], [0.96, 1.0], "Yes, as far as 100 examples can tell: none was wrong."),
    ],
)
def test_verdicts(good, rows, interval, answer):
    rewrite(good, test=counted(rows, NAMES, interval=interval))
    assert verdict.verdict(read(good)).answer.startswith(answer)


def test_most_answers_wrong_is_not_a_fault_of_some_classes(good):
    names = [f"c{i}" for i in range(10)]
    rows = [[31 if i == j else 0 for j in range(10)] for i in range(10)]
    for i, row in enumerate(rows):
        row[(i + 1) % 10] = 69
    rows[3][3], rows[3][4] = 5, 95
    rewrite(good, test=counted(rows, names))
    assert (
        verdict.verdict(read(good)).answer == "Only where being wrong 72 times in 100 does no harm."
    )


def test_none_of_two_is_chance_in_a_hundred_classes(good):
    """With 90% right, some class of 100 with two examples each is missed in 63% of all runs."""
    rows = [[2 if i == j else 0 for j in range(100)] for i in range(100)]
    for i in range(18):
        rows[5 * i][5 * i], rows[5 * i][5 * i + 1] = 1, 1
    rows[3][3], rows[3][4] = 0, 2
    rewrite(good, test=counted(rows, [f"c{i}" for i in range(100)]))
    assert figures.weak(read(good)) == []
    assert verdict.verdict(read(good)).answer.startswith("Yes, where one wrong answer in 10")


def test_a_trade_is_said_to_be_one(good):
    rewrite(good, test=counted([[900, 50], [10, 40]], NAMES, interval=[0.92, 0.95]))
    first = lines(good)[0]
    assert first.startswith("Ship it only if finding other classes is worth mistakes on “cat”.")
    assert "right on 95.0% of these 1,000 test examples" in first
    assert said(good, "To ship it") and not said(good, "Do not ship this")


def test_too_few_examples_are_no_reason_not_to_ship(good):
    rewrite(good, test=counted([[8, 0], [0, 2]], NAMES, interval=[0.72, 1.0]))
    assert not said(good, "Do not ship") and said(good, "Measure on more")


def test_no_verdict_without_a_measurement(workdir):
    (workdir / "result.json").unlink()
    assert verdict.verdict(read(workdir)) is None


def test_weakness_of_one_of_many_classes_may_be_chance(good):
    """90 of 100 are found of nine classes, 82 of one: that is chance. 50 of 100 is not."""
    names = [f"c{i}" for i in range(10)]
    rows = [[90 if i == j else 0 for j in range(10)] for i in range(10)]
    for row in rows:
        row[(row.index(90) + 1) % 10] = 10
    rows[3][3], rows[3][4] = 82, 18
    rewrite(good, test=counted(rows, names))
    assert not said(good, "Add examples")
    assert "that this class is weaker may be chance" in said(good, "Look at the mistakes of “c3”")
    rows[3][3], rows[3][4] = 50, 50
    rewrite(good, test=counted(rows, names))
    line = said(good, "Add examples of “c3”, and look")
    assert (
        "“c3”: 50.0% of 100 found (95% interval 40.4 to 59.6), most often taken for “c4”." in line
    )


def test_classes_without_examples_are_named(workdir):
    assert "Add examples of “蒲公英 🌼”. No test examples" in said(workdir, "Add examples of “蒲")


@pytest.mark.parametrize(("low", "warns"), [(0.7, True), (0.76, False)])
def test_a_model_no_better_than_the_largest_class_is_not_shipped(good, low, warns):
    test = counted([[70, 5], [22, 3]], NAMES, interval=[low, 0.88])
    rewrite(good, test=test)
    line = said(good, "Do not ship this model.")
    assert ("always answering “cat”, which is right on 75.0% of these 100" in line) == warns
    assert bool(said(good, "To ship it")) != warns
    assert not warns or lines(good)[0] == line


def test_few_examples_ask_for_more(good):
    rewrite(good, test=counted([[45, 5], [5, 45]], NAMES))
    line = said(good, "Measure on more examples: about 390.")
    assert "100 test examples are few" in line
    rewrite(good, test=counted([[90, 10], [10, 90]], NAMES))
    assert not said(good, "Measure on more")


def test_without_a_test_split_the_validation_speaks(workdir):
    rewrite(workdir, test=None, val=scores(77, classes={}, confusion=[]))
    run = read(workdir)
    assert verdict.headline(run).startswith("94.1% of 77 validation examples right")
    assert "validation chose this model" in said(workdir, "Set a test split aside.")


def test_validation_above_the_test_interval(workdir):
    def line(low: float) -> str:
        rewrite(workdir, val=scores(77, accuracy=0.98, interval=[low, 1.0]))
        return said(workdir, "Go by the test score")

    apart = line(0.975)
    assert "Choices were made on validation" in apart
    assert "chance" not in apart and "chance" in line(0.95)
    rewrite(workdir, val=scores(77))
    assert not said(workdir, "Go by the test score")


def test_sure_and_wrong_files_are_named(good):
    assert not said(good, "Look at these files")  # Wrong at 70%.
    write_answers(good, [("cat", "dog", 0.9 + i / 100) for i in range(5)])
    line = said(good, "Look at these files first: 4.png, 3.png, 2.png and 2 more.")
    assert "at least 90% sure and wrong" in line


def test_suspected_labels_and_leaks_are_named(good):
    (good / "findings.json").write_text(json.dumps(findings()))
    line = said(good, "Keep near-duplicates in one split.")
    assert "1 pair of nearly equal pictures stands in two splits" in line
    assert "Without them 91.0% of 143 are right (95% interval 86.0 to 95.0)." in line
    assert said(good, "Check 1 label that may be wrong: sub/<b>.png.")
    change(good, "findings.json", suspects=[])
    near = {"files": ["a", "b"], "splits": ["train", "train"], "labels": ["x", "x"]}
    change(good, "findings.json", near_duplicates=[near])
    assert not said(good, "Keep near") and not said(good, "Check")


@pytest.mark.parametrize(
    ("splits", "scored", "said_of_it"),
    [
        (("train", "test"), "test", "the model has seen what it is measured on"),
        (("val", "test"), "test", "the model was chosen on what it is measured on"),
        (("train", "val"), "test", "favours one that has learned pictures by heart"),
        (("train", "val"), "val", "the model has seen what it is measured on"),
    ],
)
def test_a_leak_is_what_its_splits_make_it(good, splits, scored, said_of_it):
    pair = {"files": ["a", "b"], "splits": splits, "labels": ["x", "x"]}
    (good / "findings.json").write_text(json.dumps({"near_duplicates": [pair]}))
    if scored == "val":
        rewrite(good, test=None)
    line = said(good, "Keep near")
    assert f"{said_of_it}. A column group in a CSV" in line


def test_a_file_that_lost_more_than_a_small_validation_shows_is_not_just_shipped(good):
    rewrite(good, export={"int8": exported("i8.tflite", 690_000, accuracy=0.86, n=150)})
    line = said(good, "To ship it, take export/model.tflite.")
    assert "86.0% of 150 examples right (95% interval 79.5 to 90.7)" in line
    assert "But the model itself is right on 98.0%" in line
    rewrite(good, export={"int8": exported("i8.tflite", 690_000, accuracy=0.97, n=150)})
    assert "But the model" not in said(good, "To ship it")


def test_nothing_is_called_fast_that_was_not_timed(good):
    rewrite(good, export={"int8": exported("x.tflite", latency_ms=None)})
    line = said(good, "To ship it")
    assert " ms an example" not in line


def model(won: int, lost: int, freeze: float = 0.5) -> ModelRecord:
    """A model of which so many examples were won and lost by fine-tuning."""
    tuned = candidate(won=won, lost=lost)
    candidates = {"head": candidate(), "finetuned": tuned}
    return ModelRecord(cut="add" if freeze else None, freeze=freeze, candidates=candidates)


@pytest.mark.parametrize(
    ("won", "lost", "start"),
    [
        (60, 5, "Unfreeze deeper: --set fit.freeze=0.25. It pays here"),
        (5, 60, "Fine-tune less: raise fit.freeze"),
        (20, 15, "Do not expect more of unfreezing deeper. The difference is noise"),
    ],
)
def test_depth_goes_by_a_paired_difference(good, won, lost, start):
    rewrite(good, model=model(won, lost))
    line = said(good, start)
    assert "changed validation accuracy by" in line and "1,000 examples)" in line
    assert f"by {'−' if won < lost else ''}{abs(won - lost) / 10:.1f} points" in line


def test_nothing_is_left_to_unfreeze_where_nothing_is_frozen(good):
    for won, lost in ((60, 5), (20, 15)):
        rewrite(good, model=model(won, lost, freeze=0.0))
        assert not said(good, "Unfreeze deeper") and not said(good, "Do not expect")


def test_candidates_of_older_runs_say_nothing_of_depth(good):
    tuned = {"log_loss": 0.2, "accuracy": 0.9, "temperature": 1.0}
    change(good, "result.json", model={"candidates": {"head": tuned, "finetuned": tuned}})
    assert not [line for line in lines(good) if "freez" in line]
    assert "model.candidates.head.won: " in said(good, "Look at result.json: 8 fields")


def test_loss_that_still_falls_asks_for_more_epochs(good):
    write_records(good / "metrics.jsonl", epochs())
    assert "still falling at the last of 3 epochs" in said(good, "Train longer")
    rising = [{**epoch, "val_loss": 1 + i} for i, epoch in enumerate(epochs())]
    write_records(good / "metrics.jsonl", rising)
    assert not said(good, "Train longer")


def test_who_has_nothing_to_gain_is_not_sent_on(good):
    """Validation all right, loss falling from 1e-4 to 8e-5, test 99.7%: that is the end."""
    write_records(good / "metrics.jsonl", epochs())
    val = scores(1000, accuracy=1.0, interval=[0.997, 1.0])
    test = scores(1000, accuracy=0.997, interval=[0.991, 0.999])
    rewrite(good, model=model(60, 5), val=val, test=test)
    for start in ("Train longer", "Unfreeze deeper", "Go by the test score"):
        assert not said(good, start)


def test_strengths_of_the_head_are_no_epochs(good):
    falling = [{**record, "val_loss": 1 / (i + 1)} for i, record in enumerate(strengths())]
    write_records(good / "metrics.jsonl", falling)
    assert not said(good, "Train longer")


@pytest.mark.parametrize(("probability", "word"), [(0.99, "high"), (0.6, "low")])
def test_probabilities_that_lie_are_said_to(good, probability, word):
    test = counted([[400, 100], [100, 400]], NAMES)
    rewrite(good, test=test)
    write_answers(good, [("cat", "cat", probability)] * 50)
    line = said(good, f"Do not take its probabilities at their word: they are too {word}.")
    assert f"it is {probability:.1%} sure on average and right on 80.0%" in line
    write_answers(good, [("cat", "cat", 0.79)] * 50)
    assert not said(good, "Do not take")


def test_all_sure_mistakes_are_counted(good):
    write_answers(good, [("cat", "dog", 0.95)] * 30)
    assert said(good, "Look at these files first: 0.png, 1.png, 2.png and 27 more.")


def test_lines_that_cannot_be_read_are_counted(good):
    assert not said(good, "Do not count on")
    with (good / "predictions.csv").open("a") as file:
        file.write("half,a\nli\n")
    assert "2 lines of predictions.csv cannot be read." in said(good, "Do not count on")


def test_files_left_out_are_counted(workdir):
    assert "It was left out as unusable" in said(workdir, "Mend or remove 1 file.")


def test_export_outside_its_tolerance_is_named(good):
    sentence = "loses 0.052 of accuracy, over <0.01>"
    bad = exported("model_int8.tflite", 690_000, sentence)
    fine = exported("model_float32.tflite", 8_900_000)
    shipped = Shipped(format="float32", path="export/model.tflite", status="ok")
    rewrite(good, export={"float32": fine, "int8": bad}, shipped=shipped)
    headline = verdict.headline(read(good))
    assert "int8 outside tolerance; to ship: float32" in headline
    line = said(good, "Do not ship the int8 export.")
    assert f"misses its tolerance ({sentence})" in line and "on 98.4% of 1,000 examples" in line


def test_no_file_within_the_limits_is_said(good):
    status = "no file holds export.max_bytes 1,000; the nearest is int8 with 690,000 bytes"
    rewrite(good, shipped=Shipped(format=None, status=status))
    line = said(good, "There is no model.tflite to ship.")
    assert "No file holds export.max_bytes 1,000" in line
    assert not said(good, "To ship it")


def test_exports_that_nobody_checked_are_not_said_to_agree(workdir):
    change(workdir, "result.json", export={"float32": {"path": "model.tflite", "bytes": 50_000}})
    line = verdict.headline(read(workdir))
    assert "agree" not in line
    assert "export.float32.status: Field required" in said(workdir, "Look at result.json: 1 field")


def test_pretraining_leads_to_later_runs(good):
    rewrite(good, export=None, pipeline="pretrain", test=counted(GOOD, NAMES))
    assert verdict.headline(read(good)).endswith("right (95% interval 94.0 to 100.0)")
    assert "set model.weights to this run's folder" in lines(good)[-1]
    rewrite(good, test=counted([[5, 485], [5, 505]], NAMES))
    assert not said(good, "Start later runs")  # What is no better than chance helps nobody.


def test_an_unfinished_run_is_told_to_go_on(workdir):
    (workdir / "result.json").unlink()
    assert lines(workdir)[0] == "Start the same command again. It goes on where it was stopped."
