"""Decides whether the search of a run is done, and whether its budget allows another trial."""

from collections.abc import Sequence

from tl_keras.config.search import SearchConfig
from tl_keras.run import search_state
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import OVER, Run


def goes_on(run: Run) -> bool:
    """Returns whether the run asks for a search that is not done yet."""
    # Other commands run their searches inside the folders of their folds or approaches.
    searches = run.pipeline in ("finetune", "search")
    return searches and run.config.search.wanted and not searched(run)


def searched(run: Run) -> bool:
    """Returns whether the search that the config asks for is done and its best model promoted."""
    state, search = search_state.read(run), run.config.search
    if not state.records or state.promoted != len(state.records):
        return False
    if state.spent == [search.trials, search.minutes]:
        return True
    return not has_budget(search, state.records, state.seconds)


def is_stale(run: Run) -> bool:
    """Returns whether more trials have run than `result.json` describes."""
    state, result = search_state.read(run), run.result
    if not state.records or not result or not result.search:
        return False
    return len(result.search.trials) != len(state.records)


def has_budget(config: SearchConfig, records: Sequence[TrialRecord], seconds: float) -> bool:
    """Returns whether the budget allows another trial that would likely end in time.

    Args:
      records: the trials so far.
      seconds: how long all sessions of the search took together.
    """
    if not records:
        return True
    if config.trials and len(records) >= config.trials:
        return False
    # Passes through the prefix do not count: later trials reuse their activations.
    durations = [r.seconds - (r.passes or 0.0) for r in records if _has_tuned(r)]
    expected = sum(durations) / max(1, len(durations))
    return config.minutes is None or seconds + expected < 60 * config.minutes


def _has_tuned(trial: TrialRecord) -> bool:
    """Returns whether a trial trained more than a head."""
    frozen = trial.depth is not None and trial.depth.share == 1
    return trial.status != OVER and not trial.left_out and not frozen
