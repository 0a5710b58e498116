"""Prepares the process for a run: its standard streams and the global settings of libraries."""

import contextlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Warnings inside our dependencies. They are silenced because a program that turns warnings into
# errors would lose its run.
THEIR_WARNINGS = (
    # KerasTuner 1.4.8 uses the thread API of Python before 3.10.
    r"(currentThread|getName)\(\) is deprecated",
    # Keras 3.15 defines __array__ without `copy`, which NumPy 2 reports when weights are written.
    "__array__ implementation doesn't accept a copy keyword",
    # The converter itself uses the interpreter that TensorFlow deprecates
    # (https://github.com/tensorflow/tensorflow/issues/102071).
    r"\s+Warning. tf.lite.Interpreter is deprecated",
)


def open_streams() -> None:
    """Opens standard streams that are closed, and prevents errors from unencodable characters.

    stdout and stderr write characters that they cannot encode as escape sequences.

    A scheduler or pythonw may have closed the streams. The next file to be opened would then get
    the file descriptor of stderr, and the C++ logs of TensorFlow would end up in that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Gets the lowest free descriptor, which is `number`.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):  # The streams of a notebook cannot.
            stream.reconfigure(errors="backslashreplace")


def is_watched() -> bool:
    """Returns whether stderr is shown in a terminal or notebook, where progress bars are useful."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal or "ipykernel" in sys.modules


@contextmanager
def default_settings() -> Iterator[None]:
    """Resets global settings to their defaults inside the `with` block.

    Results depend on these settings of Keras, TensorFlow and NumPy. A `keras.json` or the calling
    program may have changed them. Their earlier values, and the random states of Python and NumPy,
    are restored after the block. The thread settings and the global seed of TensorFlow cannot be
    restored, so they stay as the block leaves them.

    Raises:
      ValueError: eager execution is off, or the scope of a `tf.distribute` strategy is active.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise ValueError(
            "tensorflow: eager execution is off, and tl_keras needs it; call tl_keras outside of "
            "tf.function and in a process without tf.compat.v1.disable_eager_execution()"
        )
    if tf.distribute.has_strategy():
        raise ValueError(
            "tensorflow: tl_keras chooses its devices itself; call tl_keras outside of the scope "
            "of a tf.distribute strategy"
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
    earlier = [
        get() for get, _, _ in states
    ]  # All are read first: a policy may be derived from floatx.
    with contextlib.ExitStack() as restore:
        for (_, put, value), old in zip(states, earlier, strict=True):
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


def _remove_handlers(kept: list[logging.Handler]) -> None:
    """Removes the handler that absl added to the root logger when it logged its first message.

    With that handler, a later `logging.basicConfig` of the calling program would have no effect.

    Args:
      kept: the handlers that were there before; they stay.
    """
    for handler in list(logging.root.handlers):
        if handler not in kept and type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)
