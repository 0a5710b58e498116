"""Represents a run, which is a config and a folder, and records its progress in the folder."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.maybe import Maybe
from tl_keras.run import marks
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.whole import SCHEMA, Result, build, parse, to_json

DONE, DIVERGED, OVER = "done", "diverged", "over the limit"  # Statuses of a trial.
# Commands that train a model.
OF_A_MODEL = ("finetune", "search", "cross_validate", "parallel", "pretrain")
OF_ALL_SESSIONS = ("backbones", "features")  # Parts of the record that each session extends.


@dataclass(frozen=True)
class Run:
    """A run folder and its config. docs/reference/run_folder.md lists the files.

    Attributes:
      workdir: the run folder.
      config: the whole config.
      pipeline: the command that made the run, such as `finetune`. For a run inside a run, its kind,
        such as `fold` or `trial`.
      began: the time at which this session (start of the command) began, in seconds of
        `time.monotonic`.
    """

    workdir: Path
    config: RunConfig
    pipeline: str
    began: float = field(default_factory=time.monotonic, compare=False)

    @property
    def result(self) -> Maybe[Result]:
        """The content of `result.json`, or None while the run is not finished.

        Raises:
          ValueError: the file is damaged.
        """
        return read_result(self.workdir, self.config.task)

    @property
    def report(self) -> Path:
        """The path of the HTML report."""
        return self.workdir / "report.html"

    @property
    def checkpoint(self) -> Path:
        """The folder from which a killed run continues. It is removed when the run is finished."""
        return self.workdir / "checkpoint"

    @property
    def record(self) -> dict[str, Any]:
        """The parts of `result.json` that are known so far, from `checkpoint/record.json`."""
        return read_json(self.checkpoint / "record.json") or {}

    def add(self, **parts: Any) -> None:
        """Adds parts of `result.json` to the record in `checkpoint/record.json`.

        A part that was recorded before is replaced; if both values are dicts, they are merged.

        Args:
          parts: values by their names in `result.json`.
        """
        record = self.record
        for name, value in to_json(parts).items():
            old = record.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                value = {**old, **value}
            record[name] = value
        write_json(self.checkpoint / "record.json", record)

    def carry(self, *parts: str) -> None:
        """Copies `seconds` and the named parts of `result.json` into the record.

        A finished run that is continued, for example with more trials, adds to these values.

        Args:
          parts: names of parts of `result.json`.
        """
        earlier = self.result
        if not earlier or "seconds" in self.record:  # A killed session has already copied them.
            return
        seconds = {name: value for name, value in earlier.seconds.items() if name != "total"}
        self.add(**{name: earlier[name] for name in parts if name in earlier}, seconds=seconds)

    def begin_inside(self) -> "Run":
        """Creates the folder of a run inside a run, and marks it as a run folder; returns the run.

        Called before anything else is written there.
        """
        marks.put(self.workdir, "run")
        return self

    def find(self, **parts: Any) -> None:
        """Adds findings to `findings.json`, which lists what people should check in the data.

        Args:
          parts: findings by their names in the file.
        """
        write_json(self.workdir / "findings.json", {**self.findings, **parts})

    @property
    def findings(self) -> dict[str, Any]:
        """The content of `findings.json`; empty if the file does not exist."""
        return read_json(self.workdir / "findings.json") or {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the duration of the `with` block to the entry of a phase in the record's `seconds`.

        If other phases are timed inside the block, their durations are subtracted. If the block
        raises, nothing is added.
        """
        before, started = sum(self.record.get("seconds", {}).values()), time.monotonic()
        yield
        seconds = self.record.get("seconds", {})
        inner = sum(seconds.values()) - before
        duration = time.monotonic() - started - inner
        self.add(seconds={phase: round(seconds.get(phase, 0.0) + duration, 3)})

    def outcome(self, **parts: Any) -> Result:
        """Builds the result of the run from its record and from further parts.

        Args:
          parts: values by their names in `result.json`; they replace recorded ones.
        """
        record = self.record
        seconds = record.pop("seconds", {})
        return build(
            {
                "schema": SCHEMA,
                "task": self.config.task,
                "pipeline": self.pipeline,
                "seed": self.config.seed,
                "seconds": {"total": round(sum(seconds.values()), 3), **seconds},
                **record,
                **parts,
            }
        )

    def finish(self, result: Result) -> None:
        """Writes `result.json`, which marks the run as finished, and removes the checkpoint."""
        # The config comes last: its tolerances must be those of the exports in `result.json`.
        write_json(self.workdir / "result.json", to_json(result))
        config = self.config
        if result.export is not None:
            export = config.export.model_copy(update={"formats": tuple(result.export)})
            config = config.model_copy(update={"export": export})
        write_text(self.workdir / "config.yaml", configs.to_yaml(config))
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def read_result(workdir: Path, task: str) -> Maybe[Result]:
    """Returns the content of `result.json` in a run folder, or None if the file does not exist.

    Raises:
      ValueError: the file is damaged.
    """
    file = workdir / "result.json"
    values = read_json(file)
    if values is None:
        return None
    result, wrong = parse(values, task)
    if not wrong and result.pipeline in OF_A_MODEL:
        needed = {"model": result.model, "seconds.total": result.seconds.get("total")}
        wrong = [f"{name}: missing" for name, value in needed.items() if value is None]
    if wrong:
        raise ValueError(
            f"{str(file)!r} is damaged: {wrong[0]}; remove the file to continue the run"
        )
    return result


def read_json(file: Path) -> dict[str, Any] | None:
    """Returns the content of a JSON file of a run, or None if the file does not exist.

    Raises:
      ValueError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{str(file)!r} is damaged; remove the file to continue the run")
    return value
