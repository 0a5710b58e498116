"""Keeps the chatter of TensorFlow's C++ parts off the terminal, unless something fails."""

import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tl_keras.run import process


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back what is written to the process's stderr; shows it if the body fails.

    C++ writes to the file descriptor, so that Python's own redirection does not reach it, and
    TF_CPP_MIN_LOG_LEVEL does not silence what is logged before TensorFlow has read it.
    """
    if sys.stderr is None:  # Under pythonw, or closed: nothing is shown anyway.
        yield
        return
    logger = logging.getLogger("absl")
    level = logger.level  # tf.saved_model.save (2.21) leaves it at warnings.
    sys.stderr.flush()
    saved = os.dup(2)
    failed = False
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # Ctrl-C is no failure.
            failed = True
            raise
        finally:
            logger.setLevel(level)
            sys.stderr.flush()  # What the body wrote through Python is held, too.
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))


@contextmanager
def only_warnings() -> Iterator[None]:
    """Leaves out what a trial or a fold says of its plan and epochs: a table has a line of it."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def tensorflow_started() -> Iterator[None]:
    """Imports TensorFlow and Keras, quietly; global settings have their defaults until the end.

    Every run starts here. `process.settled` lists the settings.

    Raises:
      ValueError: Keras already runs on another backend in this process, or TensorFlow is in a mode
        in which nothing here can run.
    """
    before = os.environ.get("KERAS_BACKEND")
    try:
        start_tensorflow()
        with process.settled():
            yield
    finally:  # For the programs that this one may start.
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras on it, quietly.

    Raises:
      ValueError: Keras already runs on another backend in this process, or cannot use the user's
        `keras.json`.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        warnings.warn(
            f"KERAS_BACKEND: {os.environ['KERAS_BACKEND']!r} was asked for; tl_keras runs on "
            "tensorflow and uses it",
            stacklevel=2,
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # Students of parallel training share a GPU with the command that started them.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 2 would show that there is no GPU.
    # Advice to programmers, such as on retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with quiet():
            import keras
            import tensorflow  # noqa: F401
    except (AttributeError, ImportError, ValueError) as error:
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        read = any(Path(file).parts[-2:] == ("backend", "config.py") for file in files)
        if not read and "NNX" not in str(error):  # Both are what keras.json asks for.
            raise
        file = Path(os.environ.get("KERAS_HOME", "~/.keras"), "keras.json")
        raise ValueError(
            f"{str(file)!r}: Keras cannot use this file: {error}; correct or remove it"
        ) from None
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND: Keras was imported with {keras.backend.backend()!r} before; tl_keras "
            "needs 'tensorflow': import tl_keras first, or set the variable"
        )
