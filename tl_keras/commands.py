"""The commands: each function checks its flags, runs the command, and prints the outcome.

TensorFlow is imported last, after all cheap checks.
"""

import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from absl import flags

from tl_keras import launch, output
from tl_keras.approaches.teaching import segments
from tl_keras.command_table import DONE, MISSED
from tl_keras.config import text as configs
from tl_keras.config.cache import CacheConfig
from tl_keras.config.data import TABLES, source_of
from tl_keras.config.messages import with_article
from tl_keras.config.paths import check_paths
from tl_keras.config.search import TRIALS
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import nouns, part
from tl_keras.run import folder as runs
from tl_keras.run.quiet import tensorflow_started
from tl_keras.run.run import Run

Flags = flags.FlagValues
# The fields with which `evaluate` reads and compares another data set than the run's own.
OF_OTHER_DATA = ("evaluate.classes", "data.text_column", "data.label_column", "data.literal_labels")


def _config(values: Flags) -> RunConfig:
    overrides = list(values.set)
    if values.config and values.data:
        raise ValueError("--data: cannot be combined with --config; use --set data.path=DIR")
    if not values.config and not values.data and not overrides:
        raise ValueError("--config: expected a YAML file, or --data=DIR; received neither")
    if values.data:
        source = source_of(values.data)
        overrides = [f"data.source={source}", f"data.path={_quoted(values.data)}", *overrides]
    return configs.load(values.config, overrides)


def _quoted(text: str) -> str:
    # Without escapes: YAML reads JSON's escape of a character beyond 16 bits as two characters.
    return json.dumps(text, ensure_ascii=False)


def _workdir(values: Flags, name: str | None) -> Path:
    if values.workdir:
        return Path(values.workdir)
    if not name:
        raise ValueError("--workdir: expected the run's folder; received nothing")
    path = Path(os.path.abspath(name))
    # Other suffixes stay: the name of a folder may have a dot, as in photos.v2.
    is_file = path.suffix.lower() in (".yaml", ".yml", *TABLES)
    return Path("runs", path.stem if is_file else path.name)


def _finished(values: Flags) -> Run:
    return runs.load_finished(_workdir(values, None))


def _train(command: str, config: RunConfig, workdir: Path) -> int:
    """Runs an approach, unless the run is finished, and prints the summary."""
    run = launch.launch(command, config, workdir, _started)
    from tl_keras import summary  # Imported here because NumPy takes a while.

    return _print_outcome(summary.lines(run), summary.missed(run.result))


@contextmanager
def _started() -> Iterator[None]:
    """Imports TensorFlow, which takes seconds, and sends log lines to stderr."""
    shown = sys.stderr.isatty()
    if shown:
        print("starting TensorFlow ...", end="\r", file=sys.stderr, flush=True)
    with tensorflow_started():
        if shown:
            print(" " * 30, end="\r", file=sys.stderr, flush=True)
        _log_to_stderr()
        yield


def _log_to_stderr() -> None:
    # Not absl's own handler, which expects absl's flags.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    # TensorFlow Datasets logs each pass over its files.
    handler.addFilter(lambda record: "tensorflow_datasets" not in record.pathname)
    logger = logging.getLogger("absl")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def _print_outcome(lines: list[str], missed: list[str]) -> int:
    """Prints the summary and the missed tolerances; returns the exit status."""
    print("\n  ".join(lines))
    _print_missed(missed)
    return MISSED if missed else DONE


def _print_missed(missed: list[str]) -> None:
    for line in missed:
        print(f"tl-keras: {line}", file=sys.stderr)


def _quickstart(values: Flags, _: list[str]) -> int:
    config = configs.of_quickstart(values.set, values.modality)
    return _train("finetune", config, _workdir(values, configs.quickstart_name(values.modality)))


def _finetune(values: Flags, _: list[str]) -> int:
    config = _config(values)
    if values.dry_run:
        runs.check_stream(config, "finetune")
        check_paths(config)
        with _started():
            from tl_keras.approaches import dry_run

            print("\n".join(dry_run.estimate(config)))
        return DONE
    return _train("finetune", config, _workdir(values, values.config or values.data))


def _audit(values: Flags, _: list[str]) -> int:
    config = _config(values)
    workdir = _workdir(values, values.config or values.data)
    if not values.workdir:
        workdir = workdir.with_name(f"{workdir.name}_audit")
    run = launch.launch("audit", config, workdir, _started)
    from tl_keras import summary

    for line in summary.lines_of_audit(run):
        print(line)
    print(f"report: {run.report}")
    return DONE


def _parallel(values: Flags, _: list[str]) -> int:
    config = _config(values)
    workdir = _workdir(values, values.config or values.data)
    if values.segment is None:
        return _train("parallel", config, workdir)
    student = segments.prepared_student(config, workdir, values.segment)
    if student.result is None:
        launch.launch_job(student.workdir, _started, student.config)
    print(f"segment finished: {student.workdir}")
    return DONE


def _train_from_flags(command: str, values: Flags, _: list[str]) -> int:
    return _train(command, _config(values), _workdir(values, values.config or values.data))


def _search(values: Flags, _: list[str]) -> int:
    config = _config(values)
    if not config.search.wanted:
        print(
            f"search.trials is set to {TRIALS}, since the config sets neither search.trials nor "
            "search.minutes"
        )
    return _train("search", config, _workdir(values, values.config or values.data))


def _export(values: Flags, _: list[str]) -> int:
    run = _finished(values)
    refused = [entry for entry in values.set if not entry.startswith(("export.", "cache."))]
    if refused:
        raise ValueError(
            f"--set: the command 'export' cannot change {refused[0]!r}; expected a field of the "
            "section 'export' or 'cache'"
        )
    config = configs.load(run.workdir / "config.yaml", values.set)
    run = launch.export(run, config, _started)
    from tl_keras import summary

    made = summary.of_formats(run)
    return _print_outcome(summary.lines_of_export(run, made), summary.missed(made))


def _evaluate(values: Flags, _: list[str]) -> int:
    run = _finished(values)
    path = output.checked(values.output)
    fields = [entry.partition("=")[0].strip() for entry in values.set]
    refused = [
        entry
        for entry, field in zip(values.set, fields, strict=True)
        if field not in OF_OTHER_DATA and not field.startswith("evaluate.classes.")
    ]
    if refused:
        raise ValueError(
            f"--set: the command 'evaluate' cannot change {refused[0]!r}; expected one of the "
            f"fields {', '.join(OF_OTHER_DATA)}"
        )
    if values.set and not values.data:
        raise ValueError(
            f"--data: {fields[0]} needs a data set to which it applies; expected a folder or a "
            "table in --data, received nothing"
        )
    if values.set:
        run = replace(run, config=configs.load(run.workdir / "config.yaml", values.set))
    measured = launch.evaluate(run, values.data, _started)
    if not values.data and not run.result.test:
        print(
            "tl-keras: the run has no test split; these metrics are of its validation split",
            file=sys.stderr,
        )
    output.write(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", path)
    return DONE


def _predict(values: Flags, paths: list[str]) -> int:
    run = _finished(values)
    noun, inputs = nouns(run.config.modality)[0], part(run.config.modality, "predict_inputs")
    if not paths:
        raise ValueError(f"predict: expected {inputs.ON_COMMAND_LINE}; received none")
    # For texts, an argument that is not a path is an example itself.
    given = inputs.as_given(paths)
    for path, value in zip(paths, given, strict=True):
        if isinstance(value, Path) and not value.exists():
            raise ValueError(
                f"predict: expected {with_article(noun)} or a folder; {path!r} does not exist"
            )
    written = output.checked(values.output)
    rows = launch.predict(run, paths, _started)
    from tl_keras.data.examples import Quarantined
    from tl_keras.data.wording import left_out, place_of

    good = [row for row in rows if "error" not in row]
    skipped = [Quarantined(row["file"], row["error"]) for row in rows if "error" in row]
    for line in left_out(skipped, "skipped"):
        print(f"tl-keras: {line}", file=sys.stderr)
    place = place_of(row["file"] for row in rows)
    if good and len(good) < len(rows):
        print(f"tl-keras: skipped {len(rows) - len(good)} of {len(rows)} {place}s", file=sys.stderr)
    if not good:
        raise ValueError(f"predict: none of the {place}s is {with_article(noun)} that can be read")
    as_text = {"csv": output.as_csv, "jsonl": output.as_json_lines}[values.format]
    output.write(as_text(good), written)
    return DONE


def _report(values: Flags, folders: list[str]) -> int:
    if values.workdir and folders:
        raise ValueError(
            "--workdir: expected the folder of the run either here or as an argument; received "
            f"{values.workdir!r} here and {folders[0]!r} as an argument"
        )
    if len(folders) < 2:
        if values.output:
            raise ValueError(
                "--output: names the page that compares several runs; the report of one run is "
                "always report.html in its folder, so omit --output"
            )
        folder = _absolute(folders[0] if folders else _workdir(values, None))
        print(launch.report([folder]))
        from tl_keras import summary
        from tl_keras.report.read import read

        _print_missed(summary.missed(read(folder).result))
        return DONE
    target = output.checked(values.output) or output.checked_page(Path("comparison.html"))
    launch.report([*map(_absolute, folders)], target)
    print(values.output or target)
    return DONE


def _absolute(folder: str | Path) -> Path:
    return Path(folder).expanduser().absolute()


def _schema(values: Flags, _: list[str]) -> int:
    if values.of == "result":
        from tl_keras.run.result import whole

        print(json.dumps(whole.schema(), indent=1))
    else:
        print(json.dumps(configs.schema(), indent=1))
    return DONE


def _cache(values: Flags, _: list[str]) -> int:
    from tl_keras.data import store
    from tl_keras.data.wording import number_of

    config = CacheConfig(path=values.cache_path or None)
    if values.max_bytes is not None:
        removed = store.make_room(config.model_copy(update={"max_bytes": values.max_bytes}), 0)
        freed = sum(entry.bytes for entry in removed)
        print(f"removed {number_of(len(removed), 'array')}, {freed} bytes")
    kept = store.entries(config)
    if kept:
        print(f"{'bytes':>14}  array, least recently used first")
    for entry in kept:
        print(f"{entry.bytes:>14}  {entry.kind}")
    print(f"{sum(entry.bytes for entry in kept):>14}  bytes in {store.folder(config)}")
    return DONE


# Runs a command on its flags and positional arguments, and returns the exit status.
ACTIONS: dict[str, Callable[[Flags, list[str]], int]] = {
    "quickstart": _quickstart,
    "audit": _audit,
    "finetune": _finetune,
    "search": _search,
    "cross_validate": functools.partial(_train_from_flags, "cross_validate"),
    "parallel": _parallel,
    "compare": functools.partial(_train_from_flags, "compare"),
    "pretrain": functools.partial(_train_from_flags, "pretrain"),
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "report": _report,
    "schema": _schema,
    "cache": _cache,
}
