"""Reads and writes the state of a search, `search/state.json`."""

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
    """The state of a search, written after each step, so that a killed search can continue.

    Attributes:
      records: the trials so far, in order.
      oracle: the state of the KerasTuner oracle, which proposes the trials; see `tuner.state`.
      seconds: the duration of all sessions (starts of the command), including their start-up time.
      spent: the budget `[trials, minutes]` with which the search last ended; None if it has not
        ended yet.
      promoted: the number of trials at the time when the best trial's model was last copied to the
        run folder.
      measured: the size and latency of the exported file, by architecture.
    """

    records: list[TrialRecord] = field(default_factory=list)
    oracle: dict[str, Any] | None = None
    seconds: float = 0.0
    spent: list[Any] | None = None
    promoted: int = 0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def read(run: Run) -> SearchState:
    """Returns the state that an earlier session wrote, or an empty state if there is none.

    Raises:
      ValueError: the file is damaged.
    """
    file = state_file(run)
    if not file.exists():
        return SearchState()
    state = read_json(file) or {}
    try:
        records = [TrialRecord.model_validate(record) for record in state.pop("records")]
        return SearchState(records, **state)
    except (ValidationError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{str(file)!r} is damaged: {reason}; restore the file, or choose another --workdir"
        ) from None


def write(run: Run, state: SearchState) -> None:
    """Writes the state of a search to `search/state.json`."""
    write_json(state_file(run), to_json(vars(state)))


def state_file(run: Run) -> Path:
    """Returns the path of `search/state.json` of a run."""
    return run.workdir / "search" / "state.json"
