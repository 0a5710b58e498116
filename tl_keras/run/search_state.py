"""What a search knows, as it stands in `search/state.json`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tl_keras.run.files import write_json
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run, read_json


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

    records: list[TrialRecord] = field(default_factory=list)
    oracle: dict[str, Any] | None = None
    seconds: float = 0.0
    spent: list[Any] | None = None
    promoted: int = 0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def read(run: Run) -> SearchState:
    """What an earlier session of a search left; a new state if there was none."""
    file = state_file(run)
    if not file.exists():
        return SearchState()
    found = read_json(file)
    try:
        records = [TrialRecord.model_validate(record) for record in found.pop("records")]
        return SearchState(records, **found)
    except (ValidationError, KeyError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(
            f"{str(file)!r} is damaged: {why}; restore it, or choose another --workdir"
        ) from None


def write(run: Run, state: SearchState) -> None:
    """Writes what a search knows."""
    write_json(state_file(run), to_json(vars(state)))


def state_file(run: Run) -> Path:
    """Where a search keeps its state."""
    return run.workdir / "search" / "state.json"
