"""Tests of runs side by side: compared on the same examples only, safe, complete."""

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
    """Writes a test split of pictures of one class; the run mistakes the pictures `wrong`."""
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
    """Returns two runs on one test split; the second also mistakes all that the first mistakes."""
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
    assert "<h1>run is better than other by 12.5 points<small>" in text
    assert "Prefer A to B." in text and ">25 to 0<" in text and ">significant<" in text


def test_noise_is_called_noise(two):
    answer(two[1], set(range(3, 24)))  # 3 won, 4 lost.
    text = page(*two)
    assert "<h1>No significant difference between run and other, on 200 examples</h1>" in text
    assert "Choose between A and B by size and speed." in text and ">noise<" in text


def test_a_large_difference_on_few_examples_asks_for_more(two):
    answer(two[1], set(range(13, 45)))  # 13 won, 25 lost.
    (difference,) = compared(*two)
    assert difference.is_noise and max(map(abs, difference.interval)) > 0.05
    text = page(*two)
    assert "Measure the runs on more examples." in text and "by size and speed" not in text


def test_runs_are_paired_by_content_regardless_of_order_and_names(two):
    turned = [*range(1, N), 0]
    answer(two[1], {i for i, d in enumerate(turned) if d < 45}, turned)
    (difference,) = compared(*two)
    assert (difference.won, difference.lost) == (25, 0)


def test_a_picture_that_occurs_twice_counts_twice(two):
    twice = [0, 0, *range(2, N)]
    answer(two[0], set(), twice)
    answer(two[1], {0, 1}, twice)
    (difference,) = compared(*two)
    assert (difference.won, difference.n) == (2, N)


def spoil(run, how: str) -> None:
    """Makes a run one that cannot be compared with the other."""
    if how == "digests":
        answer(run, set(), range(1, N + 1))
    elif how == "labels":
        answer(run, set(), labels={7: "bird"})
    elif how == "none":
        change(run, "data.json", digests={})
    else:
        rewrite(run, test=None)


SPOILT = [
    ("digests", "was measured on other test examples or labels than the others."),
    ("labels", "was measured on other test examples or labels than the others."),
    (
        "none",
        "has no answers in predictions.csv, or its data.json lacks digests of these examples.",
    ),
    (
        "validation",
        "has no answers in predictions.csv, or its data.json lacks digests of these examples.",
    ),
]


@pytest.mark.parametrize(("how", "reason"), SPOILT)
def test_scores_on_different_examples_are_not_compared(two, how, reason):
    spoil(two[1], how)
    assert compared(*two) is None
    text = page(*two)
    assert "<h1>The scores of these runs cannot be compared</h1>" in text
    assert (
        f"Measure the runs on the same test split.</strong> B {reason} Runs have the same" in text
    )
    assert "No difference between these runs can be computed." in text
    assert "<h3>Differences" not in text


@pytest.mark.parametrize(("how", "reason"), SPOILT)
def test_one_run_on_other_examples_leaves_the_others_comparable(two, how, reason):
    third = two[0].parent / "third"
    shutil.copytree(two[0], third)
    spoil(third, how)
    (difference,) = compared(*two, third)
    assert (difference.best, difference.letter, difference.n) == ("A", "B", N)
    text = page(*two, third)
    assert "<h1>run is better than other by 12.5 points<small>" in text
    assert f"</strong> C {reason} Runs have the same" in text and "Prefer A to B." in text


def test_validation_scores_of_all_runs_are_called_too_good(two):
    assert "Set a test split aside." not in page(*two)
    for run in two:
        rewrite(run, test=None)
    assert "Their validation scores are too good" in page(*two)


def test_validation_is_not_compared_with_the_test_split_of_another_run(two):
    """Both runs have the same pictures, but one of them was chosen by them."""
    run = two[1]
    rewrite(run, test=None)
    data = json.loads((run / "data.json").read_text())
    change(run, "data.json", **{k: {"val": data[k]["test"]} for k in ("splits", "digests")})
    text = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(text.replace(",test,", ",val,"))
    assert compared(*two) is None
    assert "B was measured on validation examples, the others on test examples." in page(*two)


def hold_out(run) -> None:
    """Turns a run into a cross-validation, whose validation scores are of all training examples."""
    data = json.loads((run / "data.json").read_text())
    change(run, "data.json", **{k: {"train": data[k]["test"]} for k in ("splits", "digests")})
    text = (run / "predictions.csv").read_text()
    (run / "predictions.csv").write_text(text.replace(",test,", ",val,"))
    rewrite(run, test=None, pipeline="cross_validate")


def test_cross_validated_runs_are_compared_on_what_they_held_out(two):
    for run in two:
        hold_out(run)
    (difference,) = compared(*two)
    assert (difference.won, difference.lost, difference.n) == (25, 0, N)
    text = page(*two)
    assert "Prefer A to B." in text
    assert "held-out example" in text and "validation example" not in text


def test_cross_validated_runs_of_other_data_say_so(two):
    answer(two[1], set(), range(10, N + 10))
    for run in two:
        hold_out(run)
    assert compared(*two) is None
    text = page(*two)
    assert "B was measured on other held-out examples or labels than the others." in text
    assert "Cross-validated runs on the same examples are compared on their held-out" in text
    sizes = f"A has {N} examples and B has {N} examples, not counting identical copies."
    assert f"The runs have different examples: {sizes} {N - 10} examples are in all runs." in text


def test_held_out_scores_are_not_compared_with_validation_scores(two):
    for run in two:
        hold_out(run)
    data = json.loads((two[1] / "data.json").read_text())
    change(two[1], "data.json", **{k: {"val": data[k]["train"]} for k in ("splits", "digests")})
    rewrite(two[1], pipeline="finetune")
    assert compared(*two) is None
    assert "B was measured on validation examples, the others on held-out" in page(*two)


def test_of_many_classes_the_lowest_are_shown(two):
    names = [f"c{i:02d}" for i in range(50)]
    rows = [[2 if i == j else 0 for j in range(50)] for i in range(50)]
    rows[49][49], rows[49][0] = 0, 2
    for run in two:
        rewrite(run, test=counted(rows, names))
    text = page(*two)
    assert "Of 50 classes, the 40 with the lowest recall in any of the runs are shown." in text
    table = text[text.index('id="recall-by-class"') :]
    assert table.index(">c49<") < table.index(">c00<") and ">c48<" not in table


def test_unfinished_runs_are_refused(two):
    (two[1] / "result.json").unlink()
    with pytest.raises(ValueError, match="other' is not finished; finish it first"):
        page(*two)
    assert not (two[0].parent / "page.html").exists()


def test_folders_that_are_not_runs_do_not_keep_the_others_from_the_page(two, tmp_path):
    empty, audit = tmp_path / "empty", tmp_path / "audit"
    for folder in (empty, audit):
        folder.mkdir()
    (audit / "findings.json").write_text('{"rare": []}')
    with pytest.raises(ValueError, match="was written with the remaining 2 runs") as caught:
        page(two[0], empty, audit, two[1], tmp_path / "missing")
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "empty' is not a run folder: it has none of config.yaml, " in lines[0]
    assert "audit' is an audit, which has no model to compare; leave it out" in lines[1]
    assert "missing' does not exist; pass the folder that was the --workdir of a run" in lines[2]
    text = (two[0].parent / "page.html").read_text(encoding="utf-8")
    assert "<h1>run is better than other by 12.5 points" in text and "Prefer A to B." in text


def test_a_folder_of_runs_names_one_of_them(two):
    with pytest.raises(ValueError, match="Its subfolder 'other' is a run folder; pass the folder"):
        page(two[0], two[0].parent)


def test_the_lead_of_the_best_of_many_is_called_partly_luck(two):
    third = two[0].parent / "third"
    shutil.copytree(two[1], third)
    text = page(*two, third)
    assert "<h1>run is better than other and third, on 200 examples</h1>" in text
    assert "Measure the chosen model once more, on new examples." in text


def test_page_is_safe_and_whole(two):
    hostile = two[0].parent / "a&b<i>"
    shutil.copytree(two[1], hostile)
    (hostile / "config.yaml").write_text("data: {path: '<b>bold</b>'}\nfit: {freeze: 1.0}\n")
    write_records(hostile / "metrics.jsonl", [*epochs(), {"stage": "finetune", "val_loss": 0.1}])
    text = page(*two, hostile)
    outline = Outline(text)
    assert not {"script", "i", "b"} & set(outline.tags) and "http:" not in text
    shown = outline.words
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
        assert words in shown or words in text, words
    # Only fields that differ are shown.
    assert shown.count("data.path") == 1 and "data.source" not in shown
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_runs_of_one_name_are_called_by_letter(two):
    (two[0].parent / "elsewhere").mkdir()
    same = two[0].parent / "elsewhere" / "run"
    shutil.copytree(two[1], same)
    assert "<h1>A is better than B by 12.5 points" in page(two[0], same)


def test_a_run_without_epochs_is_explained(two):
    write_records(two[1] / "metrics.jsonl", strengths())
    text = page(*two)
    assert "No curve for B: only the head was trained, without epochs." in text
    assert "Validation loss over 3 epochs: A from 0.6 to 0.49." in text


def test_brackets_in_a_name_stay_in_the_headline(two):
    odd = two[0].parent / "photos (2)"
    shutil.copytree(two[1], odd)
    headline = "<h1>run is better than photos (2) by 12.5 points<small>95% interval 7.6"
    assert headline in page(two[0], odd)


def test_runs_without_scores_still_make_a_page(two):
    for run in two:
        for name in ("predictions.csv", "metrics.jsonl", "data.json"):
            (run / name).unlink()
        (run / "result.json").write_text(json.dumps({"pipeline": "finetune"}))
    assert "cannot be compared" in page(*two)
