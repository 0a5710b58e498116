"""Whether a run's search is at its end, and whether it has room for another trial."""

from collections.abc import Sequence

from tl_keras.config.search import SearchConfig
from tl_keras.run import search_state
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import OVER, Run


def goes_on(run: Run) -> bool:
    """Whether there is to be a search of the run's own, and it is not at its end."""
    own = run.pipeline in ("finetune", "search")  # Others have searches in runs inside them.
    return own and run.config.search.wanted and not searched(run)


def searched(run: Run) -> bool:
    """Whether the search that the config asks for is done, and its best model promoted."""
    state, search = search_state.read(run), run.config.search
    if not state.records or state.promoted != len(state.records):
        return False
    if state.spent == [search.trials, search.minutes]:
        return True
    return not has_budget(search, state.records, state.seconds)


def is_stale(run: Run) -> bool:
    """Whether the result is of fewer trials than were run since."""
    state, result = search_state.read(run), run.result
    if not state.records or not result or not result.search:
        return False
    return len(result.search.trials) != len(state.records)


def has_budget(config: SearchConfig, records: Sequence[TrialRecord], seconds: float) -> bool:
    """Whether there is room for another trial; one that would likely end too late is not begun.

    Args:
      records: of the trials that were run.
      seconds: of all sessions of the search.
    """
    if not records:
        return True
    if config.trials and len(records) >= config.trials:
        return False
    # Without the passes, which the first ones make for all; others train nothing.
    taken = [r.seconds - (r.passes or 0.0) for r in records if _has_tuned(r)]
    ahead = sum(taken) / max(1, len(taken))
    return config.minutes is None or seconds + ahead < 60 * config.minutes


def _has_tuned(trial: TrialRecord) -> bool:
    """Whether a trial did more than train a head."""
    frozen = trial.depth is not None and trial.depth.share == 1
    return trial.status != OVER and not trial.left_out and not frozen
