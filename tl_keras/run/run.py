"""A run: a config and a folder; what it has done so far."""

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
from tl_keras.run import marks
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.part import Maybe
from tl_keras.run.result.whole import SCHEMA, Result, build, parse, to_json

DONE, DIVERGED, OVER = "done", "diverged", "over the limit"  # What becomes of a trial.
OF_A_MODEL = ("finetune", "search", "cross_validate", "parallel", "pretrain")  # Commands.
OF_ALL_SESSIONS = ("backbones", "features")  # Parts of the record to which each session adds.


@dataclass(frozen=True)
class Run:
    """A run folder and its config. What the files hold: "The run folder" in the README.

    Attributes:
      workdir: the folder.
      config: the whole config.
      pipeline: the command that made it, as in `finetune`.
      began: when this session of it did, as `time.monotonic` has it.
    """

    workdir: Path
    config: RunConfig
    pipeline: str
    began: float = field(default_factory=time.monotonic, compare=False)

    @property
    def result(self) -> Maybe[Result]:
        """The run's `result.json`; None while the run is not finished.

        Raises:
          ValueError: the file is damaged.
        """
        return read_result(self.workdir, self.config.task)

    @property
    def report(self) -> Path:
        """The report page."""
        return self.workdir / "report.html"

    @property
    def checkpoint(self) -> Path:
        """The folder that a killed run goes on from; gone when the run is finished."""
        return self.workdir / "checkpoint"

    @property
    def record(self) -> dict[str, Any]:
        """The parts of `result.json` that are known so far."""
        return read_json(self.checkpoint / "record.json") or {}

    def add(self, **parts: Any) -> None:
        """Adds parts to the record; a part that is a dict is joined with what it holds already."""
        record = self.record
        for name, value in to_json(parts).items():
            old = record.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                value = {**old, **value}
            record[name] = value
        write_json(self.checkpoint / "record.json", record)

    def carry(self, *parts: str) -> None:
        """Copies parts of the earlier result, and its seconds, into the record of a finished run
        that is continued."""
        earlier = self.result
        if not earlier or "seconds" in self.record:  # Killed since, it has them.
            return
        seconds = {name: value for name, value in earlier.seconds.items() if name != "total"}
        self.add(**{name: earlier[name] for name in parts if name in earlier}, seconds=seconds)

    def begin_inside(self) -> "Run":
        """Marks the folder of a run inside a run, before anything is written there; the run."""
        marks.put(self.workdir, "run")
        return self

    def find(self, **parts: Any) -> None:
        """Adds parts to `findings.json`: what people should look at in the data."""
        write_json(self.workdir / "findings.json", {**self.findings, **parts})

    @property
    def findings(self) -> dict[str, Any]:
        """What `findings.json` holds; empty where there is none."""
        return read_json(self.workdir / "findings.json") or {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the body's seconds to the record's `seconds`, unless it raises or is killed; those
        of phases inside it are theirs alone."""
        before, started = sum(self.record.get("seconds", {}).values()), time.monotonic()
        yield
        now = self.record.get("seconds", {})
        taken = time.monotonic() - started - (sum(now.values()) - before)
        self.add(seconds={phase: round(now.get(phase, 0.0) + taken, 3)})

    def outcome(self, **parts: Any) -> Result:
        """Builds the run's result from its record and from parts, by their names in
        `result.json`."""
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
        """Writes `result.json`, whose presence means done, and removes the checkpoint."""
        # The config last: where exports were made again, it says that theirs are its tolerances.
        write_json(self.workdir / "result.json", to_json(result))
        config = self.config
        if result.export is not None:
            export = config.export.model_copy(update={"formats": tuple(result.export)})
            config = config.model_copy(update={"export": export})
        write_text(self.workdir / "config.yaml", configs.to_yaml(config))
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def read_result(workdir: Path, task: str) -> Result | None:
    """What `result.json` of a run's folder holds; None if there is no such file.

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
        raise ValueError(f"{str(file)!r} is damaged: {wrong[0]}; remove it to go on")
    return result


def read_json(file: Path) -> dict[str, Any] | None:
    """What a JSON file of a run holds; None if there is no such file.

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
        raise ValueError(f"{str(file)!r} is damaged; remove it to go on")
    return value
