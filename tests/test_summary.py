"""Claims on the summary that a command prints at the end of a run."""

from pathlib import Path

import pytest
from handmade import candidate, exported, write_result

from tl_keras import summary
from tl_keras.config import text as configs
from tl_keras.report.read import read
from tl_keras.report.sections import provenance
from tl_keras.run.result.exports import Latency, Shipped
from tl_keras.run.result.training import ModelRecord
from tl_keras.run.run import Run

FAILED = Shipped(format=None, status="no file holds export.max_bytes 10")


def exported_again(workdir: Path, *formats: str) -> Run:
    """Returns a run that shipped nothing because int8 failed, and was then exported again."""
    asked = {"data": {"source": "digits"}, "export": {"formats": list(formats)}}
    made = {name: exported(name) for name in ("onnx", "float32")}
    write_result(
        workdir, export={"int8": exported("int8", status="loses 0.2"), **made}, shipped=FAILED
    )
    return Run(workdir, configs.from_tree(asked), "finetune")


def test_export_reports_only_the_formats_it_was_asked_for(tmp_path):
    run = exported_again(tmp_path, "onnx")
    made = summary.of_formats(run)
    assert summary.missed(made) == []
    told = summary.lines_of_export(run, made)
    assert told[0] == "exported 1 format" and told[1].startswith("onnx") and len(told) == 3


def test_summary_says_which_file_is_rejected_and_why_nothing_is_shipped(tmp_path):
    run = exported_again(tmp_path, "int8", "float32")
    lines = summary.lines_of_export(run, summary.of_formats(run))
    (rejected,) = [line for line in lines if line.startswith("int8")]
    assert rejected.endswith("; REJECTED: loses 0.2")
    assert "to ship       nothing: no file holds export.max_bytes 10" in lines
    assert not any("REJECTED" in line for line in lines if line.startswith("float32"))


def test_export_reports_the_tolerances_that_its_formats_miss(tmp_path):
    missed = summary.missed(summary.of_formats(exported_again(tmp_path, "int8", "float32")))
    assert missed == ["int8: loses 0.2", f"model.tflite: {FAILED.status}"]


def test_a_long_note_of_an_audit_is_printed_without_its_advice():
    why = "labels were not compared: model.weights: URL fetch failure"
    advice = "without a network, download this file elsewhere and save it as /x/y" * 3
    note = f"{why} on https://x.y/z.safetensors: no route to host; {advice}"
    assert summary._suspects({"suspects_note": note}) == (
        f"  {why}: no route to host; the report says what to do"
    )
    assert summary._suspects({"suspects_note": "too few; add some"}) == "  too few; add some"


@pytest.mark.parametrize(
    ("kept", "candidates", "text"),
    [
        ("finetuned", ("head", "finetuned"), "nothing frozen, kept: the fine-tuned weights"),
        ("head", ("head",), "all frozen, kept: the head-only model"),
        (
            "head",
            ("head", "mix", "finetuned"),
            "all frozen, kept: the head-only model (fine-tuning was not clearly better on "
            "validation)",
        ),
    ],
)
def test_summary_explains_which_weights_are_kept(tmp_path, kept, candidates, text):
    standing = {name: candidate() for name in candidates}
    model = ModelRecord(backbone="MobileNet", cut=None, kept=kept, candidates=standing)
    write_result(tmp_path, model=model)
    run = Run(tmp_path, configs.from_tree({"data": {"source": "digits"}}), "finetune")
    assert f"model         MobileNet, {text}" in summary.lines(run)


@pytest.mark.parametrize(
    ("pipeline", "kept", "text"),
    [
        ("parallel", "average", "the average of the weights of all student models"),
        ("cross_validate", "average", "the average of the weights of all fold models"),
        ("parallel", "ensemble", "all student models, whose probabilities are averaged"),
        ("parallel", "segment_3", "the student model of segment 3"),
    ],
)
def test_summary_says_whose_weights_are_averaged(tmp_path, pipeline, kept, text):
    write_result(tmp_path, pipeline=pipeline, model=ModelRecord(backbone="MobileNet", kept=kept))
    run = Run(tmp_path, configs.from_tree({"data": {"source": "digits"}}), pipeline)
    assert f"model         MobileNet, nothing frozen, kept: {text}" in summary.lines(run)
    assert provenance.described(read(tmp_path))["kept"] == text


def test_short_latencies_keep_two_digits(tmp_path):
    made = exported("float32", latency_ms=Latency(median=0.0213, p95=0.03, least=0.02, threads=1))
    write_result(tmp_path, export={"float32": made})
    run = Run(tmp_path, configs.from_tree({"data": {"source": "digits"}}), "finetune")
    (line,) = [line for line in summary.lines(run) if line.startswith("float32")]
    assert ", 0.021 ms an image on one thread" in line
