"""All commands work with another modality, another task, and a backbone that rereads its input.

The package itself mentions none of them.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy.backbone import BLOCKS

TESTS = Path(__file__).parent
TASKS = ("classification", "numbers")
MAIN = {"classification": "accuracy", "numbers": "error"}


def environment() -> dict[str, str]:
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("toy")


@pytest.fixture(scope="module")
def results(folder):
    line = [sys.executable, "-m", "toy.runs", str(folder)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_package_does_not_mention_the_toy_parts():
    import tl_keras

    for file in Path(tl_keras.__file__).parent.rglob("*.py"):
        assert not re.search(r"\btoy\b|ToyGated|\"rows\"|\"numbers\"", file.read_text()), file


@pytest.mark.parametrize("task", TASKS)
def test_finetune_trains_measures_exports_and_reports(results, task):
    result = results[task]["finetune"]
    assert result["task"] == task
    assert result["model"]["backbone"] == "ToyGated" and result["model"]["block"] == "gate1"
    for split in ("val", "test"):
        assert result[split]["n"] > 10 and MAIN[task] in result[split]
    for name, entry in result["export"].items():
        assert entry["status"] == "ok", (name, entry["status"])
        assert entry["agreement"] > 0.8
    assert result["shipped"]["format"] in ("float32", "int8")
    report = results[task]["finetune report"]
    assert "ToyGated" in report and "Exports" in report


@pytest.mark.parametrize("task", TASKS)
def test_search_varies_the_freeze_depth_by_blocks(results, task):
    search = results[task]["search"]["search"]
    assert len(search["trials"]) == 3 and search["best"]
    shares = {trial["values"]["fit.freeze"] for trial in search["trials"]}
    assert shares <= {i / BLOCKS["ToyGated"] for i in range(BLOCKS["ToyGated"] + 1)}
    assert len(shares) > 1


def test_search_minimises_the_error(results):
    search = results["numbers"]["search"]["search"]
    records = search["trials"]
    best = next(r for r in records if r["trial"] == search["best"])
    assert best["error"] == min(record["error"] for record in records)
    assert best["score"] == -best["error"]
    curve = [error for _, error in search["curve"]]
    assert curve == sorted(curve, reverse=True)
    assert "Squared error" in results["numbers"]["search report"]


@pytest.mark.parametrize("task", TASKS)
def test_every_example_is_held_out_by_a_fold(results, task):
    result = results[task]["cross_validate"]
    assert len(result["folds"]) == 2
    assert result["val"]["n"] == result["data"]["train"]
    assert result["export"]["int8"]["status"] == "ok"


def test_cross_validation_has_the_scores_of_the_task(results):
    result = results["numbers"]["cross_validate"]
    assert result["cross_validation"]["scores"].keys() == {"error", "explained"}
    assert result["val"]["n"] == sum(fold["n"] for fold in result["folds"])
    assert "squared error over 2 folds is" in results["numbers"]["cross_validate report"]


def test_audit_without_classes_has_no_findings_about_classes(results):
    findings = results["numbers"]["audit"]
    assert findings["rare"] == [] and "not compared" in findings["suspects_note"]


def test_damaged_file_is_quarantined_and_labels_are_compared(results, folder):
    data = json.loads((folder / "classification" / "audit" / "data.json").read_text())
    ((bad),) = data["quarantined"]
    assert bad["file"] == "kind 0/bad.txt" and "not a row of numbers" in bad["reason"]
    assert "suspects" in results["classification"]["audit"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("command", ["finetune", "search", "cross_validate"])
def test_report_uses_the_words_of_modality_and_task(results, task, command):
    page, _, _ = results[task][f"{command} report"].partition("<h2>Config")
    text = re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "Squared error" in text if task == "numbers" else "Accuracy" in text
    foreign_words = r"images?|pictures?|photos?|pixels?"
    foreign_words += r"|class(es)?|accurac(y|ies)|logistic" if task == "numbers" else ""
    assert not re.findall(rf"\b(?:{foreign_words})\b", text, re.IGNORECASE)


@pytest.mark.parametrize("task", TASKS)
def test_model_card_uses_the_words_of_modality_and_task(results, folder, task):
    card = (folder / task / "finetune" / "MODEL_CARD.md").read_text()
    assert f"pipeline_tag: rows-{'to-number' if task == 'numbers' else task}" in card
    assert " training rows" in card and not re.search(r"\b(image|picture)", card)


def test_killed_run_resumes_to_equal_predictions(results, folder):
    """Kills `python -m toy finetune` with SIGKILL, and runs the same command again."""
    tree = json.loads((folder / "classification.json").read_text())
    (folder / "killed.yaml").write_text(json.dumps(tree))
    workdir = folder / "killed"
    line = [sys.executable, "-m", "toy", "finetune"]
    line += [f"--config={folder / 'killed.yaml'}", f"--workdir={workdir}"]
    quiet = {"env": environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line, **quiet)
    while process.poll() is None and not (workdir / "metrics.jsonl").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    assert subprocess.run(line, **quiet).returncode == 0
    uninterrupted = folder / "classification" / "finetune" / "predictions.csv"
    assert (workdir / "predictions.csv").read_bytes() == uninterrupted.read_bytes()
