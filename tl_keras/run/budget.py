"""Whether a run's search is at its end, and whether it has room for another trial."""

from collections.abc import Mapping
from typing import Any

from tl_keras.config.search import SearchConfig
from tl_keras.run.run import OVER, Run, read_json


def goes_on(run: Run) -> bool:
    """Whether there is to be a search of the run's own, and it is not at its end."""
    own = run.pipeline in ("finetune", "search")  # Others have searches in runs inside them.
    return own and run.config.search.wanted and not searched(run)


def searched(run: Run) -> bool:
    """Whether the search that the config asks for is done, and its best model promoted."""
    state, search = read_json(run.workdir / "search" / "state.json"), run.config.search
    if not state or state["promoted"] != len(state["records"]):
        return False
    return state["spent"] == [search.trials, search.minutes] or not has_budget(search, state)


def is_stale(run: Run) -> bool:
    """Whether the result is of fewer trials than were run since."""
    state, told = read_json(run.workdir / "search" / "state.json"), (run.result or {}).get("search")
    return bool(state and told) and len(told["trials"]) != len(state["records"])


def has_budget(config: SearchConfig, state: Mapping[str, Any]) -> bool:
    """Whether there is room for another trial; one that would likely end too late is not begun.

    Args:
      state: `records` of trials, and `seconds` of all sessions.
    """
    records = state["records"]
    if not records:
        return True
    if config.trials and len(records) >= config.trials:
        return False
    # Without the passes, which the first ones make for all; others train nothing.
    taken = [r["seconds"] - r.get("passes", 0.0) for r in records if _has_tuned(r)]
    ahead = sum(taken) / max(1, len(taken))
    return config.minutes is None or state["seconds"] + ahead < 60 * config.minutes


def _has_tuned(trial: Mapping[str, Any]) -> bool:
    """Whether a trial did more than train a head."""
    frozen = trial.get("depth", {}).get("share") == 1
    return trial["status"] != OVER and not trial.get("left_out") and not frozen
