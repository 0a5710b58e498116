"""Tests of the verdict and the advice: each rule applies to the runs that it is meant for."""

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

from tl_keras.report.advice import on_approaches, rules, verdict
from tl_keras.report.facts import figures
from tl_keras.report.pages import card
from tl_keras.report.read import read
from tl_keras.report.sections import rounds
from tl_keras.run.result.comparison import Learning
from tl_keras.run.result.exports import Shipped
from tl_keras.run.result.teaching import Teacher
from tl_keras.run.result.training import Chosen, Counts, ModelRecord

GOOD = [[480, 10], [10, 500]]
NAMES = ["cat", "dog"]


@pytest.fixture
def good(workdir):
    """Returns a run whose only advice is to ship."""
    test = counted(GOOD, NAMES)
    val = counted(GOOD, NAMES, accuracy=0.975, interval=[0.96, 0.99])
    files = {
        name: exported(f"model_{name}.tflite", export.bytes, accuracy=0.975)
        for name, export in result().export.items()
    }
    rewrite(workdir, test=test, val=val, export=files)
    change(workdir, "data.json", quarantined=[])
    write_answers(workdir, [("cat", "cat", 0.98)] * 98 + [("cat", "dog", 0.7)] * 2)
    write_records(workdir / "metrics.jsonl", strengths())
    return workdir


def write_answers(workdir, answers: list[tuple[str, str, float]]) -> None:
    """Writes predictions.csv for the test split from (label, prediction, probability)."""
    with (workdir / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        rows = [[f"{i}.png", "test", *answer] for i, answer in enumerate(answers)]
        csv.writer(file).writerows([header, *rows])


def lines(workdir) -> list[str]:
    return [f"{line.do} {line.why}" for line in rules.what_to_do(read(workdir))]


def said(workdir, start: str) -> str:
    """Returns the line of advice with this start; "" if there is none."""
    matching = [line for line in lines(workdir) if line.startswith(start)]
    assert len(matching) < 2
    return "".join(matching)


def test_headline(workdir):
    assert verdict.headline(read(workdir)) == (
        "94.1% of 153 test examples right (95% interval 89.9 to 97.4); float exports agree with "
        "the model; file to ship: int8, 0.7 MB, 3.1 ms per example"
    )


def test_a_good_run_is_told_to_ship(good):
    (look, ship) = lines(good)
    assert look.startswith("Look at the mistakes on “cat”") and "may be chance" in look
    assert ship == (
        "To ship this model, use export/model.tflite. This is the int8 file. Of the files that "
        "passed their checks and are nearly as small as the smallest, it is the fastest: 0.7 MB, "
        "3.1 ms per example (median of 50 runs), right on 97.5% of 1,000 examples (95% interval "
        "96.3 to 98.3)."
    )


def test_verdict_on_a_good_run(good):
    judged = verdict.verdict(read(good))
    assert judged.answer == "Yes, if one wrong answer in 50 does no harm."
    assert judged.why == [
        "On average, expect right answers on 94 to 100 of 100 pictures like the 1,000 test "
        "examples on which this was measured (95% interval).",
        "On the same examples, always answering “dog”, the largest class, would be right 51 times "
        "in 100.",
        "The weakest class is “cat”: 480 of its 490 examples recognised, 98.0% (95% interval 96.3 "
        "to 98.9).",
        "On 98 of 100 examples, the model gives its answer a probability of at least 90%; 100.0% "
        "of these answers are right (95% interval 96.2 to 100.0).",
        "A 95% interval is the range in which the true value most likely lies; more examples make "
        "it narrower.",
    ]


UNKNOWN = "Unknown: the model was measured on too few examples to tell."


@pytest.mark.parametrize(
    ("rows", "interval", "answer"),
    [
        ([[70, 5], [22, 3]], [0.64, 0.81], "No: the model is not shown to be better than always"),
        ([[70, 5], [15, 10]], [0.70, 0.88], "It depends: the model is not shown to be right more"),
        ([[900, 50], [10, 40]], [0.92, 0.95], "It depends: the model is not shown to be right"),
        ([[8, 0], [0, 2]], [0.72, 1.0], UNKNOWN),
        ([[9, 1], [1, 9]], [0.7, 1.0], UNKNOWN),
        (
            [[27, 23], [23, 27]],
            [0.40, 0.68],
            "Not yet: at best, 68 of 100 answers are right (by the 95% interval). The model may be "
            "no better than always answering “cat”, which is right on 50 of 100.",
        ),
        (
            [[33, 17], [17, 33]],
            [0.52, 0.78],
            "Not yet: at best, 78 of 100 answers are right (by the 95% interval). But the model is "
            "better than always answering “cat”, which is right on 50 of 100.",
        ),
        ([[33, 17], [17, 33]], [0.52, 0.82], UNKNOWN),
        ([[400, 0], [60, 40]], [0.85, 0.91], "Not for all classes: the model recognises too few"),
        ([[400, 100], [100, 400]], [0.77, 0.83], "Yes, if one wrong answer in 5 does no harm."),
        ([[380, 120], [120, 380]], [0.73, 0.79], "Only if one wrong answer in 4 does no harm."),
        ([[50, 0], [0, 50]], [0.96, 1.0], "Yes, as far as 100 examples can tell: every answer"),
    ],
)
def test_verdicts(good, rows, interval, answer):
    rewrite(good, test=counted(rows, NAMES, interval=interval))
    assert verdict.verdict(read(good)).answer.startswith(answer)


@pytest.mark.parametrize(
    ("rows", "interval", "ships"),
    [
        ([[33, 17], [17, 33]], [0.52, 0.78], False),  # not yet
        ([[33, 17], [17, 33]], [0.52, 0.82], False),  # unknown
        ([[70, 5], [22, 3]], [0.64, 0.81], False),  # no
        ([[400, 100], [100, 400]], [0.77, 0.83], True),  # yes
        ([[380, 120], [120, 380]], [0.73, 0.79], True),  # only if
    ],
)
def test_the_file_to_ship_is_named_unless_the_verdict_speaks_against_it(
    good, rows, interval, ships
):
    rewrite(good, test=counted(rows, NAMES, interval=interval))
    assert bool(said(good, "To ship this model")) == ships


def test_no_class_is_singled_out_if_most_answers_are_wrong(good):
    names = [f"c{i}" for i in range(10)]
    rows = [[31 if i == j else 0 for j in range(10)] for i in range(10)]
    for i, row in enumerate(rows):
        row[(i + 1) % 10] = 69
    rows[3][3], rows[3][4] = 5, 95
    rewrite(good, test=counted(rows, names))
    answer = verdict.verdict(read(good)).answer
    assert answer == "Only if being wrong 72 times in 100 does no harm."


def test_a_class_without_a_right_answer_may_be_chance_among_100_classes(good):
    """With 90% right, both examples of some class of 100 are wrong in 63% of all runs."""
    rows = [[2 if i == j else 0 for j in range(100)] for i in range(100)]
    for i in range(18):
        rows[5 * i][5 * i], rows[5 * i][5 * i + 1] = 1, 1
    rows[3][3], rows[3][4] = 0, 2
    rewrite(good, test=counted(rows, [f"c{i}" for i in range(100)]))
    assert figures.weak(read(good)) == []
    assert verdict.verdict(read(good)).answer.startswith("Yes, if one wrong answer in 10")


def test_a_trade_between_classes_is_named(good):
    rewrite(good, test=counted([[900, 50], [10, 40]], NAMES, interval=[0.92, 0.95]))
    first = lines(good)[0]
    assert first.startswith("Ship this model only if mistakes on “cat” are a fair price for")
    assert "right on 95.0% of the 1,000 test examples" in first
    assert said(good, "To ship this model") and not said(good, "Do not ship this")


def test_too_few_examples_are_not_a_reason_against_shipping(good):
    rewrite(good, test=counted([[8, 0], [0, 2]], NAMES, interval=[0.72, 1.0]))
    assert not said(good, "Do not ship") and said(good, "Measure on more")


def test_no_verdict_without_a_measurement(workdir):
    (workdir / "result.json").unlink()
    assert verdict.verdict(read(workdir)) is None


def test_weakness_of_one_of_many_classes_may_be_chance(good):
    """Recall is 90% for nine classes. 82 of 100 for the tenth may be chance, 50 of 100 is not."""
    names = [f"c{i}" for i in range(10)]
    rows = [[90 if i == j else 0 for j in range(10)] for i in range(10)]
    for row in rows:
        row[(row.index(90) + 1) % 10] = 10
    rows[3][3], rows[3][4] = 82, 18
    rewrite(good, test=counted(rows, names))
    assert not said(good, "Add examples")
    assert "This difference may be chance" in said(good, "Look at the mistakes on “c3”")
    rows[3][3], rows[3][4] = 50, 50
    rewrite(good, test=counted(rows, names))
    line = said(good, "Add examples of “c3”, and look")
    recall = "“c3”: 50.0% of 100 examples recognised (95% interval 40.4 to 59.6), "
    assert f"{recall}most often mistaken for “c4”." in line


def test_classes_without_examples_are_named(workdir):
    line = said(workdir, "Add examples of “蒲公英 🌼”.")
    assert "There are no test examples of this class, so nothing is known about how well this" in (
        line
    )


@pytest.mark.parametrize(("low", "warns"), [(0.7, True), (0.76, False)])
def test_a_model_no_better_than_the_largest_class_is_not_shipped(good, low, warns):
    test = counted([[70, 5], [22, 3]], NAMES, interval=[low, 0.88])
    rewrite(good, test=test)
    line = said(good, "Do not ship this model.")
    assert ("always answering “cat”, which is right on 75.0% of the 100" in line) == warns
    assert bool(said(good, "To ship this model")) != warns
    assert not warns or lines(good)[0] == line


def test_few_examples_ask_for_more(good):
    rewrite(good, test=counted([[45, 5], [5, 45]], NAMES))
    line = said(good, "Measure on more examples: about 390 in all.")
    assert "only 100 test examples" in line and "390 examples would narrow it" in line
    rewrite(good, test=counted([[90, 10], [10, 90]], NAMES))
    assert not said(good, "Measure on more")


def test_without_a_test_split_validation_scores_are_shown(workdir):
    rewrite(workdir, test=None, val=scores(77, classes={}, confusion=[]))
    run = read(workdir)
    assert verdict.headline(run).startswith("94.1% of 77 validation examples right")
    line = said(workdir, "Set a test split aside.")
    assert "There is no test split. The model was chosen by its validation scores" in line


def test_validation_above_the_test_interval(workdir):
    def line(low: float) -> str:
        rewrite(workdir, val=scores(77, accuracy=0.98, interval=[low, 1.0]))
        return said(workdir, "Trust the test score")

    apart = line(0.975)
    assert "the model was chosen by its validation score" in apart
    assert "chance" not in apart and "chance" in line(0.95)
    rewrite(workdir, val=scores(77))
    assert not said(workdir, "Trust the test score")


def test_confident_mistakes_are_named(good):
    assert not said(good, "Look at the most confident")  # The mistakes are only 70% sure.
    write_answers(good, [("cat", "dog", 0.9 + i / 100) for i in range(5)])
    line = said(good, "Look at the most confident mistakes: 4.png, 3.png, 2.png and 2 more.")
    assert "each of these wrong answers a probability of at least 90%" in line


def test_mistakes_whose_labels_are_doubted_are_named_once(good):
    write_answers(good, [("cat", "dog", 0.9 + i / 100) for i in range(5)])
    suspect = {"split": "test", "label": "cat", "suggested": "dog", "probability": 0.9}
    doubted = [{"file": f"{i}.png", **suspect} for i in range(5)]
    (good / "findings.json").write_text(json.dumps({"suspects": doubted[:4]}))
    assert said(good, "Look at the most confident mistakes: 4.png.")
    (good / "findings.json").write_text(json.dumps({"suspects": doubted}))
    assert said(good, "Check 5 labels") and not said(good, "Look at the most confident")


def test_doubtful_labels_and_leaks_are_named(good):
    (good / "findings.json").write_text(json.dumps(findings()))
    line = said(good, "Keep near-duplicates in one split.")
    assert "1 pair of nearly equal pictures is spread over two splits, so the model has" in line
    assert "left out, the model is right on 91.0% of 143 examples (95% interval 86.0" in line
    assert said(good, "Check 1 label that may be wrong: sub/<b>.png.")
    judge = {"n": 1000, "agreement": 0.97, "largest": 0.5}
    change(good, "findings.json", suspects_judge=judge)
    assert "This model agrees with 97.0% of 1,000 labels." in said(good, "Check 1 label that may")
    change(good, "findings.json", suspects_judge={**judge, "agreement": 0.52})
    assert not said(good, "Check 1 label that may be wrong")
    change(good, "findings.json", suspects=[])
    near = {"files": ["a", "b"], "splits": ["train", "train"], "labels": ["x", "x"]}
    change(good, "findings.json", near_duplicates=[near])
    assert not said(good, "Keep near") and not said(good, "Check")


@pytest.mark.parametrize(
    ("splits", "scored", "harm"),
    [
        (("train", "test"), "test", "the model has been trained on examples that it is measured"),
        (("val", "test"), "test", "chosen by its answers to examples that it is measured on."),
        (("train", "val"), "test", "between models favours a model that has memorised pictures."),
        (("train", "val"), "val", "the model has been trained on examples that it is measured on"),
    ],
)
def test_the_harm_of_a_leak_depends_on_its_splits(good, splits, scored, harm):
    pair = {"files": ["a", "b"], "splits": splits, "labels": ["x", "x"]}
    (good / "findings.json").write_text(json.dumps({"near_duplicates": [pair]}))
    if scored == "val":
        rewrite(good, test=None)
    line = said(good, "Keep near")
    assert harm in line and "list the data in a CSV file" in line


def test_a_file_much_worse_than_the_model_is_shipped_with_a_warning(good):
    rewrite(good, export={"int8": exported("i8.tflite", 690_000, accuracy=0.86, n=150)})
    line = said(good, "To ship this model, use export/model.tflite.")
    assert "right on 86.0% of 150 examples (95% interval 79.5 to 90.7)" in line
    assert "But before export, the model is right on 98.0%" in line
    rewrite(good, export={"int8": exported("i8.tflite", 690_000, accuracy=0.97, n=150)})
    assert "But before export" not in said(good, "To ship this model")


def test_latency_is_left_out_if_it_was_not_measured(good):
    rewrite(good, export={"int8": exported("x.tflite", latency_ms=None)})
    assert " ms per example" not in said(good, "To ship this model")


@pytest.mark.parametrize(
    ("right", "n", "why"),
    [
        (0.52, 1000, "is not shown to be better than always answering “dog”, which is right on 51"),
        (0.3, 1000, "is not better than always answering “dog”, which is right on 51"),
        (0.3, 1000, "so the student models learned from labels at chance level."),
        (0.9, 1000, ""),
        (0.6, 10, "so the student models may have learned from labels at chance level."),
    ],
)
def test_a_teacher_at_chance_level_is_named(good, right, n, why):
    assert not said(good, "Label more examples before")
    interval = [right - 0.03, right + 0.03]
    teacher = Teacher(split="test", accuracy=right, interval=interval, n=n, won=1, lost=1)
    rewrite(good, teacher=teacher, pipeline="parallel")
    line = said(good, "Label more examples before you train student models on the labels of a")
    assert why in line and bool(line) == bool(why)
    doubt = line.partition("teacher model. ")[2]
    if why:
        assert doubt in card.render(read(good)).replace("\\", "")
    else:
        assert "chance level" not in card.render(read(good))


@pytest.mark.parametrize(
    ("right", "said_of_folds"),
    [
        (180, ""),
        (128, "right on 50.2% of 255 held-out examples"),
        (100, "is not better than always"),
    ],
)
def test_a_teacher_is_judged_by_its_folds_if_these_have_more_examples(good, right, said_of_folds):
    teacher = Teacher(split="test", accuracy=0.6, interval=[0.47, 0.75], n=45, won=3, lost=1)
    rewrite(good, teacher=teacher, pipeline="parallel")
    for fold, files in enumerate((range(100), range(100, 255), range(255))):  # 2: a repetition
        path = good / "teacher" / f"fold_{fold}" / "predictions.csv"
        path.parent.mkdir(parents=True)
        rows = ["file,split,label,prediction,probability"]
        for i in files:
            label = ("cat", "dog")[i % 2]
            wrong = {"cat": "dog", "dog": "cat"}[label]
            rows.append(f"{i}.png,held_out,{label},{label if i < right else wrong},0.6")
        path.write_text("\n".join(rows if fold < 2 else rows[:1] + ["0.png,held_out,cat,dog,0.6"]))
    line = said(good, "Label more examples before you train student models on the labels of a")
    assert said_of_folds in line and bool(line) == bool(said_of_folds)
    sentence = rounds._how(read(good))
    assert f"folds are right on {right / 2.55:.1f}% of 255 held-out examples" in sentence


def test_a_teacher_that_is_mostly_wrong_is_named(good):
    names = [f"c{i}" for i in range(10)]
    rows = [[90 if i == j else 1 for j in range(10)] for i in range(10)]
    teacher = Teacher(split="test", accuracy=0.3, interval=[0.2, 0.4], n=990, won=9, lost=9)
    rewrite(good, test=counted(rows, names), teacher=teacher, pipeline="parallel")
    line = said(good, "Label more examples before")
    assert "right on 30.0% of 990 test examples" in line and "mostly wrong labels" in line


def curve(*accuracies: float) -> list[Learning]:
    """Returns a learning curve from 10 examples on, each point with twice as many."""
    return [
        Learning(share=2.0**i / 8, n=10 * 2**i, accuracy=accuracy)
        for i, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("accuracies", "val", "do"),
    [
        ((0.9, 0.9, 0.9, 0.9), 6, "Set more validation examples aside before you decide whether"),
        ((0.9, 0.9, 0.9, 0.9), 99, "Set more validation examples aside before you decide whether"),
        (
            (0.9, 0.9, 0.9, 0.9),
            100,
            "Do not label more examples: they would hardly raise the accuracy.",
        ),
        (
            (0.5, 0.6, 0.7, 0.8),
            6,
            "Label more examples: the training set should grow to 160, and the",
        ),
        ((0.5, 0.6, 0.7, 0.8), 100, "Label more examples, until the training set has 160."),
    ],
)
def test_few_validation_examples_do_not_say_that_labels_are_enough(good, accuracies, val, do):
    rewrite(good, data=Counts(val=val), learning_curve=curve(*accuracies), pipeline="compare")
    (line,) = on_approaches.what_to_do(read(good))
    assert line.do.startswith(do)
    assert ("validation examples are too few to rely on this" in line.why) == (val < 100)


def model(won: int, lost: int, freeze: float = 0.5) -> ModelRecord:
    """Returns a model for which fine-tuning won and lost some examples."""
    tuned = candidate(won=won, lost=lost)
    candidates = {"head": candidate(), "finetuned": tuned}
    return ModelRecord(cut="add" if freeze else None, freeze=freeze, candidates=candidates)


@pytest.mark.parametrize(
    ("won", "lost", "start"),
    [
        (60, 5, "Unfreeze more layers: --set fit.freeze=0.25. Fine-tuning helps here"),
        (5, 60, "Fine-tune less: raise fit.freeze or lower fit.learning_rate. Fine-tuning hurts"),
        (20, 15, "Do not expect a gain from unfreezing more layers. Fine-tuning makes no clear"),
    ],
)
def test_advice_on_depth_needs_a_clear_paired_difference(good, won, lost, start):
    rewrite(good, model=model(won, lost))
    line = said(good, start)
    assert "changed validation accuracy by" in line and "1,000 examples)" in line
    assert f"by {'−' if won < lost else ''}{abs(won - lost) / 10:.1f} points" in line


def test_without_frozen_layers_there_is_no_advice_to_unfreeze(good):
    for won, lost in ((60, 5), (20, 15)):
        rewrite(good, model=model(won, lost, freeze=0.0))
        assert not said(good, "Unfreeze more") and not said(good, "Do not expect")


def test_candidates_of_older_runs_give_no_advice_on_depth(good):
    tuned = {"log_loss": 0.2, "accuracy": 0.9, "temperature": 1.0}
    change(good, "result.json", model={"candidates": {"head": tuned, "finetuned": tuned}})
    assert not [line for line in lines(good) if "freez" in line]
    assert "model.candidates.head.won: " in said(good, "Look at result.json: 8 fields")


def test_loss_that_still_falls_asks_for_more_epochs(good):
    write_records(good / "metrics.jsonl", epochs())
    assert "still falling in the last of 3 epochs" in said(good, "Train longer")
    rising = [{**epoch, "val_loss": 1 + i} for i, epoch in enumerate(epochs())]
    write_records(good / "metrics.jsonl", rising)
    assert not said(good, "Train longer")


def test_a_run_without_room_for_improvement_gets_no_advice_to_train_on(good):
    """All validation answers are right, and 99.7% of the test answers."""
    write_records(good / "metrics.jsonl", epochs())
    val = scores(1000, accuracy=1.0, interval=[0.997, 1.0])
    test = scores(1000, accuracy=0.997, interval=[0.991, 0.999])
    rewrite(good, model=model(60, 5), val=val, test=test)
    for start in ("Train longer", "Unfreeze more", "Trust the test score"):
        assert not said(good, start)


def test_regularisation_strengths_are_not_epochs(good):
    falling = [{**record, "val_loss": 1 / (i + 1)} for i, record in enumerate(strengths())]
    write_records(good / "metrics.jsonl", falling)
    assert not said(good, "Train longer")


def test_the_models_of_folds_are_not_taken_for_the_final_model(good):
    write_answers(good, [("cat", "cat", 0.99)] * 50)
    answers = (good / "predictions.csv").read_text().replace(",test,", ",val,")
    (good / "predictions.csv").write_text(answers)
    val = counted([[400, 100], [100, 400]], NAMES)
    chosen = Chosen(kept="head", temperature=2.0, epochs=0)
    rewrite(good, test=None, val=val, pipeline="cross_validate", chosen=chosen)
    sure = "On 50 of 50 examples, the models of the folds give their answer a probability of at"
    assert any(line.startswith(sure) for line in verdict.verdict(read(good)).why)
    assert said(good, "Do not take the model's probabilities literally")
    # The final model is calibrated once more, on these answers.
    rewrite(good, chosen=chosen.model_copy(update={"correction": 2.5}))
    assert not said(good, "Do not take the model's probabilities literally")


@pytest.mark.parametrize(("probability", "word"), [(0.99, "high"), (0.6, "low")])
def test_probabilities_that_are_off_are_named(good, probability, word):
    test = counted([[400, 100], [100, 400]], NAMES)
    rewrite(good, test=test)
    write_answers(good, [("cat", "cat", probability)] * 50)
    line = said(good, f"Do not take the model's probabilities literally: they are too {word}.")
    assert f"a probability of {probability:.1%} on average, but is right on 80.0%" in line
    write_answers(good, [("cat", "cat", 0.79)] * 50)
    assert not said(good, "Do not take")


def test_all_confident_mistakes_are_counted(good):
    write_answers(good, [("cat", "dog", 0.95)] * 30)
    assert said(good, "Look at the most confident mistakes: 0.png, 1.png, 2.png and 27 more.")


def test_invalid_lines_of_predictions_are_counted(good):
    assert not said(good, "Do not rely on")
    with (good / "predictions.csv").open("a") as file:
        file.write("half,a\nli\n")
    assert "2 lines of predictions.csv cannot be read." in said(good, "Do not rely on")


def test_quarantined_files_are_counted(workdir):
    assert "This file was left out as unusable" in said(workdir, "Repair or remove 1 file.")


def test_export_outside_its_tolerance_is_named(good):
    sentence = "loses 0.052 of accuracy, over <0.01>"
    bad = exported("model_int8.tflite", 690_000, sentence)
    fine = exported("model_float32.tflite", 8_900_000)
    shipped = Shipped(format="float32", path="export/model.tflite", status="ok")
    rewrite(good, export={"float32": fine, "int8": bad}, shipped=shipped)
    headline = verdict.headline(read(good))
    assert "int8 outside tolerance; file to ship: float32" in headline
    line = said(good, "Do not ship the int8 export.")
    assert f"comparison with the model ({sentence})" in line
    assert "on 98.4% of 1,000 examples" in line


def test_a_run_without_a_file_to_ship_says_so_first(good):
    reason = "export.max_bytes is 1,000, but the smallest file, int8, has 690,000 bytes"
    shipped = Shipped(format=None, status=f"{reason}. Raise the limit with tl-keras export")
    rewrite(good, shipped=shipped)
    first = rules.what_to_do(read(good))[0]
    assert first.do == "No model.tflite can be shipped." and first.why == f"{shipped.status}."
    assert not said(good, "To ship this model")
    assert verdict.headline(read(good)).endswith(f"; nothing to ship: {reason}")


def test_unchecked_exports_are_not_said_to_agree(workdir):
    change(workdir, "result.json", export={"float32": {"path": "model.tflite", "bytes": 50_000}})
    line = verdict.headline(read(workdir))
    assert "agree" not in line
    assert "export.float32.status: Field required" in said(workdir, "Look at result.json: 1 field")


def test_pretraining_leads_to_later_runs(good):
    rewrite(good, export=None, pipeline="pretrain", test=counted(GOOD, NAMES))
    assert verdict.headline(read(good)).endswith("right (95% interval 94.0 to 100.0)")
    assert "set model.weights to this run's folder" in lines(good)[-1]
    rewrite(good, test=counted([[5, 485], [5, 505]], NAMES))
    assert not said(good, "Start later runs")  # Its weights are no better than chance.


def test_an_unfinished_run_is_to_be_resumed(workdir):
    (workdir / "result.json").unlink()
    assert lines(workdir)[0] == (
        "Start the same command again. The run resumes where it was stopped."
    )
