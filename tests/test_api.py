"""Claims on tl_keras/__init__.py: nothing at import, three forms of config, errors for users."""

import subprocess
import sys
from pathlib import Path

import pytest

import tl_keras
from tl_keras.config import text as configs
from tl_keras.run import marks
from tl_keras.run.files import write_json

TREE = {"data": {"source": "digits"}, "fit": {"epochs": 3}}


def python(code: str, *arguments: Path, **environment: str) -> str:
    """What a process of its own prints."""
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
    """A finished run, written by hand."""
    marks.put(tmp_path / "run", "run")
    (tmp_path / "run" / "config.yaml").write_text(configs.to_yaml(configs.from_tree(TREE)))
    write_json(tmp_path / "run" / "result.json", {"pipeline": "finetune", "kept": "mix"})
    return tmp_path / "run"


def test_import_imports_nothing_heavy():
    code = "import sys, tl_keras; print(*sys.modules)"
    assert not {"tensorflow", "keras", "pydantic", "numpy"} & set(python(code).split())


def test_public_names_are_there():
    for name in tl_keras.__all__:
        assert getattr(tl_keras, name)
    assert tl_keras.__version__[0].isdigit()


@pytest.mark.parametrize("form", ["dict", "file", "text", "RunConfig"])
def test_finetune_takes_a_config_in_each_form(form, workdir, tmp_path):
    (tmp_path / "some.yaml").write_text("data: {source: digits}\nfit: {epochs: 3}\n")
    config = {
        "dict": TREE,
        "file": tmp_path / "some.yaml",
        "text": str(tmp_path / "some.yaml"),
        "RunConfig": configs.from_tree(TREE),
    }[form]
    run = tl_keras.finetune(config, workdir)
    assert run.result["kept"] == "mix"
    assert run.config == configs.from_tree(TREE)
    assert run.report == workdir / "report.html"


def test_config_is_not_changed(workdir):
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
def test_errors_are_value_errors(config, expected, workdir):
    with pytest.raises(ValueError) as caught:
        tl_keras.finetune(config, workdir)
    assert expected in str(caught.value)
    with pytest.raises(ValueError, match="was made by finetune, not by pretrain"):
        tl_keras.pretrain(TREE, workdir)


def test_missing_data_are_found_before_tensorflow_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("tl_keras.run.quiet.start_tensorflow", lambda: pytest.fail("it started"))
    with pytest.raises(ValueError, match=r"data\.path: expected .* does not exist"):
        tl_keras.finetune({"data": {"path": tmp_path / "lost"}}, tmp_path / "run")


def test_load(workdir):
    assert tl_keras.load(workdir).result["kept"] == "mix"
    with pytest.raises(ValueError, match="is no run folder"):
        tl_keras.load(workdir.parent)


def test_another_backend_is_overruled():
    """In a process of its own, since a process has one backend."""
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
        "KERAS_BACKEND: 'jax' was asked for; tl_keras runs on tensorflow and uses it",
    ]


def test_predict_wants_a_finished_run(workdir):
    (workdir / "result.json").unlink()
    with pytest.raises(ValueError, match="is not finished; finish it first"):
        tl_keras.predict(workdir, [])
