"""search: trials over freeze depth, rates and what else the space names; the best is promoted.

A trial is a run inside the run. Nothing of the test split decides anything.
"""

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
from absl import logging

from tl_keras import tasks
from tl_keras.approaches import stages
from tl_keras.config.whole import RunConfig
from tl_keras.report.pages import page
from tl_keras.run.files import replacing, write_json
from tl_keras.run.folder import Run, has_budget, opened
from tl_keras.search import session as benches
from tl_keras.search import trials, tuner
from tl_keras.search.session import Bench, Record
from tl_keras.training import adapt, metrics
from tl_keras.training.architecture import Data, plan_of

UNITS = ("trials", "minutes")
REPEATS = 20  # Proposals in a row that come to a trial that was run: nothing new is to come.


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Searches, and leaves the best trial's model, measured on validation.

    Raises:
      ValueError: the config, the data or the folder cannot be used, or no trial came to anything.
    """
    with opened(config, workdir, "search") as run:
        backbone = stages.backbone(run)
        stages.carry(run, stages.OF_ALL_SESSIONS)
        data = stages.read(run)
        model = stages.trained(run, data, backbone, best_model)
        trained, data = stages.as_trained(run, data)
        probabilities = stages.predict(trained, model, data, ("val",))
        measured = stages.evaluate(trained, model, data, probabilities)
        run.finish(stages.result(run, **measured))
        page.write(run.workdir)
    return run


@dataclass
class State:
    """What a search knows; written after each step, so that a killed one goes on.

    Attributes:
      records: of the trials that were run, in order.
      oracle: what KerasTuner knows, see `tuner.state`.
      seconds: of all sessions, their starts included.
      spent: trials and minutes that a search came to the end of; None while it goes on.
      promoted: how many trials there were when the best one's model became the run's.
      measured: by architecture, size and latency of the exported file.
    """

    records: list[Record] = field(default_factory=list)
    oracle: dict[str, Any] | None = None
    seconds: float = 0.0
    spent: list[Any] | None = None
    promoted: int = 0
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def best_model(run: Run, data: Data, backbone: keras.Model) -> Path:
    """Runs trials until the budget is spent; the run's file of the best one's model.

    Goes on where a killed search, or one with a smaller budget, stopped.

    Raises:
      ValueError: no trial came to anything.
    """
    state = State()
    if _state_file(run).exists():
        state = State(**json.loads(_state_file(run).read_text(encoding="utf-8")))
    adapt.check_classes(data.dataset)
    bench = benches.bench(run, data, backbone, state.measured)
    _search(run, bench, state)
    return _promoted(run, bench, state)


def _search(run: Run, bench: Bench, state: State) -> None:
    config, repeats, budget = run.config, 0, [run.config.search.trials, run.config.search.minutes]
    before = state.seconds

    def elapsed() -> float:
        return round(before + time.monotonic() - run.began, 3)

    def save() -> None:
        state.oracle, state.seconds = tuner.state(oracle), elapsed()
        write_json(_state_file(run), vars(state))

    with TemporaryDirectory() as scratch:
        epochs = plan_of(config, bench.data.dataset, config.model.is_pretrained).epochs
        if not state.oracle:
            _check_hyperband(config, epochs, bench, scratch)
        oracle = tuner.oracle(config, epochs, bench.entries, scratch)
        if state.oracle:
            tuner.restore(oracle, state.oracle)
        for record in state.records:
            _settle(bench, record)
        _show_all(config, bench, state)
        while state.spent != budget and has_budget(
            config.search, {**vars(state), "seconds": elapsed()}
        ):
            proposal = tuner.propose(oracle)
            if proposal is None or repeats == REPEATS:
                logging.info(
                    "search: %s proposes nothing new: what is left of search.space comes to trials "
                    "that were run",
                    config.search.tuner,
                )
                break
            save()  # From now on a kill has this trial proposed again.
            values = tuner.values_of(proposal, bench.entries)
            if not state.records:
                benches.begin_with_own(bench, proposal, values)
            essence = benches.essence(bench, values)
            record = next((r for r in state.records if r["essence"] == essence), None)
            repeats = repeats + 1 if record else 0
            if record is None:
                record = trials.run_trial(bench, len(state.records), values, state.records)
                _settle(bench, record)
                # Asked again: by now its architecture may be over a limit, its head settled.
                record |= {"essence": benches.essence(bench, values), "elapsed": elapsed()}
                state.records.append(record)
                _show(config, state.records)
                _forget(run, state.records)
            # Where the head is kept, by how much fine-tuning is better; not by how much worse: a
            # rate that ruins the weights would hide from the tuner how all the others differ.
            score = max(record["score"], record.get("tuned_score", record["score"]))
            tuner.tell(oracle, proposal, score)
            save()
        else:
            told = [f"{count} {name}" for count, name in zip(budget, UNITS, strict=True) if count]
            logging.info("search: the budget is spent: %s", " or ".join(told))
        state.spent = budget
        save()


def _settle(bench: Bench, record: Record) -> None:
    """Takes note of a trial in which fine-tuning was left out: so it would be in others."""
    if not record.get("left_out"):
        return
    settled = benches.of_choice(bench, record["values"])
    if settled not in bench.settled:
        logging.warning(
            "search: %s: the head alone is so good on the %d validation examples that no "
            "fine-tuning could be chosen over it: other depths and rates are not tried; with more "
            "examples set aside, as by data.val, they might be",
            *(record["label"], record["n"]),
        )
    bench.settled.add(settled)


def _check_hyperband(config: RunConfig, epochs: int, bench: Bench, folder: str) -> None:
    if config.search.tuner != "hyperband":
        return
    apart = tuner.oracle(config, epochs, bench.entries, folder)
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


def _state_file(run: Run) -> Path:
    return run.workdir / "search" / "state.json"


def _forget(run: Run, records: list[Record]) -> None:
    """Removes the models of all but the best trials, which would fill the disk
    (https://github.com/keras-team/keras-tuner/issues/288)."""
    for record in trials.ranked(records)[run.config.search.keep :]:
        (run.workdir / "search" / record["trial"] / "model.keras").unlink(missing_ok=True)


def _promoted(run: Run, bench: Bench, state: State) -> Path:
    """The best trial's model, as the run's; what is said of it is the run's too."""
    order = trials.ranked(state.records)
    if not order:
        raise ValueError(_nothing(run.config, state))
    best, folder = order[0], run.workdir / "search"
    if not (folder / best["trial"] / "model.keras").is_file():
        logging.warning("search: %s is run again, its model.keras is gone", best["trial"])
        shutil.rmtree(folder / best["trial"], ignore_errors=True)
        number = int(best["trial"].removeprefix("trial_"))
        trials.run_trial(bench, number, best["values"], [])  # Alone, so that its model stays.
    lines = (folder / best["trial"] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    with metrics.publisher(run.workdir, []) as publish:
        publish([json.loads(line) for line in lines])
    result = json.loads((folder / best["trial"] / "result.json").read_text(encoding="utf-8"))
    run.add(
        model=result["model"],
        chosen=result.get("chosen") or {},
        search=_described(run, state, order),
    )
    logging.info("search: the best of %d trials is %s", len(state.records), best["trial"])
    with replacing(run.workdir / "model.keras") as temporary:
        shutil.copyfile(folder / best["trial"] / "model.keras", temporary)
    state.promoted = len(state.records)
    write_json(_state_file(run), vars(state))
    return run.workdir / "model.keras"


def _nothing(config: RunConfig, state: State) -> str:
    over = [record for record in state.records if record["status"] == trials.OVER]
    if not over:
        return (
            f"search.space: none of {len(state.records)} trials came to anything, since all "
            "diverged; expected lower values of fit.learning_rate"
        )
    found = {r["label"]: {name: r[name] for name in config.search.goal.limits} for r in over}

    def excess(label: str) -> float:
        return max(found[label][name] / limit for name, limit in config.search.goal.limits.items())

    near = min(found, key=excess)
    figures = ", ".join(f"{name} {value:,.4g}" for name, value in found[near].items())
    return (
        f"search.objective: none of {len(state.records)} trials keeps to "
        f"{config.search.objective!r}; the nearest is {near} with {figures}: expected a "
        "smaller backbone, alpha or image size in search.space, or a higher limit, in another "
        "--workdir"
    )


def _described(run: Run, state: State, order: list[Record]) -> dict[str, Any]:
    """`search` of `result.json`."""
    best, curve = order[0], []
    choice, main = tasks.of(run.config.task, "choice"), tasks.of(run.config.task, "names").MAIN
    score = tasks.of(run.config.task, "metrics").score
    for record in state.records:
        done = record["status"] == trials.DONE
        if done and (not curve or score(record, main) > score({main: curve[-1][1]}, main)):
            curve.append([record["elapsed"], record[main]])
    level = []
    for record in order[1:]:
        record["behind"] = list(choice.behind(best, record)[1:])
        if record["behind"][0] <= 0:
            level.append(record["trial"])
    saved = sum(record.get("saved", 0.0) - record.get("passes", 0.0) for record in state.records)
    return {
        "tuner": run.config.search.tuner,
        "objective": run.config.search.objective,
        "trials": state.records,
        "best": best["trial"],
        "curve": curve,
        "level": level,
        "seconds": state.seconds,
        "saved": round(max(0.0, saved), 3),
    }


def _show_all(config: RunConfig, bench: Bench, state: State) -> None:
    """The table's head, and the trials of earlier sessions."""
    fields = [*bench.entries, *([tuner.EPOCHS_FIELD] if config.search.tuner == "hyperband" else [])]
    names = [name.rpartition(".")[2] for name in fields]
    main = tasks.of(config.task, "names").MAIN
    shown = dict.fromkeys([main, config.search.goal.metric])
    logging.info(
        "search: %s, by %s; %s: %s, before they stand against the head alone",
        *(", ".join(bench.entries), config.search.tuner, TUNED, config.search.goal.metric),
    )
    heads = ["trial", *names, TUNED, *(f"val {name}" for name in shown)]
    heads += ["kept", "seconds", "best so far"]
    logging.info("%s", "  ".join(f"{head:>{WIDTH}}" for head in heads))
    for count in range(1, len(state.records) + 1):
        _show(config, state.records[:count])


WIDTH = 13  # characters of a column
TUNED = "fine-tuned"


def _show(config: RunConfig, records: list[Record]) -> None:
    """A line of the table: the last trial, and the best so far."""
    record, order = records[-1], trials.ranked(records)
    metric = config.search.goal.metric
    cells = [record["trial"].removeprefix("trial_"), *map(_cell, record["values"].values())]
    done, score = record["status"] == trials.DONE, record.get("tuned_score")
    cells.append("-" if score is None else f"{abs(score):.3f}")
    for name in dict.fromkeys([tasks.of(config.task, "names").MAIN, metric]):
        cells.append(f"{record[name]:.3f}" if done else record["status"])
    cells += [record.get("kept", "-"), f"{record['seconds']:.1f}"]
    if order:
        cells.append(f"{order[0][metric]:.3f} ({order[0]['trial'].removeprefix('trial_')})")
    logging.info("%s", "  ".join(f"{cell:>{WIDTH}}" for cell in cells))


def _cell(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
