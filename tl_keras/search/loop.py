"""The loop of a search: values are proposed, a trial is run, its score is told, until the budget is
spent."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run import search_state as states
from tl_keras.run.budget import has_budget
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import Run
from tl_keras.run.search_state import SearchState
from tl_keras.search import session as sessions
from tl_keras.search import table, trials, tuner
from tl_keras.search.promote import promoted
from tl_keras.search.session import Learnt, Session
from tl_keras.training import adapt
from tl_keras.training.architecture import plan_of

UNITS = ("trials", "minutes")
REPEATS = 20  # Proposals in a row that come to a trial that was run: nothing new is to come.


def best_model(run: Run, data: Data, backbone: keras.Model) -> Path:
    """Runs trials until the budget is spent; the run's file of the best one's model.

    Goes on where a killed search, or one with a smaller budget, stopped.

    Raises:
      ValueError: no trial came to anything.
    """
    state = states.read(run)
    adapt.check_answers(data.dataset)
    session = sessions.open_session(run, data, backbone, Learnt(state.measured))
    _search(run, session, state)
    return promoted(session, state)


def _search(run: Run, session: Session, state: SearchState) -> None:
    config, repeats, budget = run.config, 0, [run.config.search.trials, run.config.search.minutes]
    before = state.seconds

    def elapsed() -> float:
        return round(before + time.monotonic() - run.began, 3)

    def save() -> None:
        state.oracle, state.seconds = tuner.state(oracle), elapsed()
        states.write(run, state)

    with TemporaryDirectory() as scratch:
        epochs = plan_of(config, session.data.dataset, config.model.is_pretrained).epochs
        if not state.oracle:
            _check_hyperband(config, epochs, session, scratch)
        oracle = tuner.oracle(config, epochs, session.entries, scratch)
        if state.oracle:
            tuner.restore(oracle, state.oracle)
        for earlier in state.records:
            _settle(session, earlier)
        table.show_all(config, session, state)
        while state.spent != budget and has_budget(config.search, state.records, elapsed()):
            proposal = tuner.propose(oracle)
            if proposal is None or repeats == REPEATS:
                logging.info(
                    "search: %s proposes nothing new: what is left of search.space comes to trials "
                    "that were run",
                    config.search.tuner,
                )
                break
            save()  # From now on a kill has this trial proposed again.
            values = tuner.values_of(proposal, session.entries)
            if not state.records:
                sessions.begin_with_own(session, proposal, values)
            essence = sessions.essence(session, values)
            record = next((r for r in state.records if r.essence == essence), None)
            repeats = repeats + 1 if record else 0
            if record is None:
                record = trials.run_trial(session, len(state.records), values, state.records)
                _settle(session, record)
                # Asked again: by now its architecture may be over a limit, its head settled.
                now = {"essence": sessions.essence(session, values), "elapsed": elapsed()}
                record = record.model_copy(update=now)
                state.records.append(record)
                table.show(config, state.records)
                _forget(run, state.records)
            # If the head wins, the score is capped at the head's, so that one bad learning rate
            # cannot hide the rest from the tuner.
            tuned = record.score if record.tuned_score is None else record.tuned_score
            tuner.tell(oracle, proposal, max(record.score, tuned))
            save()
        else:
            told = [f"{count} {name}" for count, name in zip(budget, UNITS, strict=True) if count]
            logging.info("search: the budget is spent: %s", " or ".join(told))
        state.spent = budget
        save()


def _settle(session: Session, record: TrialRecord) -> None:
    """Takes note of a trial in which fine-tuning was left out: so it would be in others."""
    if not record.left_out:
        return
    settled = sessions.of_choice(session, record.values)
    if settled not in session.learnt.settled:
        logging.warning(
            "search: %s: the head alone is so good on the %d validation examples that no "
            "fine-tuning could be chosen over it: other depths and rates are not tried; with more "
            "examples set aside, as by data.val, they might be",
            *(record.label, record.n),
        )
    session.learnt.settled.add(settled)


def _check_hyperband(config: RunConfig, epochs: int, session: Session, folder: str) -> None:
    if config.search.tuner != "hyperband":
        return
    apart = tuner.oracle(config, epochs, session.entries, folder)
    needed = tuner.trials_until_whole(apart, epochs)
    if needed is None:
        raise ValueError(
            "search.space: hyperband's first round wants more points than the space has; expected "
            "more values, ranges in place of lists, or search.tuner bayesian or random"
        )
    if 0 < config.search.trials < needed:
        logging.warning(
            "search.trials: hyperband begins with short trainings, and only trial %d is the first "
            "to have all %d epochs; received %d: set it higher, or search.tuner to bayesian",
            *(needed, epochs, config.search.trials),
        )


def _forget(run: Run, records: list[TrialRecord]) -> None:
    """Removes the models of all but the best trials, which would fill the disk
    (https://github.com/keras-team/keras-tuner/issues/288)."""
    for record in trials.ranked(records)[run.config.search.keep :]:
        (run.workdir / "search" / record.trial / "model.keras").unlink(missing_ok=True)
