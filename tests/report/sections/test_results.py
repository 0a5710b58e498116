"""Tests of the report's sections on how good a model is and how it was trained."""

import csv

import numpy as np
import pytest
from handmade import (
    SCRIPT,
    Outline,
    change,
    counted,
    exported,
    result,
    rewrite,
    scores,
    strengths,
    write_pictures,
    write_records,
)

from tl_keras.report.facts import confidence, figures
from tl_keras.report.read import read
from tl_keras.report.sections import mistakes, results, training
from tl_keras.run.result.part import Views
from tl_keras.run.result.training import Chosen, Counts, ModelRecord


def write_answers(workdir, answers: list[tuple[str, str, float]]) -> None:
    """Writes predictions.csv for the test split from (label, prediction, probability)."""
    with (workdir / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        rows = [[f"{i}.png", "test", *answer] for i, answer in enumerate(answers)]
        csv.writer(file).writerows([header, *rows])


def test_worst_mistakes_come_first_and_only_from_test(workdir):
    table = mistakes.mistakes(read(workdir))
    places = [table.index(probability) for probability in ("77.7%", "66.6%", "55.5%")]
    assert places == sorted(places)
    assert "99.0%" not in table and "97.0%" not in table
    assert "3 of the answers to 4 test examples are wrong. Wrong labels" in table


def test_mistakes_are_shown_with_where_the_model_looked(workdir):
    assert "Grad-CAM" not in mistakes.mistakes(read(workdir))
    write_pictures(workdir)
    text = mistakes.mistakes(read(workdir))
    assert text.count("<img ") == 2 and "Grad-CAM" in text
    # The model saw the picture stretched to a square: the map is shown as the picture is.
    assert text.count('width="160" height="80"') == 2
    (workdir / "config.yaml").write_text("image: {resize: crop}")
    text = mistakes.mistakes(read(workdir))
    assert 'width="160" height="80"' in text and 'width="160" height="160"' in text


def test_missing_heat_maps_are_explained(workdir):
    write_pictures(workdir)
    entry = {"file": "sub/<b>.png", "split": "test", "heat": None}
    change(workdir, "pictures/index.json", mistakes=[entry])
    text = mistakes.mistakes(read(workdir))
    assert "There are no heat maps" in text and text.count("<img ") == 1
    assert "no feature map" in text


def test_missing_heat_maps_of_folds_have_their_own_reason(workdir):
    write_pictures(workdir)
    answers = (workdir / "predictions.csv").read_text().replace(",test,", ",val,")
    (workdir / "predictions.csv").write_text(answers)
    entry = {"file": "sub/<b>.png", "split": "val", "heat": None}
    change(workdir, "pictures/index.json", mistakes=[entry])
    rewrite(workdir, test=None, pipeline="cross_validate")
    text = mistakes.mistakes(read(workdir))
    assert "each of these answers comes from the model of a fold" in text
    assert "no feature map" not in text


def test_a_picture_without_a_heat_map_beside_others_is_explained(workdir):
    reason = "An image without a heat map has no area that supports the prediction."
    write_pictures(workdir)
    # Two of the three mistakes are in no index.
    assert reason in mistakes.mistakes(read(workdir))
    (workdir / "predictions.csv").write_text(
        "file,split,label,prediction,probability\nsub/<b>.png,test,dog,cat,0.9\n"
    )
    text = mistakes.mistakes(read(workdir))
    assert "Grad-CAM" in text and reason not in text


@pytest.mark.parametrize("name", ["../../outside.png", "/etc/passwd", "heat_00.png", 7, "a b.jpg"])
def test_an_index_embeds_no_file_from_elsewhere(workdir, name):
    write_pictures(workdir)
    entry = {"file": "sub/<b>.png", "split": "test", "heat": name}
    change(workdir, "pictures/index.json", mistakes=[entry])
    assert mistakes.mistakes(read(workdir)).count("<img ") == 1


def test_augmented_samples_are_shown_after_their_original(workdir):
    assert training.augmented(read(workdir)) == ""
    write_pictures(workdir)
    text = training.augmented(read(workdir))
    assert text.count("<img ") == 2 and SCRIPT not in text
    assert text.index(", original") < text.index(", view 1")
    assert "the model learns nothing from it" in text
    rewrite(workdir, model=ModelRecord(kept="head"))
    text = training.augmented(read(workdir))
    assert "The model was not trained on these views" in text and "learns nothing" not in text


def test_classes_have_their_intervals_and_counts(workdir):
    text = results.recalls(read(workdir))
    # Recall 57 of 61, precision 57 of 57; Wilson's interval by hand.
    assert '--share:0.934;--low:0.843;--high:0.974">93.4% <span class="soft">of 61<' in text
    assert "<small>84.3 to 97.4</small>" in text and "<small>93.7 to 100.0</small>" in text
    assert '– <span class="soft">of 0</span>' in text  # The third class has no examples.


def test_many_classes_are_cut_to_the_weakest(workdir):
    names = [f"class {i}" for i in range(50)]
    rows = np.diag(range(50)).tolist()
    for i, row in enumerate(rows):
        row[(i + 1) % 50] = 50 - i  # Class 0 is never recognised, class 49 nearly always.
    rewrite(workdir, test=counted(rows, names))
    text = results.recalls(read(workdir))
    assert "The 40 of 50 classes with the lowest recall are shown." in text
    assert ">class 0<" in text and ">class 49<" not in text


def test_confusion_matrix_or_pairs(workdir):
    run = read(workdir)
    assert 'class="right" style="--share:0.942">57<' in results.confusion(run)
    names = [f"class {i}" for i in range(30)]
    confusion = [[1] * 30 for _ in names]
    confusion[3][7] = 9
    rewrite(workdir, test=counted(confusion, names))
    table = results.confusion(read(workdir))
    assert "the most frequent mistakes among 30 classes" in table
    assert table.index("class 3<") < table.index("class 7<") < table.index(">9<")


def test_short_class_names_are_horizontal_above_the_matrix(workdir):
    for names, steep in (([str(i) for i in range(10)], False), (["a" * 20, "b" * 20], True)):
        confusion = np.eye(len(names), dtype=int).tolist()
        rewrite(workdir, test=counted(confusion, names))
        assert ('class="matrix steep"' in results.confusion(read(workdir))) == steep


def test_scores_have_bootstrapped_intervals(workdir):
    generator = np.random.default_rng(0)
    labels = generator.choice(["a", "b"], 300, p=[0.9, 0.1])
    wrong = (labels == "b") & (generator.random(300) < 0.5)
    answers = [
        (label, "a" if bad else label, 0.8) for label, bad in zip(labels, wrong, strict=True)
    ]
    write_answers(workdir, answers)
    intervals = figures.intervals(read(workdir), "test")
    recall = 1 - wrong.sum() / (labels == "b").sum()
    low, high = intervals["balanced_accuracy"]
    assert low < (1 + recall) / 2 < high
    # Half the weight is on 30 examples, so the interval is far wider than for accuracy on 300.
    assert 0.1 < high - low < 0.25
    assert intervals["accuracy"] == result().test.interval
    assert "log_loss" not in intervals  # The probabilities of the labels are not known.


def test_scores_of_several_views_follow_those_of_one_view(workdir):
    views = Views(count=5, accuracy=0.9612, interval=[0.91, 0.98], log_loss=0.1234)
    rewrite(workdir, test=scores(153, views=views))
    shown = Outline(f"<table>{results.scores(read(workdir))}</table>").words
    of_views = "with answers averaged over 5 views (original and augmented)"
    assert f"Accuracy, {of_views} 96.1% 91.0 to 98.0 –" in shown
    assert f"Log loss, {of_views} 0.123 –" in shown


@pytest.mark.parametrize(
    ("correction", "text"),
    [
        (
            2.58,
            "2.58 times the mean temperature of the folds. So the final model is less sure than",
        ),
        (0.5, "0.500 times the mean temperature of the folds. So the final model is surer than"),
        (
            1.02,
            "1.02 times the mean temperature of the folds. So the final model is about as sure as",
        ),
    ],
)
def test_confidence_of_folds_tells_how_the_final_model_differs(workdir, correction, text):
    answers = (workdir / "predictions.csv").read_text().replace(",test,", ",val,")
    (workdir / "predictions.csv").write_text(answers)
    chosen = Chosen(kept="head", temperature=2.23, epochs=0, correction=correction)
    rewrite(workdir, test=None, pipeline="cross_validate", chosen=chosen)
    shown = results.calibration(read(workdir))
    assert "the answers of the models of the folds, not of the final model." in shown
    assert f"its temperature is 2.23, which is {text} the models that this chart shows." in shown
    rewrite(workdir, pipeline="finetune")
    assert "of the folds" not in results.calibration(read(workdir))


def test_reliability_counts_right_answers_by_confidence(workdir):
    answers = [("a", "a", 0.95)] * 18 + [("b", "a", 0.95)] * 2 + [("a", "b", 0.6), ("a", "a", 0.55)]
    write_answers(workdir, answers)
    bins = confidence.bins(read(workdir))
    assert [(b.right.right, b.right.n) for b in bins] == [(1, 2), (18, 20)]
    assert [round(b.confidence, 3) for b in bins] == [0.575, 0.95]
    text = results.calibration(read(workdir))
    assert "22 test examples, grouped by" in text
    assert "at 95% confidence, 90% of 20 examples" in text
    assert "<small>69.9 to 97.2</small>" in text


def test_export_outside_its_tolerance_is_named(workdir):
    bad = exported("model_int8.tflite", 690_000, "loses 0.052 of accuracy, over <0.01>")
    good = exported("model_float32.tflite", 8_900_000)
    rewrite(workdir, export={"float32": good, "int8": bad})
    table = results.exports(read(workdir))
    assert table.count(">ok<") == 1 and table.count(">missed<") == 1
    assert "int8: loses 0.052 of accuracy, over &lt;0.01&gt;." in table


def test_exports_name_the_number_of_examples(workdir):
    text = results.exports(read(workdir))
    assert "measured on 153 test examples" in text and '92.8% <span class="soft">of 153<' in text
    some = {name: exported(name, 1, n=60) for name in ("float32", "int8")}
    rewrite(workdir, export=some)
    assert "measured on 60 test examples" in results.exports(read(workdir))


def test_regularisation_strengths_are_not_counted_as_epochs(workdir):
    text = training.training(read(workdir))
    assert (
        "Head: logistic regression, 3 regularisation strengths tried; lowest validation loss "
        "0.310, at strength 10."
    ) in text
    assert "Fine-tuning: 3 epochs; lowest validation loss 0.490, in epoch 3." in text
    assert "Loss over 3 epochs" in text and "validation from 0.6 to 0.49" in text


def test_a_final_model_without_validation_is_only_trained(workdir):
    rewrite(workdir, data=Counts(train=151, val=0, test=0))
    assert "Trained on 151 training examples." in training.training(read(workdir))


def test_head_alone_has_no_epochs(workdir):
    write_records(workdir / "metrics.jsonl", strengths())
    text = training.training(read(workdir))
    assert "3 regularisation strengths" in text and "306 training and 77 validation" in text
    assert text.count("<svg") == 1 and "epoch" not in text


def test_without_confusion_matrix_and_predictions_there_are_no_counts(workdir):
    (workdir / "predictions.csv").unlink()
    rewrite(workdir, test=scores(4, confusion=[]))
    run = read(workdir)
    assert figures.rates(run) == [] and results.recalls(run) == results.calibration(run) == ""
    Outline(results.scores(run))
