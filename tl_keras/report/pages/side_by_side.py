"""Writes one HTML page that shows several runs side by side, from the files of the runs."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from tl_keras import tasks
from tl_keras.data.paths import printable
from tl_keras.report.advice.on_files import on_unread
from tl_keras.report.drawings import charts
from tl_keras.report.drawings.markup import escape, estimate, note, section, steps, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    duration,
    listed,
    megabytes,
    milliseconds,
)
from tl_keras.report.facts import figures, paired
from tl_keras.report.facts.compared import between, gap
from tl_keras.report.facts.paired import Named, headings
from tl_keras.report.pages.page import document
from tl_keras.report.read import RunFiles, read
from tl_keras.report.sections import config_differences, provenance, results
from tl_keras.run import files
from tl_keras.run.result.exports import Exported


def write(workdirs: Sequence[Path], output: Path) -> Path:
    """Writes an HTML page that shows several runs side by side; returns its path.

    Args:
      workdirs: folders of finished runs, two or more.
      output: the file to write.

    Raises:
      ValueError: some folders are not finished runs, or hold files that cannot be parsed. The
        message has a reason for each. The page is still written if two or more runs are left.
    """
    runs, problems = [], []
    for workdir in workdirs:
        try:
            runs.append(_finished(Path(workdir)))
        except ValueError as error:
            problems.append(str(error))
    if len(runs) > 1:
        named = [(_letter(i), run) for i, run in enumerate(runs)]
        files.write_text(Path(output), printable(render(named)))
        if problems:
            problems.append(f"report: {output} was written with the remaining {len(runs)} runs")
    if problems:
        raise ValueError("\n".join(problems))
    return Path(output)


def _finished(workdir: Path) -> RunFiles:
    run = read(workdir)
    if run.finished:
        return run
    if run.is_audit:
        raise ValueError(
            f"report: {str(workdir)!r} is an audit, which has no model to compare; leave it out"
        )
    raise ValueError(
        f"report: {str(workdir)!r} is not finished; finish it first: repeat the command that "
        "started it"
    )


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"R{i + 1}"


def render(named: Named) -> str:
    """Returns the page that shows runs side by side, as HTML."""
    compared = paired.against_best(named)
    parts = {
        "What it means": steps(_meaning(named, compared)),
        "Runs": _runs(named),
        "Scores": _scores(named) + _differences(named, compared),
        f"Recall by {tasks.of(paired.task_of(named), 'names').NOUNS[0]}": _recalls(named),
        "Training": _curves(named),
        "Exports": _exports(named),
        "Model": _model(named),
        "What differs in the configs": config_differences.table_of(named),
        "Time": _time(named),
    }
    body = "\n".join(section(title, part) for title, part in parts.items() if part)
    title = listed([run.name for _, run in named])
    return document(f"{title}: tl_keras", "comparison", _headline(named, compared), body)


def _headline(named: Named, compared: list[paired.Difference] | None) -> str:
    if compared is None:
        return "The scores of these runs cannot be compared"
    shown = _display_names(named)
    real = [d for d in compared if not d.is_noise]
    best, n = shown[compared[0].best], count(compared[0].n)
    if not real:
        names = [shown[letter] for letter, _ in paired.comparable(named)[0]]
        return f"No significant difference between {listed(names)}, on {n} examples"
    others = listed([shown[d.letter] for d in real])
    if len(real) == len(compared) == 1:
        ahead = f"{best} is better than {others} by {gap(named[0][1], real[0].value)}"
        return f"{ahead} (95% interval {between(named[0][1], real[0].interval)}, {n} examples)"
    return f"{best} is better than {others}, on {n} examples"


def _display_names(named: Named) -> dict[str, str]:
    """Returns a dict from the letter of each run to the name to show for the run.

    Shows the names of the runs, or only their letters if any two runs have the same name.
    """
    names = {letter: run.name for letter, run in named}
    return names if len(set(names.values())) == len(names) else {letter: letter for letter in names}


def _meaning(named: Named, compared: list[paired.Difference] | None) -> Iterable[tuple[str, str]]:
    yield from (
        (f"{letter}: {line.do}", line.why) for letter, run in named for line in on_unread(run)
    )
    if all(figures.scored(run)[0] == "val" and not run.holds_out for _, run in named):
        yield (
            "Set a test split aside.",
            "None of these runs was measured on a test split. Their validation scores are too "
            "good, because they were used to choose the models.",
        )
    if reasons := paired.comparable(named)[1]:
        yield (
            "Measure the runs on the same test split.",
            f"{_reasons(reasons)} Runs have the same test split if their data and their "
            "data.split_seed are the same. "
            f"{HELD_OUT if any(run.holds_out for _, run in named) else ''}If scores were measured "
            "on different examples, these examples may be the cause of a difference.",
        )
    if compared is None:
        return
    near = [d for d in compared if d.is_noise]
    counts_right = tasks.of(paired.task_of(named), "words").COUNTS_RIGHT
    if counts_right and any(max(map(abs, d.interval)) > figures.DECIDABLE for d in near):
        yield (
            "Measure the runs on more examples.",
            f"{count(compared[0].n)} examples are too few to tell which of these models is better: "
            "the true difference may be anywhere in the 95% interval.",
        )
    elif near:
        letters = sorted([compared[0].best, *(d.letter for d in near)])
        yield (
            f"Choose between {listed(letters)} by size and speed.",
            f"On {count(compared[0].n)} examples, there is no significant difference in "
            f"{paired.main_name(named)} between these models.",
        )
    for d in compared:
        if not d.is_noise:
            metric = paired.main_name(named)
            lead = f"The {metric} of {d.best} is better by {gap(named[0][1], d.value)}"
            yield (
                f"Prefer {d.best} to {d.letter}.",
                f"{lead} on {count(d.n)} examples "
                f"(95% interval {between(named[0][1], d.interval)}).",
            )
    if len(compared) > 1:
        yield (
            "Measure the chosen model once more, on new examples.",
            f"The best of {len(compared) + 1} models looks better than it is: part of its lead is "
            "luck.",
        )


HELD_OUT = "Cross-validated runs on the same examples are compared on their held-out examples. "


def _reasons(reasons: dict[str, str]) -> str:
    """Returns one sentence for each run that is not compared, with the reason."""
    return " ".join(f"{letter} {why}." for letter, why in reasons.items())


def _runs(named: Named) -> str:
    rows = [
        [
            letter,
            escape(run.name),
            escape(run.folder),
            escape(run.result.pipeline or NOTHING),
        ]
        for letter, run in named
    ]
    above = "Tables and charts of this page name each run by its letter."
    return table(above, ["Letter", "Run", "Folder", "Command"], rows)


def _scores(named: Named) -> str:
    measured = [figures.scored(run) for _, run in named]
    drawn = [
        figures.intervals(run, split) for (_, run), (split, _) in zip(named, measured, strict=True)
    ]
    rows = [
        [
            "Measured on",
            *(
                counted(scores.n if scores else None, f"{run.split_name(split)} example")
                for (_, run), (split, scores) in zip(named, measured, strict=True)
            ),
        ]
    ]
    for key, (name, written) in results.named_scores(paired.task_of(named)).items():
        cells = [
            written(scores.get(key) if scores else None)
            + results.between(intervals.get(key), written)
            for (_, scores), intervals in zip(measured, drawn, strict=True)
        ]
        rows.append([name, *cells])
    about = tasks.of(paired.task_of(named), "words").ABOUT_INTERVALS
    return table(f"Scores with 95% intervals{about}.", ["Score", *headings(named)], rows)


def _differences(named: Named, compared: list[paired.Difference] | None) -> str:
    if compared is None:
        reasons = _reasons(paired.comparable(named)[1])
        return note(f"No difference between these runs can be computed. {reasons}")
    rows = [
        [
            f"{d.best} against {d.letter}",
            f"{gap(named[0][1], d.value)} <small>{between(named[0][1], d.interval)}</small>",
            f"{count(d.won)} to {count(d.lost)}",
            "noise" if d.is_noise else "significant",
        ]
        for d in compared
    ]
    right = "right" if tasks.of(paired.task_of(named), "words").COUNTS_RIGHT else "better"
    letters = listed(sorted([compared[0].best, *(d.letter for d in compared)]))
    above = (
        f"{letters} answered the same {count(compared[0].n)} examples and are compared example by "
        "example, so the interval of a difference is narrower than the intervals of the scores. "
        "Difference: the score of the first run minus the score of the second run, with its 95% "
        f"interval. Only one {right}: the number of examples on which only the first run is "
        f"{right}, then the number on which only the second run is. Noise: the interval of the "
        "difference contains 0. Significant: it does not contain 0."
    )
    metric = paired.main_name(named)
    columns = ["Runs", f"Difference in {metric}", f"Only one {right}", "Verdict"]
    return f"<h3>Differences</h3>{table(above, columns, rows)}"


def _recalls(named: Named) -> str:
    rates = [{rate.name: rate for rate in figures.rates(run)} for _, run in named]
    names = list(dict.fromkeys(name for by_class in rates for name in by_class))
    if not names:
        return ""
    nothing, (one, many) = figures.Share(0, 0), tasks.of(paired.task_of(named), "names").NOUNS
    above = f"Recall is the share of a {one}'s examples that were recognised, with 95% intervals."
    if len(names) > results.RECALLS:
        recalls = {
            n: [by_class[n].recall.value for by_class in rates if n in by_class] for n in names
        }
        known = {name: [v for v in values if v is not None] for name, values in recalls.items()}
        lowest = {name: min(values, default=2) for name, values in known.items()}
        above += f" Of {count(len(names))} {many}, the {results.RECALLS} with the lowest recall in "
        above += "any of the runs are shown."
        names = sorted(names, key=lambda name: lowest[name])[: results.RECALLS]
    rows = []
    for name in names:
        shares = [by_class[name].recall if name in by_class else nothing for by_class in rates]
        rows.append([escape(name), *(estimate(s.value, s.interval, s.n) for s in shares)])
    return table(above, [one.capitalize(), *headings(named)], rows)


def _curves(named: Named) -> str:
    drawn = charts.compared_curves([(letter, figures.epochs(run)) for letter, run in named])
    if not drawn:
        return ""
    without = [letter for letter, run in named if not figures.epochs(run)]
    missing = note(f"No curve for {listed(without)}: only the head was trained, without epochs.")
    return f'<div class="charts">{"".join(drawn)}</div>{missing if without else ""}'


def _exports(named: Named) -> str:
    task = paired.task_of(named)
    formats = list(dict.fromkeys(name for _, run in named for name in figures.exports(run)))
    rows = [
        [escape(name), *(_export(run, figures.exports(run).get(name), task) for _, run in named)]
        for name in formats
    ]
    above = (
        "For each exported file: its size, its median latency for one example on the machine that "
        f"exported it, and its {paired.main_name(named)} with a 95% interval."
    )
    return table(above, ["Format", *headings(named)], rows) if rows else ""


def _export(run: RunFiles, export: Exported | None, task: str) -> str:
    if not export:
        return NOTHING
    median = figures.median(export)
    speed = f", {milliseconds(median)}" if median is not None else ""
    missed = "" if figures.passed(export) else ' <span class="missed">missed</span>'
    value = export.get(tasks.of(task, "names").MAIN)
    right = results.main(task, value, figures.examples(run, export))
    return f"{megabytes(export.bytes)}{speed}{missed} {right}"


def _model(named: Named) -> str:
    described = [provenance.described(run) for _, run in named]
    names = list(dict.fromkeys(name for properties in described for name in properties))
    rows = [
        [escape(n), *(escape(properties.get(n, NOTHING)) for properties in described)]
        for n in names
    ]
    return table("The model of each run.", ["Part", *headings(named)], rows) if rows else ""


def _time(named: Named) -> str:
    spent = [run.result.seconds for _, run in named]
    phases = list(dict.fromkeys(phase for seconds in spent for phase in seconds))
    rows = [[escape(p), *(duration(seconds.get(p, math.nan)) for seconds in spent)] for p in phases]
    numeric = range(1, len(named) + 1)
    above = "Time of each phase, on the machine where the run took place. " + provenance.COVERED
    return table(above, ["Phase", *headings(named)], rows, numeric)
