"""What the report says below the table of exports."""

import pytest
from handmade import change, exported

from tl_keras.report.read import read
from tl_keras.report.sections.export_notes import notes


def entry(median: float = 3.0, **others) -> dict:
    return {**exported("x.tflite", 1_000_000), "latency_ms": {"median": median}, **others}


@pytest.fixture
def said(workdir):
    """The notes of a run with some exports, joined."""

    def say(shipped: dict | None = None, **export: dict) -> str:
        change(workdir, "result.json", export=export, shipped=shipped or {"format": None})
        return "\n".join(notes(read(workdir)))

    return say


def test_what_was_mended_is_told_with_its_price(said):
    steps = [{"kept": 0, "lost": 0.15, "moved": 0.3}, {"kept": 2, "lost": 0.0, "moved": 0.01}]
    repair = {"kept": [f"layer_{i}" for i in range(9)], "bytes": 123_456, "steps": steps}
    text = said(int8=entry(repair=repair, val={"lost": 0.0, "on": "validation"}))
    assert "int8 lost 0.150 of accuracy on validation, and gave 30.0% of the probability" in text
    assert "layer_0, layer_1, layer_2, layer_3, layer_4, layer_5 and 3 others left float" in text
    assert "it loses 0" in text and "0.1 MB larger" in text


def test_formats_that_are_slower_than_float32_are_named(said):
    text = said(float32=entry(2.0), dynamic=entry(5.0), int8=entry(1.0))
    assert "dynamic is slower than float32 on this machine, 2.50 times." in text
    assert "int8" not in text


def test_too_few_validation_examples_are_said(said):
    text = said(float16=entry(undecided=30), int8=entry(undecided=30))
    assert "30 validation examples are too few to tell whether float16 and int8 lose more" in text
    assert "whether int8 loses more" in said(int8=entry(undecided=30))
    assert not said(int8=entry())


def test_the_way_of_the_device_is_told_of_the_file_to_ship(said):
    device = {"accuracy": 0.9, "interval": [0.85, 0.94], "agreement": 0.99, "n": 150}
    shipped = {
        "format": "int8",
        "path": "export/model.tflite",
        "device": {**device, "identical": 1},
    }
    text = said(shipped, int8=entry())
    assert "it is right on 90.0% (85.0 to 94.0), and answers as on prepared pixels on 99.0%" in text
    del shipped["device"]["accuracy"]
    assert "predict.py, it answers as on prepared pixels" in said(shipped, int8=entry())


def test_abstaining_is_told_of_the_file_to_ship(said):
    abstain = {"coverage": 0.95, "interval": [0.9, 0.98], "answered": 0.7, "accuracy": 0.98}
    shipped = {"format": "int8", "path": "export/model.tflite"}
    text = said(shipped, float32=entry(abstain=abstain), int8=entry(abstain=abstain))
    assert text.count("decides 70.0% of the images, and is right on 98.0% of those") == 1
    assert "float32 decides" not in text


def test_floats_in_an_integer_file_are_named(said):
    assert "int8 computes with floats in 2 NEG and 1 SUM" in said(
        int8=entry(float_operators={"NEG": 2, "SUM": 1})
    )
