"""What is printed of a run."""

import json
from pathlib import Path

from tl_keras import summary
from tl_keras.config import text as configs
from tl_keras.run.run import Run

ENTRY = {"bytes": 1_000_000, "latency_ms": None, "accuracy": 0.9, "status": "ok"}
FAILED = {"format": None, "status": "no file holds export.max_bytes 10"}


def exported(workdir: Path, *formats: str) -> Run:
    """A run of which int8 was rejected and nothing shipped, and which was exported again."""
    asked = {"data": {"source": "digits"}, "export": {"formats": list(formats)}}
    made = {"int8": {**ENTRY, "status": "loses 0.2"}, "onnx": ENTRY, "float32": ENTRY}
    (workdir / "result.json").write_text(json.dumps({"export": made, "shipped": FAILED}))
    return Run(workdir, configs.from_tree(asked), "finetune")


def test_an_export_is_not_blamed_for_files_of_before(tmp_path):
    run = exported(tmp_path, "onnx")
    made = summary.of_formats(run)
    assert summary.missed(made) == []
    told = summary.lines_of_export(run, made)
    assert told[0] == "1 exported" and told[1].startswith("onnx") and len(told) == 3


def test_what_was_asked_for_is_said_to_miss(tmp_path):
    missed = summary.missed(summary.of_formats(exported(tmp_path, "int8", "float32")))
    assert missed == ["int8: loses 0.2", f"model.tflite: {FAILED['status']}"]
