"""What is printed of a run."""

from pathlib import Path

from handmade import exported, write_result

from tl_keras import summary
from tl_keras.config import text as configs
from tl_keras.run.result.exports import Shipped
from tl_keras.run.run import Run

FAILED = Shipped(format=None, status="no file holds export.max_bytes 10")


def exported_again(workdir: Path, *formats: str) -> Run:
    """A run of which int8 was rejected and nothing shipped, and which was exported again."""
    asked = {"data": {"source": "digits"}, "export": {"formats": list(formats)}}
    made = {name: exported(name) for name in ("onnx", "float32")}
    write_result(
        workdir, export={"int8": exported("int8", status="loses 0.2"), **made}, shipped=FAILED
    )
    return Run(workdir, configs.from_tree(asked), "finetune")


def test_an_export_is_not_blamed_for_files_of_before(tmp_path):
    run = exported_again(tmp_path, "onnx")
    made = summary.of_formats(run)
    assert summary.missed(made) == []
    told = summary.lines_of_export(run, made)
    assert told[0] == "1 exported" and told[1].startswith("onnx") and len(told) == 3


def test_what_was_asked_for_is_said_to_miss(tmp_path):
    missed = summary.missed(summary.of_formats(exported_again(tmp_path, "int8", "float32")))
    assert missed == ["int8: loses 0.2", f"model.tflite: {FAILED.status}"]
