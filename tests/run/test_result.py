"""Claims on result.json: its content, what is refused on writing, what is left out on reading."""

import json
import pickle

import pytest
from handmade import exported, result, scores
from handmade_search import lost, searched, trial
from pydantic import ValidationError

from tl_keras.run.result import whole
from tl_keras.run.result.exports import Exported
from tl_keras.run.result.whole import build, parse, to_json

TASK = "classification"


def values() -> dict:
    """Returns a result as it is after writing and reading its file."""
    made = result(search=searched(trial(0, 0.5, 5), trial(1, 1.0, 7), lost(2, "diverged")))
    return json.loads(json.dumps(to_json(made)))


def read(**changed) -> tuple[whole.Result, list[str]]:
    return parse(values() | changed, TASK)


def test_reading_gives_the_result_that_was_written():
    assert parse(values(), TASK) == (build(values()), [])


def test_missing_parts_are_not_written():
    assert "repair" not in to_json(exported("file"))
    assert "undecided" not in exported("file") and exported("file").undecided is None
    assert to_json(exported("file", latency_ms=None))["latency_ms"] is None


def test_a_part_reads_as_a_dict():
    made = result()
    assert made["schema"] == made.version == 2
    assert made["test"]["accuracy"] == made.test.accuracy
    assert made.get("folds") is None and "folds" not in made and "val" in made
    with pytest.raises(KeyError, match="folds"):
        made["folds"]
    assert {**scores()}.keys() == to_json(scores()).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [("acuracy", 0.9), ("bytes", "many"), ("status", None), ("interval", [0.1]), ("n", 1.5)],
)
def test_undeclared_values_are_refused(name, value):
    with pytest.raises(ValidationError):
        Exported(**to_json(exported("file")) | {name: value})


def test_a_result_of_a_command_is_checked():
    with pytest.raises(ValidationError, match="kept"):
        build(values() | {"chosen": {"temperature": 1.0, "epochs": 3}})


def test_measures_are_checked_by_the_task():
    assert exported("file", log_loss=0.3)["log_loss"] == 0.3
    with pytest.raises(ValidationError, match="unknown measure 'luck'"):
        exported("file", luck=0.3)


def test_invalid_parts_are_left_out_and_named():
    found, wrong = read(device=5, val={"accuracy": 0.5})
    assert found.device is None and found.val is None and found.test is not None
    assert [line.partition(":")[0] for line in wrong] == [
        *("val.interval", "val.balanced_accuracy", "val.macro_f1", "val.log_loss"),
        *("val.calibration_error", "val.n", "val.classes", "val.confusion", "device"),
    ]


def test_invalid_trials_are_left_out_of_a_search():
    search = values()["search"]
    search["trials"][0] |= {"score": "high"}
    search["trials"][2] |= {"elapsed": None, "kept": 3}
    search["curve"].append([1.0])
    found, wrong = read(search=search)
    assert [record.trial for record in found.search.trials] == ["trial_001", "trial_002"]
    assert found.search.trials[1].kept is None and len(found.search.curve) == 2
    assert any(line.startswith("search.trials.0.score: ") for line in wrong)


@pytest.mark.parametrize("odd", [None, [], {}, "text", -1, 1e300, True, [None], {"a": {}}])
def test_any_json_can_be_read(odd):
    for name in whole.Result.model_fields:
        found, _ = read(**{"schema" if name == "version" else name: odd})
        assert found.task == TASK
    assert parse({}, TASK)[0].pipeline == ""


def test_fields_of_a_later_version_are_ignored():
    for mood in (3.0, "x", {"a": [1]}, None, True):
        found, wrong = read(weather="fine", test=to_json(scores(77)) | {"mood": mood}, schema=3)
        assert not wrong and found.test == scores(77)


@pytest.mark.parametrize("odd", [[0.9], "high", {}, True])
def test_a_measure_is_a_number(odd):
    entry = to_json(exported("file")) | {"accuracy": odd}
    found, wrong = read(export={"int8": entry})
    assert "accuracy" not in found.export["int8"] and "export.int8" in wrong[0]


def test_names_that_are_not_unicode_are_left_out():
    found, wrong = read(**{"\ud800": 1})
    assert found.test == result().test and len(wrong) == 1


def test_a_result_can_be_pickled():
    assert pickle.loads(pickle.dumps(result())) == result()


def test_a_result_of_the_first_version_is_read():
    first = values() | {"schema": 1}
    del first["task"]
    found, wrong = parse(first, TASK)
    assert (found.version, found.task, wrong) == (1, TASK, [])


def test_the_schema_has_every_part():
    definitions = whole.schema()["$defs"]
    for name in ("Scores", "ClassScores", "TrialRecord", "Exported", "FileLoss", "Round"):
        assert name in definitions
    assert definitions["FileLoss"]["required"] == [
        *("lost", "interval", "agreement", "moved", "n", "on"),
    ]
