"""A second task works with the commands; the package knows only its row in `TASKS`.

The task predicts numbers with one linear output and squared error, see toy/numbers.py. More tests
of the task are in test_toy.py.
"""

import csv
import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from runs import changed

import tl_keras
from tl_keras import tasks
from tl_keras.config import text as configs

NUMBERS = {"task": "numbers"}


@pytest.fixture(scope="module", autouse=True)
def known():
    """Adds the task for these tests only; otherwise its metrics would appear in other messages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks.TASKS, "numbers", "toy.numbers")
        yield


@pytest.fixture(scope="module")
def numbers(quick) -> dict:
    """The config of a run of a few seconds, whose targets are the digits as numbers."""
    tree = {**quick, **NUMBERS, "data": {"source": "digits", "examples_per_class": 40}}
    formats = ["saved_model", "float32", "int8"]
    return changed(tree, fit={"epochs": 2, "batch_size": 32}, export={"formats": formats})


@pytest.fixture(scope="module")
def finished(numbers, tmp_path_factory):
    return tl_keras.finetune(numbers, tmp_path_factory.mktemp("runs") / "numbers")


def test_scores_of_the_task_are_in_result_and_report(finished):
    for split in ("val", "test"):
        assert {"error", "explained", "interval", "n"} == finished.result[split].keys()
    page = finished.report.read_text()
    assert "Squared error" in page and "Explained variance" in page
    assert (
        "Accuracy" not in page and "class" not in (finished.workdir / "MODEL_CARD.md").read_text()
    )


def test_predictions_have_the_columns_of_the_task(finished):
    with (finished.workdir / "predictions.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    assert rows[0].keys() == {"file", "split", "label", "prediction"}
    errors = [(float(row["label"]) - float(row["prediction"])) ** 2 for row in rows]
    assert np.mean(errors) == pytest.approx(finished.result["test"]["error"], rel=1e-4)


def test_exported_files_are_proved_and_name_the_output_of_the_task(finished):
    for name, entry in finished.result["export"].items():
        assert "error" in entry and "accuracy" not in entry, name
        assert entry["status"] == "ok" or name == "int8"
    interpreter = Interpreter(str(finished.workdir / "export" / "model_float32.tflite"))
    outputs = interpreter.get_signature_list()["serve"]["outputs"]
    assert outputs == ["number"]
    assert not (finished.workdir / "export" / "labels.txt").exists()


def test_numbers_are_distributed_evenly_over_the_splits(finished):
    with (finished.workdir / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for split in ("val", "test"):
        labels = [float(row["label"]) for row in rows if row["split"] == split]
        assert 3.5 < np.mean(labels) < 5.5


def test_predict_returns_a_number(finished):
    (row,) = tl_keras.predict(finished, np.zeros((8, 8, 3), np.uint8))
    assert row.keys() == {"file", "prediction"} and isinstance(row["prediction"], float)


@pytest.mark.parametrize("name", tasks.NOT_BUILT)
def test_planned_tasks_are_refused(name):
    with pytest.raises(
        ValueError, match=f"task: '{name}' is not implemented yet; expected 'classif"
    ):
        configs.from_tree({"task": name, "data": {"source": "digits"}})


def test_unknown_task_is_refused_with_the_most_similar_one():
    with pytest.raises(ValueError, match="task: expected .*received 'clasification'; did you mean"):
        configs.from_tree({"task": "clasification", "data": {"source": "digits"}})


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"search": {"objective": "accuracy"}}, "search.objective: expected one of error, expl"),
        (
            {"fit": {"choose_by": "log_loss"}},
            "fit.choose_by: expected one of squared_error for the ",
        ),
        (
            {"export": {"abstain": 0.9}},
            "export.abstain: not available for the task numbers; expected null",
        ),
    ],
)
def test_values_of_another_task_are_refused(sections, expected):
    with pytest.raises(ValueError, match=expected):
        configs.from_tree({**NUMBERS, "data": {"source": "digits"}, **sections})


def test_defaults_depend_on_the_task():
    config = configs.from_tree({**NUMBERS, "data": {"source": "digits"}})
    assert (config.search.objective, config.fit.choose_by) == ("error", "squared_error")
    plain = configs.from_tree({"data": {"source": "digits"}})
    assert (plain.search.objective, plain.fit.choose_by) == ("log_loss", "log_loss")
    assert plain.task == json.loads(plain.model_dump_json())["task"] == "classification"
