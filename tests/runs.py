"""Helpers for tests of whole runs: configs, files that a run wrote, and ways to kill a run."""

import copy
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from handmade import exported, scores, write_result

from tl_keras.config import text as configs
from tl_keras.run import marks
from tl_keras.run.result.exports import Latency


def changed(tree: dict, **sections: dict) -> dict:
    """Returns a copy of a config with other values in some sections."""
    tree = copy.deepcopy(tree)
    for section, values in sections.items():
        tree[section] = {**tree.get(section, {}), **values}
    return tree


FEW = {"formats": ["float32"]}


def epochs_of(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def weights_of(workdir) -> list[np.ndarray]:
    import keras  # Here, because tests of the command line must not import Keras.

    return keras.models.load_model(workdir / "model.keras").get_weights()


def assert_same_weights(first, second):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(a, b)


class Killed(BaseException):
    """Replaces a real kill in tests for which a real one would be too slow."""


def rows(workdir) -> list[dict]:
    with (workdir / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def answers(workdir, split: str) -> dict[str, list[float]]:
    return {
        row["file"]: [float(row[name]) for name in row if name.startswith("p:")]
        for row in rows(workdir)
        if row["split"] == split
    }


def shoot(command: str, tree: dict, workdir: Path, when: Path) -> None:
    """Runs a command in its own process, and kills it with SIGKILL once the file `when` exists."""
    file = workdir.with_suffix(".yaml")
    file.write_text(configs.to_yaml(configs.from_tree(tree)))
    line = [sys.executable, "-m", "tl_keras", command, f"--config={file}"]
    line.append(f"--workdir={workdir}")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not when.exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"


def make_run(workdir: Path, pipeline="finetune", status: str | None = "ok", **sections) -> Path:
    """Writes the folder of a finished run by hand; without a status it has no exports."""
    config = configs.from_tree({"data": {"source": "digits"}, **sections})
    entry = exported("model.tflite", 1_000_000, accuracy=0.93, latency_ms=Latency(median=3.1))
    entries = {**dict.fromkeys(config.export.formats, entry)}
    entries["int8"] = entry.model_copy(update={"status": status})
    write_result(
        workdir,
        pipeline=pipeline,
        seconds={"total": 12.3},
        val=scores(100, accuracy=0.94, interval=[0.89, 0.97]),
        test=scores(100, accuracy=0.91, interval=[0.89, 0.97]),
        export=entries if status else None,
        shipped=None,
    )
    marks.put(workdir, "run")
    (workdir / "config.yaml").write_text(configs.to_yaml(config))
    (workdir / "report.html").write_text("the report")
    return workdir


@contextmanager
def other_process(begin: str, act: str, cwd: Path | None = None) -> Iterator[Callable[[Any], None]]:
    """Yields a function that sends a value to another Python process, which stays for the next one.

    The function raises AssertionError if `act` raises anything.

    Args:
      begin: code that the process runs once.
      act: code that the process runs for each value, as `given`; its names are gone afterwards.
    """
    code = f"{begin}\nact = {act!r}\n{_EACH}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], cwd=cwd, **pipes, text=True) as process:

        def send(value: Any) -> None:
            print(json.dumps(value), file=process.stdin, flush=True)
            fault = next((line for line in process.stdout if line.startswith("fault: ")), None)
            assert fault == "fault: null\n", fault

        yield send
        process.stdin.close()


_EACH = """
import json, sys, traceback
for line in sys.stdin:
    try:
        exec(act, {**globals(), "given": json.loads(line)})
        fault = None
    except BaseException:
        fault = traceback.format_exc()
    print("fault:", json.dumps(fault), flush=True)
"""
