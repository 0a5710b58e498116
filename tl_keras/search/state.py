"""What a search knows, as it stands in `search/state.json`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tl_keras.run.run import Run

Record = dict[str, Any]  # Of a trial, as `search.trials` of result.json has it.


@dataclass
class SearchState:
    """What a search knows; written after each step, so that a killed one goes on.

    Attributes:
      records: of the trials that were run, in order.
      oracle: what KerasTuner knows, see `tuner.state`.
      seconds: of all sessions, their starts included.
      spent: trials and minutes that a search came to the end of; None while it goes on.
      promoted: how many trials there were when the best one's model became the run's.
      measured: by architecture, size and latency of the exported file.
    """

    records: list[Record] = field(default_factory=list)
    oracle: dict[str, Any] | None = None
    seconds: float = 0.0
    spent: list[Any] | None = None
    promoted: int = 0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def state_file(run: Run) -> Path:
    """Where a search keeps its state."""
    return run.workdir / "search" / "state.json"
