"""Claims on approaches/audit.py and approaches/dry_run.py: their output and their files."""

import json
import shutil

import pytest
from listed import assert_listed
from PIL import Image
from shapes import draw

import tl_keras
from tl_keras import cli, summary
from tl_keras.approaches import audit, dry_run
from tl_keras.config import text as configs
from tl_keras.config.fit import FitConfig


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """Pictures with a broken file, a wrong label and a recompressed copy of a test image."""
    folder = draw(tmp_path_factory.mktemp("dirty"), 24)
    (folder / "disc" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "cross" / "0.png").rename(folder / "square" / "cross.png")
    return folder


@pytest.fixture(scope="module")
def config(dirty, tree):
    data = {**tree["data"], "path": str(dirty)}
    return configs.from_tree({**tree, "data": data, "fit": {}})


@pytest.fixture(scope="module")
def audited(config, tmp_path_factory):
    return audit.run(config, tmp_path_factory.mktemp("runs") / "audited")


def test_audit_writes_its_findings_and_a_report(audited):
    names = {path.name for path in audited.workdir.iterdir()}
    assert names >= {"data.json", "findings.json", "report.html", "config.yaml"}
    assert not names & {"model.keras", "result.json", "export", "checkpoint"}
    assert_listed(audited)
    page = audited.report.read_text(encoding="utf-8")
    assert "72 images in 3 classes" in page and "disc/broken.png" in page


def test_audit_lists_bad_files_and_compares_labels(audited):
    data = json.loads((audited.workdir / "data.json").read_text())
    (entry,) = data["quarantined"]
    assert entry["file"] == "disc/broken.png"
    assert {name: sum(own.values()) for name, own in data["answers"].items()} == {
        name: len(files) for name, files in data["splits"].items()
    }
    assert sum(own["disc"] for own in data["answers"].values()) == 24
    assert {"suspects", "rare", "sizes", "brightness", "near_duplicates"} <= set(audited.findings)
    lines = "\n".join(summary.lines_of_audit(audited))
    assert "72 images in 3 classes, 1 file left out" in lines
    judge = audited.findings["suspects_judge"]
    assert judge["n"] == 72 and judge["agreement"] > 0.5
    agrees = f"the model that checked the labels agrees with {judge['agreement']:.1%} of 72 labels"
    assert f"that may be wrong; {agrees}" in lines
    assert "\nnext: train with cross-validation. With only 72 pictures, the command" in lines
    assert lines.splitlines()[-1].startswith("  tl-keras cross_validate --data=")


def test_doubts_of_a_judge_near_chance_are_not_counted(audited, monkeypatch):
    poor = {**audited.findings["suspects_judge"], "agreement": 0.34}
    doubted = {**audited.findings, "suspects": [{}] * 3, "suspects_judge": poor}
    monkeypatch.setattr(type(audited), "findings", doubted)
    lines = "\n".join(summary.lines_of_audit(audited))
    assert "3 of 72 labels were doubted, but the doubts are not listed here" in lines
    assert "that may be wrong" not in lines


def test_audit_names_the_reasons_against_training(tree, tmp_path):
    folder = draw(tmp_path / "one", 6)
    for name in ("cross", "square"):
        shutil.rmtree(folder / name)
    for i in range(9):
        (folder / "disc" / f"bad{i}.png").write_bytes(b"nothing")
    config = configs.from_tree({**tree, "data": {**tree["data"], "path": str(folder)}})
    found = audit.run(config, tmp_path / "audit")
    warnings = json.loads((found.workdir / "data.json").read_text())["warnings"]
    assert any("has one class" in warning for warning in warnings)
    assert any("9 of 15 files cannot be used" in warning for warning in warnings)
    page = found.report.read_text(encoding="utf-8")
    assert "Repair the data, then audit them again." in page and "tl-keras finetune" not in page
    assert "next:" not in "\n".join(summary.lines_of_audit(found))
    with pytest.raises(ValueError, match="data.max_bad_share"):
        tl_keras.finetune(config, tmp_path / "run")


def test_audit_without_weights_says_that_labels_were_not_compared(config, tmp_path, monkeypatch):
    def unavailable(*_):
        raise ValueError("model.weights: the weights are not available: no network")

    monkeypatch.setattr(audit.models, "pretrained", unavailable)
    found = audit.run(config, tmp_path / "audit")
    assert found.findings["suspects"] == []
    assert "no network" in found.findings["suspects_note"]
    assert "no network" in "\n".join(summary.lines_of_audit(found))


def test_audit_can_be_repeated_in_its_folder(config, audited):
    before = audited.findings
    assert audit.run(config, audited.workdir).findings == before


def test_a_run_also_measures_test_without_near_duplicates(quick, tmp_path):
    folder = tmp_path / "copies"
    draw(folder / "train", 10)
    draw(folder / "val", 4, seed=1)
    draw(folder / "test", 4, seed=2)
    copied = folder / "test" / "square" / "copy.jpg"  # The model takes it for a disc.
    Image.open(folder / "train" / "disc" / "3.png").save(copied, quality=95)
    data = {**quick["data"], "path": str(folder)}
    export = {"formats": ["float32"]}
    run = tl_keras.finetune({**quick, "data": data, "export": export}, tmp_path / "run")
    (pair,) = run.findings["near_duplicates"]
    assert pair["files"] == ["train/disc/3.png", "test/square/copy.jpg"]
    without = run.findings["without_near_duplicates"]
    assert (without["split"], without["n"], without["removed"]) == ("test", 12, 1)
    assert without["accuracy"] > run.result["test"]["accuracy"]


def test_dry_run_describes_the_run_and_writes_nothing(config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(configs.to_yaml(config))
    assert cli.main(["finetune", f"--config={file}", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "data: 3 classes; 36 train, 18 val, 18 test images" in said
    assert "'disc/broken.png' is left out: truncated or damaged" in said
    assert "model: MobileNet" in said and "frozen up to" in said
    assert "time: about" in said and "finetune" in said
    assert "disk: run folder" in said
    assert (
        "advice: With only 72 images, the command finetune measures the model on 18 of them" in said
    )
    assert said.splitlines()[-1].startswith("  tl-keras cross_validate --data=")
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml"}


@pytest.mark.parametrize(
    "fit, phases",
    [({"freeze": 1.0}, {"features"}), ({"freeze": 0.0}, {"features", "finetune"})],
)
def test_dry_run_times_the_phases_of_the_run(config, fit, phases):
    config = config.model_copy(update={"fit": FitConfig(**fit)})
    (line,) = [line for line in dry_run.estimate(config) if line.startswith("time")]
    assert {
        phase for phase in ("features", "finetune") if f"{phase} " in line.split(";")[0]
    } == phases


@pytest.mark.parametrize(
    ("num_formats", "num_weights", "measured"),
    [(5, 2_260_000, 10), (4, 22_600_000, 29), (3, 23_600_000, 24)],
)
def test_the_time_of_an_export_grows_with_the_model(num_formats, num_weights, measured):
    estimated = dry_run._export(num_formats, num_weights, answers=0)
    # The estimate is one line through few measurements of processor time.
    assert estimated == pytest.approx(measured, rel=0.15)


def test_dry_run_raises_the_errors_of_a_run(config):
    config = config.model_copy(update={"fit": FitConfig(freeze="no_layer")})
    with pytest.raises(ValueError, match="no_layer"):
        dry_run.estimate(config)
