"""Sections of a comparison of approaches: a run in, HTML out."""

from tl_keras import tasks
from tl_keras.report.advice.on_approaches import NOWHERE, accuracies, more
from tl_keras.report.drawings.markup import escape, table
from tl_keras.report.drawings.search_charts import Estimate, by_examples, by_name, pareto
from tl_keras.report.drawings.words import (
    count,
    duration,
    is_number,
    isolated,
    megabytes,
    number,
    percent,
    points,
)
from tl_keras.report.facts.compared import approaches_of, between, gap, title
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results
from tl_keras.run.result.comparison import Recommended, Standing
from tl_keras.run.result.part import MainScores


def approaches(run: RunFiles) -> str:
    """A line for each approach, and charts."""
    own = approaches_of(run)
    if not own:
        return ""
    return f"{_charts(run) if run.counts_right else ''}{_table(run)}{_left_out(run)}"


def _charts(run: RunFiles) -> str:
    every, split = list(approaches_of(run).items()), "test"
    scores = [own.test for _, own in every]
    if not any(scores):
        scores, split = [own.val for _, own in every], "validation"
    measured = {
        i: (name, own, shown)
        for i, ((name, own), shown) in enumerate(zip(every, scores, strict=True), start=1)
        if shown and is_number(shown.get(run.main))
    }
    by_its_name = {name: _estimate(run, i, shown) for i, (name, _, shown) in measured.items()}
    timed = {
        i: _estimate(run, own.training, shown)
        for i, (_, own, shown) in measured.items()
        if is_number(own.training) and own.training > 0
    }
    sized = {
        i: _estimate(run, own.latency_ms, shown)
        for i, (_, own, shown) in measured.items()
        if is_number(own.latency_ms)
    }
    drawn = [by_name(by_its_name, split)]
    drawn.append(pareto("seconds of training", timed) if timed else "")
    drawn.append(pareto("int8 latency, ms", sized) if sized else "")
    drawn.append(by_examples(accuracies(run)))
    drawn = [svg for svg in drawn if svg]
    pairs = [drawn[i : i + 2] for i in range(0, len(drawn), 2)]
    return "".join(f'<div class="charts">{"".join(pair)}</div>' for pair in pairs)


def _estimate(run: RunFiles, x: float, scores: MainScores) -> Estimate:
    share = scores[run.main]
    return Estimate(x, share, *(scores.interval or (share, share)))


def _table(run: RunFiles) -> str:
    best, rows = (run.result.recommended or Recommended()).best, []
    for i, (name, own) in enumerate(approaches_of(run).items(), start=1):
        mark = ' <span class="ok">best</span>' if name == best else ""
        rows.append(
            [
                str(i),
                f"{escape(name)}{mark} <small>{escape(isolated(title(run, name)))}</small>",
                _main(run, own.val),
                _main(run, own.test),
                duration(own.training),
                duration(own.to_scratch),
                count(own.parameters),
                megabytes(own.bytes),
                number(own.latency_ms),
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


def _main(run: RunFiles, scores: MainScores | None) -> str:
    """The main metric of a split, as HTML."""
    scores = scores or MainScores()
    return results.main(run.task, scores.get(run.main), scores.n)


def _left_out(run: RunFiles) -> str:
    left_out = run.result.left_out or {}
    rows = [[escape(name), escape(why)] for name, why in left_out.items()]
    return table("Not run.", ["Approach", "Why"], rows) if rows else ""


def differences(run: RunFiles) -> str:
    """How the others stand against the one that is recommended, example by example."""
    found = run.result.recommended or Recommended()
    val, test = found.val or NOWHERE, found.test or NOWHERE
    chose = _differences(run, val, "validation", "chose")
    return chose + _differences(run, test, "test", "decided nothing")


def _differences(run: RunFiles, standing: Standing, word: str, did: str) -> str:
    best = run.result.recommended.best if run.result.recommended else None
    rows = [
        [
            f"{escape(best)} against {escape(name)}",
            f"{gap(run, own.difference)} <small>{between(run, own.interval)}</small>",
            f"{count(own.won)} to {count(own.lost)}",
            "noise" if own.interval[0] <= 0 <= own.interval[1] else "beyond chance",
        ]
        for name, own in standing.against.items()
    ]
    if not rows:
        return ""
    above = f"On the same {count(standing.n)} {word} examples, which {did}."
    name = results.named_scores(run.task)[run.main][0].lower()
    alone = "Right alone" if run.counts_right else "Better alone"
    columns = ["Approaches", f"Difference in {name}", alone, "Verdict"]
    return f"<h3>{word.capitalize()}</h3>{table(above, columns, rows)}"


WRITTEN = {"number": number, "percent": percent}


def ranking(run: RunFiles) -> str:
    """Backbones by what their features say of the labels, before anything was trained."""
    rated, rows = tasks.maybe(run.task, "transfer"), []
    for ranked in run.result.ranking or []:
        tuned = approaches_of(run).get(ranked.approach)
        columns = rated.COLUMNS.items() if rated else ()
        rows.append(
            [
                escape(ranked.backbone),
                *(WRITTEN[kind](ranked.get(key)) for key, (_, kind) in columns),
                _main(run, tuned.val if tuned else None),
                count(ranked.parameters),
                duration(ranked.seconds),
            ]
        )
    if not rows:
        return ""
    if not rated:
        above = "What each backbone came to, fine-tuned, on validation."
        return table(above, ["Backbone", "Fine-tuned", "Parameters", "Time"], rows, numeric=(2, 3))
    above = (
        f"Of the features of the training examples, before anything was trained. {rated.ABOUT} "
        "Beside them what the backbone came to, fine-tuned, on validation."
    )
    named = [title for title, _ in rated.COLUMNS.values()]
    last = len(named) + 3
    columns = ["Backbone", *named, "Fine-tuned", "Parameters", "Time"]
    return table(above, columns, rows, numeric=(*range(1, len(named) + 1), last - 1, last))


def curve(run: RunFiles) -> str:
    """The learning curve in numbers."""
    points_of = run.result.learning_curve or []
    shown = [
        (key, *told)
        for key, told in results.named_scores(run.task).items()
        if any(key in point for point in points_of)
    ]
    rows = [
        [percent(point.share), count(point.n)]
        + [written(point.get(key)) for key, _, written in shown]
        for point in points_of
    ]
    if not rows:
        return ""
    expected = more(accuracies(run)) if run.counts_right else None
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
