"""Several runs in, one page with them side by side out; reads files only."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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
    split_name,
)
from tl_keras.report.facts import figures, paired
from tl_keras.report.facts.compared import between, gap
from tl_keras.report.facts.paired import Named
from tl_keras.report.pages.page import document
from tl_keras.report.read import RunFiles, read
from tl_keras.report.sections import provenance, results
from tl_keras.run import files
from tl_keras.run.result.exports import Exported


def write(workdirs: Sequence[Path], output: Path) -> Path:
    """The path of a page that holds runs side by side.

    Args:
      workdirs: folders of finished runs, two or more.
      output: the file to write.

    Raises:
      ValueError: a folder is no finished run, or a file in it is not what its name says.
    """
    named = [(_letter(i), read(Path(workdir))) for i, workdir in enumerate(workdirs)]
    for _, run in named:
        if not run.finished:
            raise ValueError(f"report: {str(run.folder)!r} is not finished; finish it first")
    files.write_text(Path(output), printable(render(named)))
    return Path(output)


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"R{i + 1}"


def render(named: Named) -> str:
    """The whole page as HTML."""
    compared = paired.against_best(named)
    parts = {
        "What it means": steps(_meaning(named, compared)),
        "Runs": _runs(named),
        "Scores": _scores(named) + _differences(named, compared),
        f"Found, by {tasks.of(paired.task_of(named), 'names').NOUNS[0]}": _recalls(named),
        "Training": _curves(named),
        "Exports": _exports(named),
        "Model": _model(named),
        "What differs in the configs": _config(named),
        "Time": _time(named),
    }
    body = "\n".join(section(title, part) for title, part in parts.items() if part)
    title = " and ".join(run.name for _, run in named)
    return document(f"{title}: tl_keras", "comparison", _headline(named, compared), body)


def _headline(named: Named, compared: list[paired.Difference] | None) -> str:
    if compared is None:
        return "These figures do not compare: the runs were measured on different examples"
    called = _called(named)
    real = [d for d in compared if not d.is_noise]
    best, n = called[compared[0].best], count(compared[0].n)
    if not real:
        return f"No difference is shown between {listed(list(called.values()))}, on {n} examples"
    others = listed([called[d.letter] for d in real])
    if len(real) == len(compared) == 1:
        ahead = f"{best} is ahead of {others} by {gap(named[0][1], real[0].value)}"
        return f"{ahead} (95% interval {between(named[0][1], real[0].interval)}, {n} examples)"
    return f"{best} is ahead of {others} beyond chance, on {n} examples"


def _called(named: Named) -> dict[str, str]:
    """The runs' names, or their letters where names repeat."""
    names = {letter: run.name for letter, run in named}
    return names if len(set(names.values())) == len(names) else {name: name for name in names}


def _meaning(named: Named, compared: list[paired.Difference] | None) -> Iterable[tuple[str, str]]:
    yield from ((f"{letter}: {own.do}", own.why) for letter, run in named for own in on_unread(run))
    if all(figures.scored(run)[0] == "val" and not run.holds_out for _, run in named):
        yield (
            "Set a test split aside.",
            "There is none: validation chose each of these models, so its scores flatter them.",
        )
    if compared is None:
        yield (
            "Measure the runs on one test split.",
            "Runs share it when data and data.split_seed are the same. Until then a difference "
            "between their scores may come from the examples.",
        )
        return
    near = [d for d in compared if d.is_noise]
    counts_right = tasks.of(paired.task_of(named), "words").COUNTS_RIGHT
    if counts_right and any(max(map(abs, d.interval)) > figures.DECIDABLE for d in near):
        yield (
            "Measure the runs on more examples.",
            f"{count(compared[0].n)} are too few to tell which of these models is better: the "
            "difference may be as large as its interval says.",
        )
    elif near:
        letters = sorted([compared[0].best, *(d.letter for d in near)])
        yield (
            f"Choose among {listed(letters)} by size and speed.",
            f"On {count(compared[0].n)} examples no difference in {paired.main_name(named)} is "
            "shown between them.",
        )
    for d in compared:
        if not d.is_noise:
            told = f"It is right on {gap(named[0][1], d.value)} more of {count(d.n)} examples"
            if not counts_right:
                better = f"Its {paired.main_name(named)} is better by {gap(named[0][1], d.value)}"
                told = f"{better} on {count(d.n)} examples"
            yield (
                f"Prefer {d.best} to {d.letter}.",
                f"{told} (95% interval {between(named[0][1], d.interval)}).",
            )
    if len(named) > 2:
        yield (
            "Measure the choice once more on new examples.",
            f"The best of {len(named)} looks better than it is: some of its lead is luck.",
        )


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
    return table("A letter stands for each run.", ["Letter", "Run", "Folder", "Command"], rows)


def _scores(named: Named) -> str:
    measured = [figures.scored(run) for _, run in named]
    drawn = [
        figures.intervals(run, split) for (_, run), (split, _) in zip(named, measured, strict=True)
    ]
    rows = [
        [
            "Measured on",
            *(f"{count(own.n if own else None)} {split_name(split)}" for split, own in measured),
        ]
    ]
    for key, (name, written) in results.named_scores(paired.task_of(named)).items():
        cells = [
            written(own.get(key) if own else None) + results.between(intervals.get(key), written)
            for (_, own), intervals in zip(measured, drawn, strict=True)
        ]
        rows.append([name, *cells])
    told = tasks.of(paired.task_of(named), "words").ABOUT_INTERVALS
    return table(f"With 95% intervals{told}.", ["Score", *_heads(named)], rows)


def _heads(named: Named) -> list[str]:
    return [f"{letter}: {run.name}" for letter, run in named]


def _differences(named: Named, compared: list[paired.Difference] | None) -> str:
    if compared is None:
        return note("The runs do not share their test split: no difference can be computed.")
    rows = [
        [
            f"{d.best} against {d.letter}",
            f"{gap(named[0][1], d.value)} <small>{between(named[0][1], d.interval)}</small>",
            f"{count(d.won)} to {count(d.lost)}",
            "noise" if d.is_noise else "beyond chance",
        ]
        for d in compared
    ]
    above = (
        f"All runs answered the same {count(compared[0].n)} examples, so that they are compared "
        "one by one: the interval of the difference is narrower than those of the scores."
    )
    alone = (
        f"{'Right' if tasks.of(paired.task_of(named), 'words').COUNTS_RIGHT else 'Better'} alone"
    )
    columns = ["Runs", f"Difference in {paired.main_name(named)}", alone, "Verdict"]
    return f"<h3>Differences</h3>{table(above, columns, rows)}"


def _recalls(named: Named) -> str:
    rates = [{rate.name: rate for rate in figures.rates(run)} for _, run in named]
    names = list(dict.fromkeys(name for own in rates for name in own))
    if not names:
        return ""
    nothing, (one, many) = figures.Share(0, 0), tasks.of(paired.task_of(named), "names").NOUNS
    above = f"The share of each {one} that was recognised, with 95% intervals."
    if len(names) > results.RECALLS:
        found = {n: [own[n].recall.value for own in rates if n in own] for n in names}
        lowest = {n: min((v for v in own if v is not None), default=2) for n, own in found.items()}
        above += f" The {results.RECALLS} of {count(len(names))} {many} with the lowest."
        names = sorted(names, key=lambda name: lowest[name])[: results.RECALLS]
    rows = []
    for name in names:
        shares = [own[name].recall if name in own else nothing for own in rates]
        rows.append([escape(name), *(estimate(s.value, s.interval, s.n) for s in shares)])
    return table(above, [one.capitalize(), *_heads(named)], rows)


def _curves(named: Named) -> str:
    drawn = charts.compared_curves([(letter, figures.epochs(run)) for letter, run in named])
    if not drawn:
        return ""
    without = [letter for letter, run in named if not figures.epochs(run)]
    said = note(f"No epochs: {listed(without)}, of which the head alone was fitted.")
    return f'<div class="charts">{"".join(drawn)}</div>{said if without else ""}'


def _exports(named: Named) -> str:
    task = paired.task_of(named)
    formats = list(dict.fromkeys(name for _, run in named for name in figures.exports(run)))
    rows = [
        [escape(name), *(_export(run, figures.exports(run).get(name), task) for _, run in named)]
        for name in formats
    ]
    above = (
        f"Size, median latency of an example on the machine of each run, and "
        f"{paired.main_name(named)} with its 95% interval."
    )
    return table(above, ["Format", *_heads(named)], rows) if rows else ""


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
    names = list(dict.fromkeys(name for own in described for name in own))
    rows = [[escape(n), *(escape(own.get(n, NOTHING)) for own in described)] for n in names]
    return table("As trained.", ["Part", *_heads(named)], rows) if rows else ""


def _config(named: Named) -> str:
    flat = [dict(_flat(run.tree)) for _, run in named]
    names = list(dict.fromkeys(name for own in flat for name in own))
    differing = [name for name in names if any(own.get(name) != flat[0].get(name) for own in flat)]
    if not differing:
        return note("Nothing.")
    rows = [[escape(n), *(escape(_plain(own.get(n))) for own in flat)] for n in differing]
    return table(f"{counted(len(differing), 'field')}.", ["Field", *_heads(named)], rows)


def _flat(tree: dict, above: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _plain(value: Any) -> str:
    return NOTHING if value is None else str(value)


def _time(named: Named) -> str:
    spent = [run.result.seconds for _, run in named]
    phases = list(dict.fromkeys(phase for own in spent for phase in own))
    rows = [[escape(p), *(duration(own.get(p, math.nan)) for own in spent)] for p in phases]
    numeric = range(1, len(named) + 1)
    return table("On the machine of each run.", ["Phase", *_heads(named)], rows, numeric)
