"""Writes the metrics of each epoch to `metrics.jsonl` and `tensorboard/`."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from tl_keras.run.files import write_text

Records = list[dict[str, Any]]


@contextmanager
def publisher(workdir: Path, earlier: Records) -> Iterator[Callable[[Records], None]]:
    """Yields a function that writes records to `metrics.jsonl` and to TensorBoard.

    The function takes all records of the current stage, such as `finetune`. A resumed run writes
    both again from the start, so that no epoch appears twice.

    Args:
      earlier: records of earlier stages, such as `head`, which come first in `metrics.jsonl`.
    """
    shutil.rmtree(workdir / "tensorboard", ignore_errors=True)
    writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
    written = 0

    def publish(records: Records) -> None:
        nonlocal written
        everything = [*earlier, *records]
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in everything]
        write_text(workdir / "metrics.jsonl", "".join(lines))
        with writer.as_default():
            for record in everything[written:]:
                _write_scalars(record)
        writer.flush()
        written = len(everything)

    with closing(writer):
        yield publish


def _write_scalars(record: dict[str, Any]) -> None:
    for name, value in record.items():
        if name not in ("stage", "epoch"):
            tf.summary.scalar(f"{record['stage']}/{name}", value, step=record["epoch"])
