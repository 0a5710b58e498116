"""The loop of a search: the tuner proposes values, a trial runs, the tuner gets the trial's score.

The loop ends when the budget is spent or the tuner proposes nothing new.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run import search_state as states
from tl_keras.run.budget import has_budget, limits
from tl_keras.run.result.search import TrialRecord
from tl_keras.run.run import Run
from tl_keras.run.search_state import SearchState
from tl_keras.search import session as sessions
from tl_keras.search import table, trials, tuner
from tl_keras.search.promote import promoted
from tl_keras.search.session import Learnt, Session
from tl_keras.training import adapt
from tl_keras.training.architecture import plan_of

# If this many proposals in a row are equivalent to earlier trials, the space counts as exhausted.
REPEATS = 20


def best_model(run: Run, data: Data, backbone: keras.Model) -> Path:
    """Runs trials until the budget is spent, and returns the file of the best trial's model.

    A search that was killed, or had a smaller budget, continues where it stopped.

    Raises:
      ValueError: no trial succeeded.
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
        for earlier in state.records:  # After a resume.
            _remember_skipped_tuning(session, earlier)
        table.show_all(config, session, state)
        while state.spent != budget and has_budget(config.search, state.records, elapsed()):
            proposal = tuner.propose(oracle)
            if proposal is None or repeats == REPEATS:
                logging.info(
                    "search: the tuner %s proposes nothing new: with all other values in "
                    "search.space, a trial would be the same as an earlier one",
                    config.search.tuner,
                )
                break
            save()  # After a kill from here on, the same trial is proposed again.
            values = tuner.values_of(proposal, session.entries)
            if not state.records:
                sessions.replace_by_config(session, proposal, values)
            essence = sessions.essence(session, values)
            record = next((r for r in state.records if r.essence == essence), None)
            repeats = repeats + 1 if record else 0
            if record is None:
                record = trials.run_trial(session, len(state.records), values, state.records)
                _remember_skipped_tuning(session, record)
                # Computed again, because the trial may have shown that its architecture exceeds a
                # limit or that its head is not fine-tuned.
                now = {"essence": sessions.essence(session, values), "elapsed": elapsed()}
                record = record.model_copy(update=now)
                state.records.append(record)
                table.show(config, state.records)
                _remove_models(run, state.records)
            # If the head wins, the score is capped at the head's, so that one bad learning rate
            # cannot hide the rest from the tuner.
            tuned = record.score if record.tuned_score is None else record.tuned_score
            tuner.tell(oracle, proposal, max(record.score, tuned))
            save()
        else:
            logging.info("search: the budget is spent: %s", limits(config.search))
        state.spent = budget
        save()


def _remember_skipped_tuning(session: Session, record: TrialRecord) -> None:
    """If a trial left out fine-tuning, adds its key to `session.learnt.head_only`, and warns.

    A trial leaves out fine-tuning if no fine-tuned model could be shown to be better than the
    head-only model. Trials with the same key would leave it out, too, so they are not run.
    """
    if not record.left_out:
        return
    key = sessions.head_key(session, record.values)
    if key not in session.learnt.head_only:
        logging.warning(
            "search: %s: on the %d validation examples, not even a model without mistakes could be "
            "shown to be better than the head-only model. So fine-tuning is left out, and no other "
            "depths and learning rates are tried. With more validation examples (data.val), a "
            "fine-tuned model may be shown to be better",
            *(record.label, record.n),
        )
    session.learnt.head_only.add(key)


def _check_hyperband(config: RunConfig, epochs: int, session: Session, folder: str) -> None:
    if config.search.tuner != "hyperband":
        return
    separate_oracle = tuner.oracle(config, epochs, session.entries, folder)
    needed = tuner.trials_until_whole(separate_oracle, epochs)
    if needed is None:
        raise ValueError(
            "search.space: hyperband's first round needs more combinations of values than "
            "search.space has; expected more values, ranges instead of lists, or "
            "search.tuner=bayesian or search.tuner=random"
        )
    if 0 < config.search.trials < needed:
        logging.warning(
            "search.trials: hyperband begins with short trainings. The first trial with all %d "
            "epochs is number %d. Expected at least %d trials, or search.tuner=bayesian; received "
            "%d trials",
            *(epochs, needed, needed, config.search.trials),
        )


def _remove_models(run: Run, records: list[TrialRecord]) -> None:
    """Removes the models of all except the best `search.keep` trials.

    Models of all trials would fill the disk (https://github.com/keras-team/keras-tuner/issues/288).
    """
    for record in trials.ranked(records)[run.config.search.keep :]:
        (run.workdir / "search" / record.trial / "model.keras").unlink(missing_ok=True)
