"""Decides whether a search is finished, and whether its budget allows another trial.

The budget is `search.trials` and `search.minutes` of the config.
"""

from collections.abc import Sequence

from tl_keras.config.search import SearchConfig
from tl_keras.run import search_state
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import OVER, Run


def has_unfinished_search(run: Run) -> bool:
    """Returns True if the config asks for a search, and the run's search is not finished."""
    # Other commands run their searches inside the folders of their folds or approaches.
    searches = run.pipeline in ("finetune", "search")
    return searches and run.config.search.wanted and not _is_search_finished(run)


def _is_search_finished(run: Run) -> bool:
    """Returns True if no trial is left to run and the run's model is that of the best trial."""
    state, search = search_state.read(run), run.config.search
    if not state.records or state.promoted != len(state.records):
        return False
    if state.spent == [search.trials, search.minutes]:
        return True
    return not has_budget(search, state.records, state.seconds)


def is_stale(run: Run) -> bool:
    """Returns whether the search has run trials since `result.json` was written."""
    state, result = search_state.read(run), run.result
    if not state.records or not result or not result.search:
        return False
    return len(result.search.trials) != len(state.records)


def has_budget(config: SearchConfig, records: Sequence[TrialRecord], seconds: float) -> bool:
    """Returns whether the search may begin another trial.

    The first trial may always begin. Another trial may begin only if fewer than `config.trials`
    trials were run, and if the duration of the search so far plus the expected duration of a trial
    is below `config.minutes`. A budget that is not set does not limit the search. The expected
    duration is the mean duration of the trials that trained more than the head, without the time
    to compute activations.

    Args:
      records: the trials so far.
      seconds: duration of the search so far, over all sessions (starts of the command).
    """
    if not records:
        return True
    if config.trials and len(records) >= config.trials:
        return False
    # The time to compute activations does not count, because later trials reuse them.
    durations = [r.seconds - (r.passes or 0.0) for r in records if _has_tuned(r)]
    expected = sum(durations) / max(1, len(durations))
    return config.minutes is None or seconds + expected < 60 * config.minutes


def _has_tuned(trial: TrialRecord) -> bool:
    """Returns whether the trial trained layers of the backbone, not only the head."""
    frozen = trial.depth is not None and trial.depth.share == 1
    return trial.status != OVER and not trial.left_out and not frozen


def limits(config: SearchConfig) -> str:
    """Returns the budget of a search in words, such as "12 trials or 0.39 minutes"."""
    words = []
    if config.trials:
        words.append("1 trial" if config.trials == 1 else f"{config.trials} trials")
    if minutes := config.minutes:
        rounded = round(minutes, 2) or minutes
        words.append("1 minute" if rounded == 1 else f"{rounded:g} minutes")
    return " or ".join(words)
