"""Claims on runs side by side: compared on the same examples alone, safe, complete."""

import csv
import json
import shutil

import pytest
from handmade import (
    SCRIPT,
    Outline,
    change,
    counted,
    epochs,
    exported,
    rewrite,
    strengths,
    write_records,
)

from tl_keras.report.facts import paired
from tl_keras.report.pages import side_by_side
from tl_keras.report.read import read

N = 200


def answer(run, wrong: set[int], digests=range(N), labels=None) -> None:
    """A test split of pictures by digest, all of one class but for `wrong`."""
    files = [f"{SCRIPT}{i}.png" for i in range(N)]
    change(run, "data.json", splits={"test": files}, digests={"test": [f"{d}" for d in digests]})
    with (run / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        rows = [
            [name, "test", (labels or {}).get(i, "cat"), "dog" if i in wrong else "cat", 0.9]
            for i, name in enumerate(files)
        ]
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def two(workdir):
    """Two runs on one test split: the second is wrong on 5 pictures more, all hard for both."""
    other = workdir.parent / "other"
    shutil.copytree(workdir, other)
    answer(workdir, set(range(20)))
    answer(other, set(range(45)))
    rewrite(other, export={"float32": exported("x", 5_000_000, accuracy=0.9)})
    return workdir, other


def page(*runs) -> str:
    return side_by_side.write(runs, runs[0].parent / "page.html").read_text(encoding="utf-8")


def compared(*runs):
    return paired.against_best(
        [(letter, read(run)) for letter, run in zip("ABC", runs, strict=False)]
    )


def test_difference_is_paired_by_example(two):
    (difference,) = compared(*two)
    assert (difference.best, difference.letter) == ("A", "B")
    assert (difference.won, difference.lost, difference.n) == (25, 0, N)
    low, high = difference.interval
    # Apart, 90.0% and 77.5% of 200 have intervals of 85 to 93 and 71 to 83: the pairs say more.
    assert 0.075 < low < 0.125 < high < 0.18
    text = page(*two)
    assert "<h1>run is ahead of other by 12.5 points<small>" in text
    assert "Prefer A to B." in text and ">25 to 0<" in text and ">beyond chance<" in text


def test_noise_is_called_noise(two):
    answer(two[1], set(range(3, 24)))  # 3 won, 4 lost.
    text = page(*two)
    assert "<h1>No difference is shown between run and other, on 200 examples</h1>" in text
    assert "Choose among A and B by size and speed." in text and ">noise<" in text


def test_a_large_difference_on_few_examples_is_open(two):
    answer(two[1], set(range(13, 45)))  # 13 won, 25 lost.
    (difference,) = compared(*two)
    assert difference.is_noise and max(map(abs, difference.interval)) > 0.05
    text = page(*two)
    assert "Measure the runs on more examples." in text and "by size and speed" not in text


def test_runs_are_paired_by_content_whatever_the_order_and_the_names(two):
    turned = [*range(1, N), 0]
    answer(two[1], {i for i, d in enumerate(turned) if d < 45}, turned)
    (difference,) = compared(*two)
    assert (difference.won, difference.lost) == (25, 0)


def test_a_picture_that_stands_twice_counts_twice(two):
    twice = [0, 0, *range(2, N)]
    answer(two[0], set(), twice)
    answer(two[1], {0, 1}, twice)
    (difference,) = compared(*two)
    assert (difference.won, difference.n) == (2, N)


@pytest.mark.parametrize("other", ["digests", "labels", "none", "validation"])
def test_figures_on_other_examples_do_not_compare(two, other):
    if other == "digests":
        answer(two[1], set(), range(1, N + 1))
    elif other == "labels":
        answer(two[1], set(), labels={7: "bird"})
    elif other == "none":
        change(two[1], "data.json", digests={})
    else:
        rewrite(two[1], test=None)
    assert compared(*two) is None
    text = page(*two)
    assert "<h1>These figures do not compare" in text
    assert "Measure the runs on one test split." in text
    assert "no difference can be computed" in text and "<h3>Differences" not in text


def test_runs_without_a_test_split_are_said_to_be_flattered(two):
    assert "Set a test split aside." not in page(*two)
    for run in two:
        rewrite(run, test=None)
    assert "validation chose each of these models" in page(*two)


def test_validation_is_not_compared_with_the_test_split_of_another_run(two):
    """The same pictures, but one run has chosen by them."""
    run = two[1]
    rewrite(run, test=None)
    data = json.loads((run / "data.json").read_text())
    change(run, "data.json", **{k: {"val": data[k]["test"]} for k in ("splits", "digests")})
    text = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(text.replace(",test,", ",val,"))
    assert compared(*two) is None


def test_of_many_classes_the_lowest_are_shown(two):
    names = [f"c{i:02d}" for i in range(50)]
    rows = [[2 if i == j else 0 for j in range(50)] for i in range(50)]
    rows[49][49], rows[49][0] = 0, 2
    for run in two:
        rewrite(run, test=counted(rows, names))
    text = page(*two)
    assert "The 40 of 50 classes with the lowest." in text
    table = text[text.index('id="found-by-class"') :]
    assert table.index(">c49<") < table.index(">c00<") and ">c48<" not in table


def test_runs_that_are_not_finished_are_refused(two):
    (two[1] / "result.json").unlink()
    with pytest.raises(ValueError, match="other' is not finished; finish it first"):
        page(*two)


def test_the_best_of_many_is_not_taken_at_its_word(two):
    third = two[0].parent / "third"
    shutil.copytree(two[1], third)
    text = page(*two, third)
    assert "<h1>run is ahead of other and third beyond chance, on 200 examples</h1>" in text
    assert "Measure the choice once more on new examples." in text


def test_page_is_safe_and_whole(two):
    hostile = two[0].parent / "a&b<i>"
    shutil.copytree(two[1], hostile)
    (hostile / "config.yaml").write_text("data: {path: '<b>bold</b>'}\nfit: {freeze: 1.0}\n")
    write_records(hostile / "metrics.jsonl", [*epochs(), {"stage": "finetune", "val_loss": 0.1}])
    text = page(*two, hostile)
    outline = Outline(text)
    assert not {"script", "i", "b"} & set(outline.tags) and "http:" not in text
    said = outline.words
    for words in [
        "C: a&b<i>",
        "<b>bold</b>",
        "fit.freeze – – 1.0",
        "Validation loss over 4 epochs",
        "94.1% 89.9 to 97.4",
        "5.0 MB, 3.1 ms 90.0% of 153",
        "12.5 s 12.5 s 12.5 s",
        "MobileNetV2",
    ]:
        assert words in said or words in text, words
    assert said.count("data.path") == 1 and "data.source" not in said  # What differs alone.
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_runs_of_one_name_are_called_by_letter(two):
    (two[0].parent / "elsewhere").mkdir()
    same = two[0].parent / "elsewhere" / "run"
    shutil.copytree(two[1], same)
    assert "<h1>A is ahead of B by 12.5 points" in page(two[0], same)


def test_a_run_of_the_head_alone_has_no_curve_and_is_said_so(two):
    write_records(two[1] / "metrics.jsonl", strengths())
    text = page(*two)
    assert "No epochs: B, of which the head alone was fitted." in text
    assert "Validation loss over 3 epochs: A from 0.6 to 0.49." in text


def test_brackets_in_a_name_stay_in_the_headline(two):
    odd = two[0].parent / "photos (2)"
    shutil.copytree(two[1], odd)
    assert "<h1>run is ahead of photos (2) by 12.5 points<small>95% interval 7.6" in page(
        two[0], odd
    )


def test_runs_without_figures_still_make_a_page(two):
    for run in two:
        for name in ("predictions.csv", "metrics.jsonl", "data.json"):
            (run / name).unlink()
        (run / "result.json").write_text(json.dumps({"pipeline": "finetune"}))
    assert "do not compare" in page(*two)
