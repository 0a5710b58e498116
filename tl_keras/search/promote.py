"""Makes the best trial's model the model of the search, and writes the record of the search."""

import json
import shutil
from pathlib import Path
from typing import Any

from absl import logging

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.run import metrics
from tl_keras.run import search_state as states
from tl_keras.run.files import replacing
from tl_keras.run.result.search import SearchRecord, TrialRecord
from tl_keras.run.run import DONE, OVER, Run, read_result
from tl_keras.run.search_state import SearchState
from tl_keras.search import trials
from tl_keras.search.session import Session


def promoted(session: Session, state: SearchState) -> Path:
    """Makes the best trial's model, metrics and record those of the search; returns the model file.

    Raises:
      ValueError: no trial succeeded.
    """
    run, order = session.run, trials.ranked(state.records)
    if not order:
        raise ValueError(_nothing(run.config, state))
    best, folder = order[0], run.workdir / "search"
    trial = folder / best.trial
    if not (trial / "model.keras").is_file():
        logging.warning("search: %s is run again because its model.keras is missing", best.trial)
        shutil.rmtree(trial, ignore_errors=True)
        number = int(best.trial.removeprefix("trial_"))
        # No records of other trials, so that the model of this trial is kept.
        trials.run_trial(session, number, best.values, [])
    lines = (trial / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    with metrics.publisher(run.workdir, []) as publish:
        publish([json.loads(line) for line in lines])
    result = read_result(trial, run.config.task)
    run.add(model=result.model, chosen=result.chosen, search=_described(run, state, order))
    logging.info("search: the best of %d trials is %s", len(state.records), best.trial)
    with replacing(run.workdir / "model.keras") as temporary:
        shutil.copyfile(trial / "model.keras", temporary)
    state.promoted = len(state.records)
    states.write(run, state)
    return run.workdir / "model.keras"


def _nothing(config: RunConfig, state: SearchState) -> str:
    over = [record for record in state.records if record.status == OVER]
    if not over:
        return (
            f"search.space: none of {len(state.records)} trials succeeded, since all diverged; "
            "expected lower values of fit.learning_rate"
        )
    limits = config.search.goal.limits
    measured = {record.label: {name: record[name] for name in limits} for record in over}

    def excess(label: str) -> float:
        return max(measured[label][name] / limit for name, limit in limits.items())

    near = min(measured, key=excess)
    figures = ", ".join(f"{name} {value:,.4g}" for name, value in measured[near].items())
    return (
        f"search.objective: none of {len(state.records)} trials is within the limits of "
        f"{config.search.objective!r}; the nearest to the limits is {near} with {figures}. Add a "
        "smaller backbone, alpha or image size to search.space, or raise the limit, and search "
        "again in another --workdir"
    )


def _described(run: Run, state: SearchState, order: list[TrialRecord]) -> SearchRecord:
    """Builds the field `search` of `result.json`."""
    best = order[0]
    curve: list[list[Any]] = []
    choice, main = tasks.of(run.config.task, "choice"), tasks.of(run.config.task, "names").MAIN
    score = tasks.of(run.config.task, "metrics").score
    for record in state.records:
        done = record.status == DONE
        if done and (not curve or score(record, main) > score({main: curve[-1][1]}, main)):
            curve.append([record.elapsed, record[main]])
    behind = {record.trial: list(choice.behind(best, record)[1:]) for record in order[1:]}
    state.records = [
        record.model_copy(update={"behind": behind[record.trial]} if record.trial in behind else {})
        for record in state.records
    ]
    saved = sum((record.saved or 0.0) - (record.passes or 0.0) for record in state.records)
    return SearchRecord(
        tuner=run.config.search.tuner,
        objective=run.config.search.objective,
        trials=state.records,
        best=best.trial,
        curve=curve,
        level=[name for name, (low, _) in behind.items() if low <= 0],
        seconds=state.seconds,
        saved=round(max(0.0, saved), 3),
    )
