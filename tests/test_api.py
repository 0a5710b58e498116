"""The Python API: import without heavy libraries, all forms of a config, errors for users."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import exported, write_result

import tl_keras
from tl_keras.config import text as configs
from tl_keras.run import marks
from tl_keras.run.result.whole import to_json

TREE = {"data": {"source": "digits"}, "fit": {"epochs": 3}}


def python(code: str, *arguments: Path, **environment: str) -> str:
    """Runs code in its own process and returns what it prints."""
    done = subprocess.run(
        ["env", *(f"{name}={value}" for name, value in environment.items()), sys.executable]
        + ["-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def workdir(tmp_path) -> Path:
    """The folder of a finished run, written by hand."""
    marks.put(tmp_path / "run", "run")
    (tmp_path / "run" / "config.yaml").write_text(configs.to_yaml(configs.from_tree(TREE)))
    formats = configs.from_tree(TREE).export.formats
    write_result(tmp_path / "run", export={name: exported(name) for name in formats})
    return tmp_path / "run"


def test_importing_the_package_imports_no_heavy_library():
    code = "import sys, tl_keras; print(*sys.modules)"
    assert not {"tensorflow", "keras", "pydantic", "numpy"} & set(python(code).split())


def test_public_names_exist():
    for name in tl_keras.__all__:
        assert getattr(tl_keras, name)
    assert tl_keras.__version__[0].isdigit()


@pytest.mark.parametrize("form", ["dict", "file", "text", "RunConfig"])
def test_finetune_accepts_each_form_of_a_config(form, workdir, tmp_path):
    (tmp_path / "some.yaml").write_text("data: {source: digits}\nfit: {epochs: 3}\n")
    config = {
        "dict": TREE,
        "file": tmp_path / "some.yaml",
        "text": str(tmp_path / "some.yaml"),
        "RunConfig": configs.from_tree(TREE),
    }[form]
    run = tl_keras.finetune(config, workdir)
    assert run.result["model"]["kept"] == "mix"
    assert run.config == configs.from_tree(TREE)
    assert run.report == workdir / "report.html"


def test_finetune_does_not_change_the_config(workdir):
    tree = {"data": {"source": "digits"}, "fit": {"epochs": 3}}
    tl_keras.finetune(tree, workdir)
    assert tree == TREE


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "data.path: expected a folder of class folders; received none"),
        ({"fit": {"epoch": 3}}, "fit.epoch: no such field; did you mean 'epochs'?"),
        ({**TREE, "seed": 1}, "made with another config: seed: 0 in the workdir, 1 now"),
        ("lost.yaml", "'lost.yaml' does not exist"),
    ],
)
def test_user_errors_are_value_errors(config, expected, workdir):
    with pytest.raises(ValueError) as caught:
        tl_keras.finetune(config, workdir)
    assert expected in str(caught.value)
    with pytest.raises(ValueError, match="was made by the command 'finetune', not by 'pretrain'"):
        tl_keras.pretrain(TREE, workdir)


def test_missing_data_are_found_before_tensorflow_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("tl_keras.run.quiet.start_tensorflow", lambda: pytest.fail("it started"))
    with pytest.raises(ValueError, match=r"data\.path: expected .* does not exist"):
        tl_keras.finetune({"data": {"path": tmp_path / "lost"}}, tmp_path / "run")


def test_load(workdir):
    assert tl_keras.load(workdir).result["model"]["kept"] == "mix"
    with pytest.raises(ValueError, match="is not a run folder"):
        tl_keras.load(workdir.parent)


def test_another_keras_backend_is_replaced_with_a_warning():
    """Runs in its own process, because a process has one backend."""
    code = """
import warnings
from tl_keras.run.quiet import start_tensorflow
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    start_tensorflow()
import keras
print(keras.backend.backend())
print(*(entry.message for entry in seen if "KERAS_BACKEND" in str(entry.message)))
"""
    assert python(code, KERAS_BACKEND="jax").splitlines() == [
        "tensorflow",
        "KERAS_BACKEND: tl_keras uses the backend 'tensorflow' instead of 'jax'",
    ]


def test_predict_refuses_an_unfinished_run(workdir):
    (workdir / "result.json").unlink()
    with pytest.raises(ValueError, match="is not finished; finish it first"):
        tl_keras.predict(workdir, [])


def test_importing_subpackages_does_not_hide_the_functions():
    """Some functions have the name of a subpackage, which Python would set as an attribute."""
    code = """
import tl_keras
import tl_keras.export.formats, tl_keras.report.pages.page, tl_keras.search
from tl_keras.search import __path__
print([name for name in tl_keras.__all__[1:] if not callable(getattr(tl_keras, name))])
"""
    assert python(code) == "[]\n"


def test_functions_refuse_an_unfinished_run(workdir):
    (workdir / "result.json").unlink()
    for use in (tl_keras.evaluate, tl_keras.predict, tl_keras.export):
        with pytest.raises(ValueError, match="is not finished; finish it first"):
            use(workdir, {}) if use is not tl_keras.evaluate else use(workdir)


def test_audit_writes_findings_but_no_result(pictures, tmp_path):
    config = {"data": {"path": str(pictures)}, "cache": {"path": str(tmp_path / "cache")}}
    run = tl_keras.audit(config, tmp_path / "run")
    assert "rare" in run.findings and run.result is None
    assert run.report.is_file()


def test_evaluate_accepts_other_data_and_renamed_classes(finished_run, pictures, tmp_path):
    assert tl_keras.evaluate(finished_run) == to_json(finished_run.result.test)
    assert tl_keras.evaluate(finished_run.workdir, pictures)["n"] == 72
    named = tl_keras.evaluate(finished_run, pictures, {"disc": "square"})
    assert named["classes"].keys() == {"cross", "square"}
    with pytest.raises(ValueError, match="classes: needs a data set whose classes it can"):
        tl_keras.evaluate(finished_run, classes={"disc": "square"})
    with pytest.raises(ValueError, match="is neither a folder nor a CSV file; expected a folder"):
        tl_keras.evaluate(finished_run, tmp_path / "lost")


def test_export_adds_formats_to_a_finished_run(finished_run, tmp_path):
    shutil.copytree(finished_run.workdir, tmp_path / "run")
    (tmp_path / "run" / "export" / "model_float16.tflite").unlink()
    run = tl_keras.export(tmp_path / "run", {"formats": ["float16"]})
    assert (run.workdir / "export" / "model_float16.tflite").is_file()
    assert run.result["export"].keys() == finished_run.result["export"].keys()
    with pytest.raises(ValueError, match=r"export\.format: no such field"):
        tl_keras.export(run, {"format": ["int8"]})


def test_report_covers_one_run_or_several(finished_run, tmp_path):
    shutil.copytree(finished_run.workdir, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    assert tl_keras.report(tmp_path / "run").read_bytes()
    page = tl_keras.report([finished_run, tmp_path / "run"], tmp_path / "page.html")
    assert page == tmp_path / "page.html" and page.is_file()
    for wrong in ([finished_run, tmp_path / "run"], None), (finished_run, page):
        with pytest.raises(ValueError, match="output: expected the path of the page"):
            tl_keras.report(*wrong)


def test_quickstart_runs_the_embedded_config(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("tl_keras.launch.launch", lambda *arguments: seen.append(arguments))
    tl_keras.quickstart(tmp_path / "run")
    ((command, config, workdir),) = seen
    assert (command, workdir) == ("finetune", tmp_path / "run")
    assert config == configs.of_quickstart()


def test_quickstart_of_texts_has_a_folder_of_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr("tl_keras.launch.launch", lambda *arguments: seen.append(arguments))
    tl_keras.quickstart()
    tl_keras.quickstart(modality="text")
    (_, images, first), (_, texts, second) = seen
    assert (str(first), str(second)) == ("runs/quickstart", "runs/quickstart_text")
    assert (images.modality, texts.modality) == ("image", "text")
    assert texts == configs.of_quickstart(modality="text") != images
    with pytest.raises(ValueError, match="--modality: expected 'image' or 'text'; received 'txet'"):
        tl_keras.quickstart(modality="txet")
