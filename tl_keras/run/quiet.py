"""Starts TensorFlow and keeps its C++ logs off the terminal unless something fails."""

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
    """Hides what the `with` block writes to the file descriptor of stderr, unless it raises.

    If the block raises an error, all of the hidden output is shown.

    C++ code writes to the descriptor directly, so a redirection of `sys.stderr` in Python does not
    catch its output. TF_CPP_MIN_LOG_LEVEL is not enough: TensorFlow logs some messages before it
    reads this variable.
    """
    if sys.stderr is None:  # Under pythonw or closed, nothing is shown anyway.
        yield
        return
    logger = logging.getLogger("absl")
    level = logger.level  # tf.saved_model.save (TensorFlow 2.21) changes it to WARNING.
    sys.stderr.flush()
    saved = os.dup(2)
    failed = False
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # Ctrl-C is not a failure.
            failed = True
            raise
        finally:
            logger.setLevel(level)
            sys.stderr.flush()  # Into `held`: Python's own output is held back, too.
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                held.seek(0)
                sys.stderr.write(held.read().decode(errors="replace"))


@contextmanager
def only_warnings() -> Iterator[None]:
    """Hides info logs inside the `with` block, such as those of one trial or one fold.

    The log of the whole run shows each trial or fold as one line.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def tensorflow_started() -> Iterator[None]:
    """Imports TensorFlow and Keras. Global settings have their defaults inside the `with` block.

    Every run starts here. `process.default_settings` lists the settings.

    Raises:
      ValueError: Keras already uses another backend in this process, eager execution is off, or
        the scope of a `tf.distribute` strategy is active.
    """
    before = os.environ.get("KERAS_BACKEND")
    try:
        start_tensorflow()
        with process.default_settings():
            yield
    finally:  # The calling program may start others, which inherit the environment.
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras, with TensorFlow as the backend of Keras, and hides their logs.

    Raises:
      ValueError: Keras already uses another backend in this process, or Keras cannot use the user's
        `keras.json`.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        warnings.warn(
            f"KERAS_BACKEND: tl_keras uses the backend 'tensorflow' instead of "
            f"{os.environ['KERAS_BACKEND']!r}",
            stacklevel=2,
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # The students of `parallel` share a GPU with the command that started them.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault(
        "TF_CPP_MIN_LOG_LEVEL", "3"
    )  # At 2, TensorFlow logs that there is no GPU.
    # Hides advice for programmers, such as about retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with quiet():
            import keras
            import tensorflow  # noqa: F401
    except (AttributeError, ImportError, ValueError) as error:
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        is_config = any(Path(file).parts[-2:] == ("backend", "config.py") for file in files)
        if not is_config and "NNX" not in str(error):  # Both errors come from keras.json.
            raise
        file = Path(os.environ.get("KERAS_HOME", "~/.keras"), "keras.json")
        raise ValueError(
            f"{str(file)!r}: Keras cannot use this file: {error}; correct or remove the file"
        ) from None
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND: Keras was already imported with the backend "
            f"{keras.backend.backend()!r}, but tl_keras needs 'tensorflow'; import tl_keras before "
            "keras, or set the environment variable KERAS_BACKEND=tensorflow"
        )
