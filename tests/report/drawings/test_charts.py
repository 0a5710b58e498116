"""Tests of charts: numbers become SVG in the page's colours, with alternative texts."""

import re

import pytest
from handmade import epochs, strengths

from tl_keras.report.drawings import charts


def test_series_without_numbers_are_left_out():
    assert charts.learning_curves([]) == []
    gaps = [{"loss": float("nan"), "val_accuracy": 0.5}, {"loss": None, "val_accuracy": 1.0}]
    (svg,) = charts.learning_curves(gaps)
    assert 'aria-label="Accuracy, % over 2 epochs: validation from 50 to 100."' in svg
    assert len(charts.learning_curves([{"loss": 1.0}])) == 1
    assert charts.compared_curves([("A", []), ("B", [{"val_loss": None}])]) == []
    assert charts.regularisation_path(strengths()[:2]) == ""


POINTS = [(0.55, 0.4, 0.2, 0.6, 20), (0.97, 0.95, 0.9, 0.98, 1280)]
CHARTS = {
    "curves": lambda: charts.learning_curves([{"loss": 1.0, "val_loss": 1.0}])[0],
    "path": lambda: charts.regularisation_path(strengths()),
    "reliability": lambda: charts.reliability(POINTS),
    "compared": lambda: charts.compared_curves([("A", epochs()), ("B", epochs())])[0],
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_take_the_colours_of_the_page_and_its_font(name):
    svg = CHARTS[name]()
    assert "var(--series)" in svg and not re.search("#[0-9a-f]{6}", svg)
    assert "font-family" not in svg and "mathdefault" not in svg
    assert CHARTS[name]() == svg  # Equal numbers, equal bytes.


def test_alternative_text_of_the_reliability_diagram_counts_examples():
    svg = charts.reliability([(0.5, 1.0, 0.2, 1.0, 1), *POINTS])
    text = "of 1 example; at 55% confidence, 40% of 20 examples; at 97% confidence, 95% of 1,280 ex"
    assert text in svg and ">1,280<" in svg and ">20<" in svg


def test_regularisation_path_names_the_best_strength():
    assert "lowest 0.31 at 10." in charts.regularisation_path(strengths())


def test_axes_of_percentages_end_at_100():
    rising = [{"val_accuracy": share} for share in (0.0, 1.0)]
    (svg,) = charts.learning_curves(rising)
    ticks = [float(text) for text in re.findall(">([0-9.]+)</text>", svg)]
    assert 100 in ticks and max(ticks) == 100


@pytest.mark.parametrize("length", [3, 60])
def test_no_two_of_many_runs_look_alike(length):
    records = [{"val_loss": 1.0 + i} for i in range(length)]
    (svg,) = charts.compared_curves([(letter, records) for letter in "ABCDEFGHI"])
    # The style of each line in the legend, and the shape of its marker.
    lines = re.findall(r'<path d="[^"]*" (?:clip-path="[^"]*" )?style="fill: none; [^"]*"', svg)
    assert len(set(lines)) >= 4
    legend = svg[svg.index("legend") :] if "legend" in svg else svg
    shapes = re.findall(r'<path id="[^"]*" d="([^"]*)" style="([^"]*)"', legend)
    assert len(set(shapes)) >= (9 if length == 3 else 5)


def test_compared_runs_have_a_line_and_a_legend_each():
    longer = [*epochs(), {"val_loss": 0.2, "val_accuracy": 0.95}]
    loss, accuracy = charts.compared_curves([("A", epochs()), ("B", longer)])
    assert "Validation loss over 4 epochs: A from 0.6 to 0.49, B from 0.6 to 0.2." in loss
    assert "A from 90 to 90, B from 90 to 95." in accuracy
    assert ">A<" in loss and ">B<" in loss and "var(--other)" in loss
