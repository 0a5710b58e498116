"""Tests with a result that has all parts at once: each field that a page reads is on the page."""

import math
import re

import pytest
from handmade import Outline, change, make, rewrite
from handmade_full import full_result
from pydantic import BaseModel

from tl_keras.report.pages import card, page, side_by_side
from tl_keras.report.read import read
from tl_keras.run.result.whole import to_json


def parts(value: object) -> list[BaseModel]:
    """Returns the value if it is a model, and all models inside it."""
    if isinstance(value, BaseModel):
        inner = [getattr(value, name) for name in type(value).model_fields]
        return [value, *(part for one in inner for part in parts(one))]
    if isinstance(value, dict):
        return parts(list(value.values()))
    return [part for one in value for part in parts(one)] if isinstance(value, list) else []


def test_a_full_result_has_every_field():
    given: dict[type, set[str]] = {}
    for part in parts(full_result()):
        given.setdefault(type(part), set()).update(part.model_fields_set)
    assert {
        kind.__name__: sorted(set(kind.model_fields) - names)
        for kind, names in given.items()
        if set(kind.model_fields) - names
    } == {}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Returns the folder of a run with a full result."""
    workdir = make(tmp_path_factory.mktemp("full"))
    (workdir / "metrics.jsonl").unlink()
    return workdir


def sections(text: str) -> dict[str, str]:
    """Returns the words of each section by title, and the headline under ""."""
    by_title = re.findall(r"<section[^>]*>\s*<h2>(.*?)</h2>(.*?)</section>", text, re.DOTALL)
    (first,) = re.findall("<h1>(.*?)</h1>", text)
    return {"": first, **{title: Outline(body).words for title, body in by_title}}


@pytest.fixture(scope="module")
def shown(full):
    """Returns the sections of a run's page and of a comparison's page, by command."""
    by_title = {}
    for command in ("compare", "finetune"):
        rewrite(full, **to_json(full_result(pipeline=command)))
        run = read(full)
        assert run.unread == []
        by_title[command] = sections(page.render(run))
    return by_title


PAGES = {
    "finetune": {
        "": ["94.1% of 153 test examples", "89.9 to 97.4", "file to ship: int8, 0.7 MB, 5.4 ms"],
        "Good enough?": ["90 to 97 of 100", "right 98 times in 100", "0 of its 1 example recog"],
        "What to do": ["fit.freeze=0.38", "37.7 points", "77 examples", "1 of 3 trials diverged"],
        "Scores": [
            "n = 153",
            "91.3%",
            "90.5%",
            "0.218",
            "3.9%",
            "5 views (original and augmented) 96.1% 91.0",
        ],
        "Folds": [
            *("88.7%", "1.2 points", "into folds 2 times", "then trained on all", "fold_0 204"),
            *("88.3% of 51", "0.321", "fine-tuned 0.0316 0.25 1 min 1 s", "its own search"),
        ],
        "Rounds": [
            *(
                "17.6 points",
                "right on 76.5%",
                "labelled 1,234",
                "0 946 84.4% of 77",
                "91.2% of 40",
            ),
            *("fine-tuned 42.0 s", "average (kept) 89.6%", "0.346", "65.0% 800 81.0% 640 95.0%"),
        ],
        "Search": [
            *(
                "tuner random, objective accuracy",
                "in 1 min 0 s",
                "7.5 s saved",
                "MobileNet, 96 px",
            ),
            *("trial_000 0.5 0.0003 block_6 0.5 91.2% fine-tuned 95.0% of 100", "0.250 4.5 s best"),
            *("1.0 MB 2.50", "4.0 MB", "tied", "diverged loss is NaN", "seconds of search"),
        ],
        "Classes": ["93.4% of 61"],
        "Confusion": ["57 2 2"],
        "Exports": [
            *(
                "on 151 and 153 test",
                "2 threads",
                "0.7 MB 0.3 MB",
                "92.8% of 151",
                "98.4%",
                "0.0123",
            ),
            *(
                "5.43 6.54 1.98",
                "int8 lost 0.150 of accuracy on validation",
                "moved 30.0%",
                "conv_1",
            ),
            *("loses 0.0100", "0.1 MB larger", "export/model.tflite is the int8", "right on 87.6%"),
            *("82.0 to 92.0", "98.7% of 149", "65.4% of the images"),
            *("77 validation examples are too", "1.73 times", "2 NEG", "answers 70.2%"),
            *("right on 98.1%", "95.3% of all images (95% interval 90.0 to 98.0)"),
        ],
        "Data": ["train 306", "validation 77", "test 153"],
        "Time": ["5 min 12 s in all", "finetune 3 min 8 s 60.3%"],
        "Features": [
            "add train read from the cache 1.1 MB 5.2 s one view",
            "not stored – – another",
        ],
        "Model": [
            *("MobileNetV2", "imagenet", "2,260,546", "up to block_12 (0.75 of", "mean of the"),
            *(
                "for want of room",
                "5a1d",
                "7c44",
                "over 9 views",
                "mix (kept)",
                "0.200 90.0% of 77",
                "7.25 1",
            ),
        ],
        "Versions and device": ["keras 3.15.0", "device x86_64"],
    },
    "compare": {
        "": ["Use the approach finetune: 90.0% of 77 test examples", "85.0 to 95.0"],
        "What to do": [
            *("on the 77 validation", "The lead of finetune over head", "took 1 min 3 s"),
            *(
                "this gives a better model",
                "10.4 points on 77 validation examples (95% interval 2.0 to 18.0) and 10.4",
                "in total 612",
            ),
        ],
        "Approaches": [
            *("finetune best", "90.0% of 77", "1 min 3 s 21.0 s 2,260,546 0.7 MB 3.21", "7.0 s –"),
            *(
                "full the budget is spent",
                "seconds of training",
                "int8 latency",
                "training examples",
            ),
        ],
        "Differences": ["the same 77 validation", "10.4 points 2.0 to 18.0 9 to 1 significant"],
        "Backbones": ["MobileNetV2 1.23 81.2% 90.0% of 77", "2,260,546 3.5 s"],
        "Learning curve": [
            "twice as many examples, 612",
            "25.0% 76 70.0% 0.400",
            "100.0% 306 86.0%",
        ],
    },
}


@pytest.mark.parametrize(
    ("command", "title"),
    [(command, title) for command, titles in PAGES.items() for title in titles],
)
def test_each_field_that_a_page_reads_is_on_the_page(shown, command, title):
    text = shown[command][title]
    assert [words for words in PAGES[command][title] if words not in text] == []


def test_invalid_fields_are_named_on_every_page(full, shown):
    change(full, "result.json", seed="many", device=5)
    run = read(full)
    do = "Look at result.json: 2 fields are missing or wrong."
    why = "leaves out these fields: seed: Input should be a"
    for text in (page.render(run), side_by_side.render([("A", run)]), card.render(run)):
        assert do in text and why in text
    rewrite(full, **to_json(full_result()))


def replaced(value: object, number: float) -> object:
    """Returns a JSON value in which each number is replaced by another number."""
    if isinstance(value, dict):
        return {name: replaced(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, number) for inner in value]
    fits = type(value) is float or type(value) is type(number) is int
    return number if fits else value


@pytest.mark.parametrize(
    ("command", "number"),
    [("finetune", math.nan), ("finetune", -1), ("compare", 0), ("compare", 1e300)],
)
def test_impossible_numbers_do_not_break_a_page(full, shown, command, number):
    record = to_json(full_result(pipeline=command))
    change(full, "result.json", **replaced(record, number) | {"schema": record["schema"]})
    run = read(full)
    assert run.unread == []
    for text in (page.render(run), side_by_side.render([("A", run), ("B", run)])):
        Outline(text)
    assert "# run" in card.render(run)
    rewrite(full, **to_json(full_result()))


def test_a_full_result_has_a_card_and_a_page_beside_others(full, shown):
    run = read(full)
    text = card.render(run)
    for words in [
        "- freeze: up to block_12 (0.75 of the blocks, rounded to whole blocks)",
        "- search: 3 trials in 1 min 0 s",
        "| test | 153 | Log loss | 0.218 | – |",
        "| int8 | export/model_int8.tflite | 0.7 MB | 92.8% | 87.4 to 95.9 | 151 | 5.43 | ok |",
        "Calibration error 3.9% on 153 examples",
        "tl-keras finetune --config",
        "- device: x86_64",
    ]:
        assert words in text, words
    both = Outline(side_by_side.render([("A", run), ("B", run)])).words
    for words in [
        "153 test examples 153 test examples",
        "0.7 MB, 5.4 ms 92.8% of 151",
        "total 5 min 12 s",
        "5a1d",
    ]:
        assert words in both, words
