"""Claims on run/process.py and __main__.py: streams, child processes and global state."""

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import absl.logging
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageFile

from tl_keras.config.cache import CacheConfig
from tl_keras.data import check_files, store
from tl_keras.jobs import child as child_process
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.run import process
from tl_keras.run.progress import progress

posix = pytest.mark.skipif(os.name == "nt", reason="the shell is a POSIX one")
TL = [sys.executable, "-m", "tl_keras"]
CHECKOUT = str(Path(__file__).parents[2])


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs a shell command, in which `$TL` is the program."""
    own = {"TL": " ".join(TL), **environment}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True
    )


@pytest.fixture
def hijacker(tmp_path) -> Path:
    """A folder with modules that must not be imported: each import would leave a file."""
    for name in ("random", "json", "csv", "absl", "numpy", "tempfile", "typing", "pathlib"):
        (tmp_path / f"{name}.py").write_text("open('hijacked', 'w').close()\nraise SystemExit(9)")
    return tmp_path


# Streams.


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_make_a_command_fail(closed, tmp_path):
    assert shell(f"$TL --version {closed}", tmp_path).returncode == 0
    assert shell(f"$TL schema --zzz {closed}", tmp_path).returncode == 2


@posix
def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path):
    code = """
import os
from tl_keras.run.process import open_streams
open_streams()
with open("result.json", "w") as file:
    os.write(2, b"what C++ logs")
    print(file.fileno() > 2, file=file)
"""
    (tmp_path / "code.py").write_text(code)
    assert shell(f"{sys.executable} code.py 2>&- >&- <&-", tmp_path).returncode == 0
    assert (tmp_path / "result.json").read_text() == "True\n"


@posix
def test_characters_that_the_encoding_lacks_are_escaped(tmp_path):
    for encoding in ("ascii", "cp1252:strict"):
        done = shell("$TL cache --cache_path=熊", tmp_path, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, "")
        assert r"\u718a" in done.stdout


def test_bars_are_shown_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress([1, 2], "audit", unit=" files")) == [1, 2]
    assert "audit" in capsys.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress([1, 2], "audit")) == [1, 2]
    assert list(progress([1, 2], "audit", silent=True)) == [1, 2]
    assert capsys.readouterr().err == ""


def test_bars_are_hidden_without_a_terminal(monkeypatch, capsys):
    assert list(progress([1, 2], "audit")) == [1, 2]
    monkeypatch.setattr(sys, "stderr", None)
    with progress(None, "audit", 3) as bar:
        bar.update(3)
    assert not process.is_watched()
    assert capsys.readouterr().err == ""


@posix
def test_a_missing_current_folder_gives_one_message(tmp_path):
    done = shell("mkdir gone; cd gone; rmdir ../gone; $TL cache", tmp_path, PYTHONPATH=CHECKOUT)
    assert done.returncode == 2
    assert "the current folder does not exist any more" in done.stderr


# Child processes and `python -m`.


@posix
def test_python_m_does_the_same_as_the_command(hijacker):
    done = shell("$TL --version", hijacker)
    assert done.returncode == 0 and done.stdout.startswith("tl-keras ")
    assert "expected a YAML file" in shell("$TL finetune", hijacker).stderr
    assert not (hijacker / "hijacked").exists()


def child(folder: Path, *arguments: str, **environment: str) -> str:
    """Returns the output of a child that is started in a folder."""
    with (folder / "log.txt").open("w+", encoding="utf-8") as log:
        child_process.start(arguments, log, environment).wait()
        log.seek(0)
        return log.read()


@posix
@pytest.mark.parametrize("first", ["", ".", None])
def test_a_child_imports_nothing_from_the_current_folder(first, hijacker, monkeypatch):
    monkeypatch.chdir(hijacker)
    monkeypatch.setattr(sys, "path", [str(hijacker) if first is None else first, *sys.path])
    monkeypatch.setenv("PYTHONPATH", f":{hijacker}:.")
    assert child(hijacker, "finetune").startswith("tl-keras: --config: expected a YAML file")
    assert not (hijacker / "hijacked").exists()


def test_a_child_has_the_import_path_of_its_parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere/else"])
    assert child_process.import_path() == [*filter(os.path.isabs, sys.path)]
    # The current folder is a checkout that is not installed. It comes last and shadows nothing.
    monkeypatch.setattr(sys, "path", ["", "/python", "/site-packages"])
    monkeypatch.chdir(CHECKOUT)
    assert child_process.import_path() == ["/python", "/site-packages", CHECKOUT]


# Global state.

STATES = {
    "floatx": (keras.config.floatx, keras.config.set_floatx, "float16", "float32"),
    "epsilon": (keras.config.epsilon, keras.config.set_epsilon, 1e-3, 1e-7),
    "image_data_format": (
        keras.config.image_data_format,
        keras.config.set_image_data_format,
        *("channels_first", "channels_last"),
    ),
    "dtype_policy": (
        lambda: keras.config.dtype_policy().name,
        keras.config.set_dtype_policy,
        *("mixed_bfloat16", "float32"),
    ),
    "jit": (tf.config.optimizer.get_jit, tf.config.optimizer.set_jit, "autoclustering", ""),
    "eagerly": (
        tf.config.functions_run_eagerly,
        tf.config.run_functions_eagerly,
        *(True, False),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_global_state_is_set_and_restored(name):
    get, put, theirs, ours = STATES[name]
    put(theirs)
    try:
        with process.default_settings():
            assert get() == ours
        assert get() == theirs
        with pytest.raises(KeyError), process.default_settings():
            raise KeyError
        assert get() == theirs
    finally:
        put(ours)


def test_random_states_and_errors_of_numpy_are_restored():
    random.seed(3)
    np.random.seed(3)
    expected = random.getstate(), np.random.get_state()[1].tolist()
    with np.errstate(all="raise"):
        with process.default_settings():
            keras.utils.set_random_seed(5)
            assert np.geterr()["over"] == "warn" and np.geterr()["under"] == "ignore"
        assert set(np.geterr().values()) == {"raise"}
    assert (random.getstate(), np.random.get_state()[1].tolist()) == expected


def test_unusable_modes_of_tensorflow_are_refused():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="eager execution is off"):
        with process.default_settings():
            pass
    strategy = tf.distribute.OneDeviceStrategy("CPU")
    with strategy.scope(), pytest.raises(ValueError, match="chooses its devices itself"):
        with process.default_settings():
            pass


def test_truncated_images_are_bad_even_if_pillow_is_set_to_load_them(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    Image.fromarray(noise).quantize().save(tmp_path / "x.gif")
    (tmp_path / "x.gif").write_bytes((tmp_path / "x.gif").read_bytes()[:1500])
    (tmp_path / "x.jpg").write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = check_files.check_all(
        tmp_path, ["x.jpg", "x.gif"], ImageConfig(max_pixels=10**6), tmp_path / "memory"
    )
    assert all(own.reason.startswith("truncated or damaged") for own in found.values())
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_keras_json_of_an_older_project_changes_nothing(tmp_path):
    (tmp_path / "keras.json").write_text(
        '{"image_data_format": "channels_first", "floatx": "float16", "backend": "theano"}'
    )
    code = """
import keras
from tl_keras.run.quiet import tensorflow_started
with tensorflow_started():
    print(keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name)
"""
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "tensorflow"}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["float32", "channels_last", "float32"]


def test_an_invalid_keras_json_is_named(tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float8"}')
    code = "from tl_keras.run.quiet import start_tensorflow; start_tensorflow()"
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    expected = f"'{tmp_path}/keras.json': Keras cannot use this file: Invalid `floatx`"
    assert expected in done.stderr.splitlines()[-1]


def test_runs_work_with_deterministic_operators():
    """Runs in its own process, because deterministic operators cannot be switched off again."""
    code = """
import keras, numpy as np, tensorflow as tf
from tl_keras.training.network import prefixes
tf.config.experimental.enable_op_determinism()
inputs = keras.Input((4,))
model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
tensors, stamps = prefixes._all_outputs(model)(tf.zeros((2, 4)))
print(tensors[0].shape, float(stamps[0]) > 1e9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(2, 3) True\n", done.stderr


def test_logging_of_the_calling_program_is_unchanged(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    with process.default_settings():
        absl.logging.warning("the first line of absl sets up logging")
        assert logging.root.handlers
    assert logging.root.handlers == []


# No home folder, no writable folder.


def test_a_missing_home_folder_names_the_setting(monkeypatch):
    monkeypatch.setattr(store.platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/tl_keras")
    with pytest.raises(
        ValueError, match=r"cache\.path: .* which this user does not have; .*XDG_CACHE_HOME"
    ):
        store.folder(CacheConfig())


def test_an_unwritable_cache_names_the_setting(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / ("x" * 300)):
        with pytest.raises(ValueError, match=r"cache\.path: .* cannot be written: .*--set cache"):
            store.subfolder(CacheConfig(path=str(path)), store.ARRAYS)
