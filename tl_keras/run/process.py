"""The process around a run: its streams, its folders, global state that others may have set."""

import contextlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Of the libraries beneath us: a program that turns warnings into errors must not lose its run so.
THEIR_WARNINGS = (
    # KerasTuner 1.4.8 names threads as Python before 3.10 did.
    r"(currentThread|getName)\(\) is deprecated",
    # Keras 3.15 hands NumPy 2 an __array__ without `copy` when it writes weights.
    "__array__ implementation doesn't accept a copy keyword",
    # The converter itself uses the interpreter that TensorFlow deprecates
    # (https://github.com/tensorflow/tensorflow/issues/102071).
    r"\s+Warning. tf.lite.Interpreter is deprecated",
)


def open_streams() -> None:
    """Opens closed standard streams and escapes characters that their encoding lacks.

    Under a scheduler or pythonw they may be closed. The next file to be opened would then get
    stderr's number, and what TensorFlow's C++ parts log would be written into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest free number, which is this one.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):  # Not where a notebook has put one of its own.
            stream.reconfigure(errors="backslashreplace")


def is_watched() -> bool:
    """Whether somebody looks at stderr: only then are progress bars of use."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal or "ipykernel" in sys.modules


@contextmanager
def settled() -> Iterator[None]:
    """Sets the global state that results depend on to its defaults; puts it back at the end.

    A `keras.json` of an older project or the program that imports us may have set it. TensorFlow's
    thread settings and its global seed cannot be put back and are left alone.

    Raises:
      ValueError: TensorFlow is in a mode in which nothing here can run.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise ValueError(
            "tensorflow: eager execution is off, as after tf.compat.v1.disable_eager_execution() "
            "or inside a tf.function; expected a process in which it is on"
        )
    if tf.distribute.has_strategy():
        raise ValueError(
            "tensorflow: a tf.distribute strategy's scope is entered; expected a call outside of "
            "it: tl_keras chooses its devices itself"
        )
    config = keras.config
    states = (
        (config.floatx, config.set_floatx, "float32"),
        (config.epsilon, config.set_epsilon, 1e-7),
        (config.image_data_format, config.set_image_data_format, "channels_last"),
        (config.dtype_policy, config.set_dtype_policy, "float32"),
        (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly, False),
        (tf.config.optimizer.get_jit, tf.config.optimizer.set_jit, ""),
    )
    before = [get() for get, _, _ in states]  # All first: a policy may be derived from floatx.
    with contextlib.ExitStack() as restore:
        for (_, put, value), old in zip(states, before, strict=True):
            restore.callback(put, old)
            put(value)
        restore.callback(random.setstate, random.getstate())
        restore.callback(np.random.set_state, np.random.get_state())
        restore.enter_context(np.errstate(all="warn", under="ignore"))
        restore.callback(_remove_handlers, list(logging.root.handlers))
        restore.enter_context(warnings.catch_warnings())
        for message in THEIR_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def _remove_handlers(before: list[logging.Handler]) -> None:
    """Removes what absl adds to the root logger with its first line, where nobody has set up
    logging: a program's own `logging.basicConfig` would do nothing from then on."""
    for handler in list(logging.root.handlers):
        if handler not in before and type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)
