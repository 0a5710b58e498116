"""Tests of the notes below the table of exports."""

import pytest
from handmade import exported, rewrite, verdict

from tl_keras.report.pages import card
from tl_keras.report.read import read
from tl_keras.report.sections.export_notes import notes
from tl_keras.run.result.exports import (
    Abstaining,
    Exported,
    Latency,
    OnFiles,
    Repair,
    RepairStep,
    Shipped,
)
from tl_keras.run.result.folds import CrossValidation, Spread

SHIPPED = Shipped(format="int8", path="export/model.tflite", status="ok")


def entry(median: float = 3.0, **others) -> Exported:
    return exported("x.tflite", latency_ms=Latency(median=median), **others)


@pytest.fixture
def notes_on(workdir):
    """Returns a function that returns the notes on given exports, joined."""

    def join(shipped: Shipped | None = None, **export: Exported) -> str:
        rewrite(workdir, export=export, shipped=shipped)
        return "\n".join(notes(read(workdir)))

    return join


def test_a_repair_is_described_with_its_price(notes_on):
    before = RepairStep(kept=0, lost=0.15, agreement=0.8, moved=0.3)
    after = RepairStep(kept=2, lost=0.0, agreement=1.0, moved=0.01)
    layers = [f"layer_{i}" for i in range(9)]
    repair = Repair(kept=layers, bytes=123_456, steps=[before, after])
    text = notes_on(int8=entry(repair=repair, val=verdict()))
    assert "Before its repair, int8 lost 0.150 of accuracy on validation" in text
    assert "moved 30.0% of the probability mass to other classes." in text
    assert "layer_0, layer_1, layer_2, layer_3, layer_4, layer_5 and 3 others in float" in text
    assert "After the repair, it loses 0 of accuracy, compared with model.keras." in text
    assert "The repair makes the file 0.1 MB larger." in text


def test_formats_that_are_slower_than_float32_are_named(notes_on):
    text = notes_on(float32=entry(2.0), dynamic=entry(5.0), int8=entry(1.0))
    assert "dynamic takes 2.50 times as long as float32 on the machine of this run." in text
    assert "int8" not in text


def test_too_few_validation_examples_are_mentioned(notes_on):
    text = notes_on(float16=entry(undecided=30), int8=entry(undecided=30))
    assert "30 validation examples are too few to tell whether float16 and int8 lose more" in text
    assert "whether int8 loses more" in notes_on(int8=entry(undecided=30))
    assert not notes_on(int8=entry())


def test_cross_validation_has_no_validation_examples(workdir):
    rewrite(workdir, pipeline="cross_validate", export={"int8": entry(undecided=19)})
    text = "\n".join(notes(read(workdir)))
    assert "19 examples are too few to tell" in text


def test_the_file_to_ship_is_measured_on_files_as_a_device_reads_them(notes_on):
    measured = {"agreement": 0.99, "n": 150, "identical": 1.0}
    device = OnFiles(accuracy=0.9, interval=[0.85, 0.94], **measured)
    text = notes_on(SHIPPED.model_copy(update={"device": device}), int8=entry())
    assert "is right on 90.0% of the images (95% interval 85.0 to 94.0), and" in text
    assert "99.0%" in text
    unmeasured = SHIPPED.model_copy(update={"device": OnFiles(**measured)})
    assert "is right on" not in notes_on(unmeasured, int8=entry())


def test_abstaining_is_described_for_the_file_to_ship(notes_on, workdir):
    share = {"coverage": 0.95, "interval": [0.9, 0.98], "answered": 0.7, "accuracy": 0.98}
    abstain = Abstaining(**share, n=150)
    text = notes_on(SHIPPED, float32=entry(abstain=abstain), int8=entry(abstain=abstain))
    assert text.count("answers 70.0% of the images and is right on 98.0% of them") == 1
    assert "For 95.0% of all images (95% interval 90.0 to 98.0)" in text
    assert "float32 answers" not in text
    assert "int8 answers 70.0% of the images and is right on" in card.render(read(workdir))


def test_abstaining_of_folds_is_described_where_the_file_has_no_test(notes_on, workdir):
    share = {"coverage": 0.91, "interval": [0.83, 0.95], "answered": 0.11, "accuracy": 0.7}
    spread = {"accuracy": Spread(mean=0.5, deviation=0.1)}
    abstain = Abstaining(**share, n=91)
    folds = CrossValidation(folds=5, repeats=1, final="refit", scores=spread, abstain=abstain)
    rewrite(workdir, cross_validation=folds)
    text = notes_on(SHIPPED, float32=entry(), int8=entry())
    assert "A model of a fold, calibrated like the final model, answers 11.0% of the images" in text
    assert "so how often int8 abstains on new examples was not measured." in text


def test_floats_in_an_integer_file_are_named(notes_on):
    text = notes_on(int8=entry(float_operators={"NEG": 2, "SUM": 1}))
    assert "int8 still computes with floats in 2 NEG and 1 SUM" in text


def test_a_missed_limit_is_named_first(notes_on):
    status = "export.max_bytes is 10, but the smallest file, int8, has 20 bytes. Raise the limit"
    text = notes_on(Shipped(format=None, status=status), int8=entry(status="loses 0.2"))
    assert text.startswith(f"No model.tflite can be shipped: {status}.\nint8: loses 0.2.")
