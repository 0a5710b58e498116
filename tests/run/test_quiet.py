"""Claims on run/quiet.py: C++ output to stderr is held back, and shown if something fails."""

import io
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tl_keras.run.quiet import quiet, start_tensorflow


def test_holds_back_output_to_the_descriptor(capfd):
    os.write(2, b"before\n")
    with quiet():
        os.write(2, b"chatter of C++\n")
        subprocess.run(["sh", "-c", "echo chatter of a child >&2"], check=True)
        os.write(1, b"result\n")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("result\n", "before\nafter\n")


def test_shows_the_output_if_the_body_fails(capfd):
    with pytest.raises(ValueError), quiet():
        os.write(2, b"the cause \xff\n")
        raise ValueError
    os.write(2, b"after\n")
    shown = capfd.readouterr().err
    assert "the cause \N{REPLACEMENT CHARACTER}\n" in shown
    assert "after\n" in shown


def test_ctrl_c_is_not_a_failure(capfd):
    with pytest.raises(KeyboardInterrupt), quiet():
        os.write(2, b"chatter of C++\n")
        raise KeyboardInterrupt
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_nested_an_inner_failure_is_shown_though_the_outer_body_survives(capfd):
    with quiet():
        os.write(2, b"outer\n")
        with pytest.raises(ValueError), quiet():
            os.write(2, b"inner\n")
            raise ValueError
        with quiet():
            os.write(2, b"inner again\n")
        os.write(2, b"outer again\n")
    os.write(2, b"after\n")
    shown = capfd.readouterr().err
    assert "outer" not in shown and "again" not in shown and "after\n" in shown


def test_nested_failure_of_both_shows_both():
    """Runs in its own process: sys.stderr under pytest does not write to the descriptor."""
    code = """
import os
from tl_keras.run.quiet import quiet
with quiet():
    os.write(2, b"outer\\n")
    with quiet():
        os.write(2, b"inner\\n")
        raise ValueError("cause")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.startswith("outer\ninner\nTraceback")


def test_holds_back_unflushed_output_of_python():
    code = """
import sys
from tl_keras.run.quiet import quiet
sys.stderr.write("before ")
with quiet():
    sys.stderr.write("no line feed")
sys.stderr.write("after")
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, env=buffered)
    assert done.stderr == "before after"


def test_works_if_stderr_has_no_descriptor(monkeypatch, capfd):
    """As in a notebook, whose stderr is not a file."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(ValueError), quiet():
        os.write(2, b"the cause\n")
        raise ValueError
    assert stream.getvalue() == "the cause\n"
    assert capfd.readouterr().err == ""


def test_works_without_stderr():
    """As under pythonw, or if the calling program has closed it."""
    code = "from tl_keras.run.quiet import quiet\nwith quiet(): print('done')"
    command = 'exec "$0" -c "$1" 2>&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, code], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_log_lines_are_shown_as_before(monkeypatch):
    logger = logging.getLogger("absl")
    monkeypatch.setattr(logger, "level", logging.INFO)
    with quiet():
        logger.setLevel(logging.WARNING)
    assert logger.level == logging.INFO


def test_leaks_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with quiet():
            pass
        with pytest.raises(ValueError), quiet():
            raise ValueError
    assert len(os.listdir("/proc/self/fd")) == before


def test_keras_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace())
    with pytest.raises(ValueError, match="Keras was already imported with the backend 'jax'"):
        start_tensorflow()


def test_another_backend_in_the_environment_gives_a_warning(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace())
    with pytest.warns(UserWarning, match="uses the backend 'tensorflow' instead of 'torch'"):
        start_tensorflow()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
