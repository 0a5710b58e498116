"""Logs the table of a search, one line for each trial."""

from typing import Any

from absl import logging

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import DONE
from tl_keras.run.search_state import SearchState
from tl_keras.search import trials, tuner
from tl_keras.search.session import Session


def show_all(config: RunConfig, session: Session, state: SearchState) -> None:
    """Logs the column names of the table, and the trials that ran before the search was resumed."""
    fields = [
        *session.entries,
        *([tuner.EPOCHS_FIELD] if config.search.tuner == "hyperband" else []),
    ]
    names = [name.rpartition(".")[2] for name in fields]
    main = tasks.of(config.task, "names").MAIN
    shown = dict.fromkeys([main, config.search.goal.metric])
    logging.info(
        "search: fields %s, tuner %s; column %s: validation %s of the best fine-tuned weights, "
        "even if the head-only model was kept",
        *(", ".join(session.entries), config.search.tuner, TUNED, config.search.goal.metric),
    )
    heads = ["trial", *names, TUNED, *(f"val {name}" for name in shown)]
    heads += ["kept", "seconds", "best so far"]
    logging.info("%s", "  ".join(f"{head:>{WIDTH}}" for head in heads))
    for count in range(1, len(state.records) + 1):
        show(config, state.records[:count])


WIDTH = 13  # characters of a column
TUNED = "fine-tuned"


def show(config: RunConfig, records: list[TrialRecord]) -> None:
    """Logs a line of the table: the latest trial, and the score of the best trial so far."""
    record, order = records[-1], trials.ranked(records)
    metric = config.search.goal.metric
    cells = [record.trial.removeprefix("trial_"), *map(_cell, record.values.values())]
    done, score = record.status == DONE, record.tuned_score
    cells.append("-" if score is None else f"{abs(score):.3f}")
    for name in dict.fromkeys([tasks.of(config.task, "names").MAIN, metric]):
        cells.append(f"{record[name]:.3f}" if done else record.status)
    cells += [record.kept or "-", f"{record.seconds:.1f}"]
    if order:
        cells.append(f"{order[0][metric]:.3f} ({order[0].trial.removeprefix('trial_')})")
    logging.info("%s", "  ".join(f"{cell:>{WIDTH}}" for cell in cells))


def _cell(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
