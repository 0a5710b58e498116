"""Sections of a comparison of approaches: a run in, HTML out."""

from typing import Any

from tl_keras import tasks
from tl_keras.report.advice.on_approaches import more
from tl_keras.report.drawings.markup import escape, table
from tl_keras.report.drawings.search_charts import Estimate, by_examples, by_name, pareto
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    duration,
    is_number,
    isolated,
    megabytes,
    number,
    percent,
    points,
)
from tl_keras.report.facts.compared import approaches_of, between, gap, main_metric, title
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results


def approaches(run: RunFiles) -> str:
    """A line for each approach, and charts."""
    own = approaches_of(run)
    if not own:
        return ""
    return f"{_charts(run) if run.counts_right else ''}{_table(run)}{_left_out(run)}"


def _charts(run: RunFiles) -> str:
    own, (main, _) = approaches_of(run), main_metric(run)
    measured = {
        split: {
            n: _estimate(i, a[split], main) for i, (n, a) in enumerate(own.items()) if a.get(split)
        }
        for split in ("test", "val")
    }
    split = "test" if measured["test"] else "val"
    numbered = dict(enumerate(own.items(), start=1))
    timed = {
        i: _estimate(a["training"], a[split], main)
        for i, (_, a) in numbered.items()
        if a.get(split) and (a.get("training") or 0) > 0
    }
    drawn = [by_name(measured[split], "validation" if split == "val" else split)]
    drawn.append(pareto("seconds of training", timed) if timed else "")
    if sized := {
        i: _estimate(a["latency_ms"], a[split], main)
        for i, (_, a) in numbered.items()
        if a.get(split) and is_number(a.get("latency_ms"))
    }:
        drawn.append(pareto("int8 latency, ms", sized))
    drawn.append(by_examples(run.result.get("learning_curve") or []))
    drawn = [svg for svg in drawn if svg]
    pairs = [drawn[i : i + 2] for i in range(0, len(drawn), 2)]
    return "".join(f'<div class="charts">{"".join(pair)}</div>' for pair in pairs)


def _estimate(x: float, scores: dict[str, Any], main: str) -> Estimate:
    return Estimate(x, scores[main], *scores["interval"])


def _table(run: RunFiles) -> str:
    best, (main, _) = (run.result.get("recommended") or {}).get("best"), main_metric(run)
    rows = []
    for i, (name, own) in enumerate(approaches_of(run).items(), start=1):
        val, test = own.get("val") or {}, own.get("test") or {}
        mark = ' <span class="ok">best</span>' if name == best else ""
        rows.append(
            [
                str(i),
                f"{escape(name)}{mark} <small>{escape(isolated(title(run, name)))}</small>",
                results.main(run.task, val.get(main), val.get("n")),
                results.main(run.task, test.get(main), test.get("n")),
                duration(own.get("training")),
                duration(own.get("to_scratch")),
                count(own.get("parameters")),
                megabytes(own.get("bytes")),
                number(own.get("latency_ms")),
            ]
        )
    above = (
        f"{tasks.of(run.task, 'words').SEVERAL} with 95% intervals. Validation chose depth, "
        "epochs and weights of these models and flatters them; of cross_validate it is of what "
        "folds held out, on training examples too. To scratch: seconds until it was as good on "
        "validation as from scratch ever. Size and latency are of the int8 file. The report of "
        "each is in its folder."
    )
    columns = ["No.", "Approach", "Validation", "Test", "Training", "To scratch"]
    columns += ["Parameters", "Size", "Latency, ms"]
    return table(above, columns, rows, numeric=(0, 4, 5, 6, 7, 8))


def _left_out(run: RunFiles) -> str:
    left_out = run.result.get("left_out") or {}
    rows = [[escape(name), escape(why)] for name, why in left_out.items()]
    return table("Not run.", ["Approach", "Why"], rows) if rows else ""


def differences(run: RunFiles) -> str:
    """How the others stand against the one that is recommended, example by example."""
    found = run.result.get("recommended") or {}
    best, parts = found.get("best"), []
    for split, word in (("val", "validation"), ("test", "test")):
        compared = found.get(split) or {}
        rows = [
            [
                f"{escape(best)} against {escape(name)}",
                f"{gap(run, d['difference'])} <small>{between(run, d['interval'])}</small>",
                f"{count(d['won'])} to {count(d['lost'])}",
                "noise" if d["interval"][0] <= 0 <= d["interval"][1] else "beyond chance",
            ]
            for name, d in (compared.get("against") or {}).items()
        ]
        if rows:
            chose = "chose" if split == "val" else "decided nothing"
            above = f"On the same {count(compared['n'])} {word} examples, which {chose}."
            name = results.named_scores(run.task)[main_metric(run)[0]][0].lower()
            alone = "Right alone" if run.counts_right else "Better alone"
            columns = ["Approaches", f"Difference in {name}", alone, "Verdict"]
            parts.append(f"<h3>{word.capitalize()}</h3>{table(above, columns, rows)}")
    return "".join(parts)


def ranking(run: RunFiles) -> str:
    """Backbones by what their features say of the labels, before anything was trained."""
    ranked, rated = run.result.get("ranking") or [], tasks.maybe(run.task, "transfer")
    rows = []
    for row in ranked:
        tuned = (approaches_of(run).get(str(row.get("approach"))) or {}).get("val") or {}
        rows.append(
            [
                escape(row.get("backbone") or NOTHING),
                *(
                    [number(row.get("logme")), percent(row.get("left_out_accuracy"))]
                    if rated
                    else []
                ),
                results.main(run.task, tuned.get(main_metric(run)[0]), tuned.get("n")),
                count(row.get("parameters")),
                duration(row.get("seconds")),
            ]
        )
    if not rows:
        return ""
    if not rated:
        above = "What each backbone came to, fine-tuned, on validation."
        return table(above, ["Backbone", "Fine-tuned", "Parameters", "Time"], rows, numeric=(2, 3))
    above = (
        "Of the features of the training examples, before anything was trained. LogME (arXiv "
        "2102.11005), the higher the better; accuracy of a logistic regression on examples that "
        "it was not fitted on. Beside them what the backbone came to, fine-tuned, on validation."
    )
    columns = ["Backbone", "LogME", "Left out", "Fine-tuned", "Parameters", "Time"]
    return table(above, columns, rows, numeric=(1, 2, 4, 5))


def curve(run: RunFiles) -> str:
    """The learning curve in numbers."""
    points_of = run.result.get("learning_curve") or []
    shown = [
        (key, *told)
        for key, told in results.named_scores(run.task).items()
        if any(key in p for p in points_of)
    ]
    rows = [
        [percent(p.get("share")), count(p.get("n"))]
        + [written(p.get(key)) for key, _, written in shown]
        for p in points_of
    ]
    if not rows:
        return ""
    expected = more(run.result["learning_curve"]) if run.counts_right else None
    said = ""
    if expected:
        said = f" Twice as many, {count(expected[0])}, would bring {points(expected[1])}."
    above = f"Of a head on parts of the training examples, mean of several draws.{said}"
    titles = [name for _, name, _ in shown]
    titles[:1] = [f"Validation {title.lower()}" for title in titles[:1]]
    return table(above, ["Share", "Examples", *titles], rows, range(2 + len(shown)))


SECTIONS = {
    "Approaches": approaches,
    "Differences": differences,
    "Backbones": ranking,
    "Learning curve": curve,
}
