"""Sections of the report of the command `compare`, as HTML; "" if there is nothing to show."""

from tl_keras import tasks
from tl_keras.report.advice.on_approaches import NOWHERE, accuracies, more
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.search_charts import Estimate, by_examples, by_name, pareto
from tl_keras.report.drawings.words import (
    count,
    counted,
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
    """Returns charts of the scores of all approaches, and a table with a row for each approach."""
    if not approaches_of(run):
        return ""
    return f"{_charts(run) if run.counts_right else ''}{_table(run)}{_left_out(run)}"


def _charts(run: RunFiles) -> str:
    every, split = list(approaches_of(run).items()), "test"
    scores = [record.test for _, record in every]
    if not any(scores):
        scores, split = [record.val for _, record in every], "validation"
    measured = {
        i: (name, record, shown)
        for i, ((name, record), shown) in enumerate(zip(every, scores, strict=True), start=1)
        if shown and is_number(shown.get(run.main))
    }
    by_its_name = {name: _estimate(run, i, shown) for i, (name, _, shown) in measured.items()}
    timed = {
        i: _estimate(run, record.training, shown)
        for i, (_, record, shown) in measured.items()
        if is_number(record.training) and record.training > 0
    }
    by_latency = {
        i: _estimate(run, record.latency_ms, shown)
        for i, (_, record, shown) in measured.items()
        if is_number(record.latency_ms)
    }
    drawn = [by_name(by_its_name, split)]
    drawn.append(pareto("seconds of training", timed, split.capitalize()) if timed else "")
    title = f"{_format(run)} latency, ms"
    drawn.append(pareto(title, by_latency, split.capitalize()) if by_latency else "")
    drawn.append(by_examples(accuracies(run)))
    drawn = [svg for svg in drawn if svg]
    pairs = [drawn[i : i + 2] for i in range(0, len(drawn), 2)]
    above = (
        f"Accuracy on {split} examples; bars are 95% intervals. The number beside a point is the "
        "number of the approach in the table below. The learning curve shows the accuracy on "
        "validation examples by the number of training examples."
    )
    charts = "".join(f'<div class="charts">{"".join(pair)}</div>' for pair in pairs)
    return (note(above) if charts else "") + charts


def _format(run: RunFiles) -> str:
    """Returns the format of the files whose size and latency were measured, such as `int8`."""
    return next(iter(approaches_of(run).values())).format


def _estimate(run: RunFiles, x: float, scores: MainScores) -> Estimate:
    share = scores[run.main]
    return Estimate(x, share, *(scores.interval or (share, share)))


def _table(run: RunFiles) -> str:
    best, rows = (run.result.recommended or Recommended()).best, []
    for i, (name, record) in enumerate(approaches_of(run).items(), start=1):
        mark = ' <span class="ok">best</span>' if name == best else ""
        rows.append(
            [
                str(i),
                f'{escape(name)}{mark} <small class="wrap">{escape(isolated(title(run, name)))}'
                "</small>",
                _main_score(run, record.val),
                _main_score(run, record.test),
                duration(record.training),
                duration(record.to_scratch),
                count(record.parameters),
                megabytes(record.bytes),
                number(record.latency_ms),
            ]
        )
    above = (
        f"{tasks.of(run.task, 'words').SEVERAL} with 95% intervals. Validation scores are too "
        "good, because they were used to choose the freeze depth, the epochs and the weights of "
        'these models. The validation score of the approach "cross_validate" covers the training '
        "and validation examples: each is answered by the model of the fold that held it out. The "
        'column "Matches scratch" has the training time after which the approach had reached the '
        'best validation score of the approach "scratch". Size and latency are measured on the '
        f"{_format(run)} file. Each approach has a folder with its own report."
    )
    columns = ["No.", "Approach", "Validation", "Test", "Training", "Matches scratch"]
    columns += ["Parameters", "Size", "Latency, ms"]
    return table(above, columns, rows, numeric=(0, 4, 5, 6, 7, 8))


def _main_score(run: RunFiles, scores: MainScores | None) -> str:
    """Returns the task's main metric from the scores of an approach on one split, as HTML."""
    scores = scores or MainScores()
    return results.main(run.task, scores.get(run.main), scores.n)


def _left_out(run: RunFiles) -> str:
    left_out = run.result.left_out or {}
    rows = [[escape(name), escape(why)] for name, why in left_out.items()]
    return table("Approaches that were not run.", ["Approach", "Why"], rows) if rows else ""


def differences(run: RunFiles) -> str:
    """Returns tables of the recommended approach's score minus the scores of all other approaches.

    The approaches are compared example by example, on validation and on test.
    """
    recommended = run.result.recommended or Recommended()
    val, test = recommended.val or NOWHERE, recommended.test or NOWHERE
    return _differences(run, val, "validation", "is based on these examples") + _differences(
        run, test, "test", "does not depend on these examples"
    )


def _differences(run: RunFiles, standing: Standing, split: str, role: str) -> str:
    best = run.result.recommended.best if run.result.recommended else None
    rows = [
        [
            f"{escape(best)} against {escape(name)}",
            f"{gap(run, difference.difference)} <small>{between(run, difference.interval)}</small>",
            f"{count(difference.won)} to {count(difference.lost)}",
            "noise" if difference.interval[0] <= 0 <= difference.interval[1] else "significant",
        ]
        for name, difference in standing.against.items()
    ]
    if not rows:
        return ""
    right = "right" if run.counts_right else "better"
    above = (
        f"All approaches answered the same {counted(standing.n, f'{split} example')}. The "
        f"recommendation {role}. Difference: the score of the first approach minus the score of "
        f"the second approach, with its 95% interval. Only one {right}: the number of examples on "
        f"which only the first approach is {right}, then the number on which only the second "
        "approach is. Noise: the interval of the difference contains 0. Significant: it does not "
        "contain 0."
    )
    name = results.named_scores(run.task)[run.main][0].lower()
    columns = ["Approaches", f"Difference in {name}", f"Only one {right}", "Verdict"]
    return f"<h3>{split.capitalize()}</h3>{table(above, columns, rows)}"


WRITTEN = {"number": number, "percent": percent}


def ranking(run: RunFiles) -> str:
    """Returns a table of the backbones, ranked by how well their features predict the labels."""
    transfer, rows = tasks.maybe(run.task, "transfer"), []
    for ranked in run.result.ranking or []:
        tuned = approaches_of(run).get(ranked.approach)
        columns = transfer.COLUMNS.items() if transfer else ()
        rows.append(
            [
                escape(ranked.backbone),
                *(WRITTEN[kind](ranked.get(key)) for key, (_, kind) in columns),
                _main_score(run, tuned.val if tuned else None),
                count(ranked.parameters),
                duration(ranked.seconds),
            ]
        )
    if not rows:
        return ""
    if not transfer:
        above = "The validation score of each backbone after fine-tuning."
        return table(above, ["Backbone", "Fine-tuned", "Parameters", "Time"], rows, numeric=(2, 3))
    above = (
        "How well the features of each pretrained backbone predict the labels of the training "
        f"examples, before fine-tuning. {transfer.ABOUT} Fine-tuned: the validation score after "
        "fine-tuning."
    )
    titles = [title for title, _ in transfer.COLUMNS.values()]
    last = len(titles) + 3
    columns = ["Backbone", *titles, "Fine-tuned", "Parameters", "Time"]
    return table(above, columns, rows, numeric=(*range(1, len(titles) + 1), last - 1, last))


def curve(run: RunFiles) -> str:
    """Returns the learning curve as a table: scores by the number of training examples."""
    points_of = run.result.learning_curve or []
    shown = [
        (key, *described)
        for key, described in results.named_scores(run.task).items()
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
    forecast = ""
    if expected:
        n, gain = expected
        forecast = (
            f" The trend of the curve predicts that twice as many examples, {count(n)}, raise the "
            f"accuracy by {points(gain)}."
        )
    above = (
        "For each row, heads were trained on random parts of the training examples. Share: the "
        "size of each part, as a share of all training examples. The scores are means over these "
        f"heads, measured on the validation examples.{forecast}"
    )
    titles = [name for _, name, _ in shown]
    titles[:1] = [f"Validation {title.lower()}" for title in titles[:1]]
    return table(above, ["Share", "Examples", *titles], rows, range(2 + len(shown)))


SECTIONS = {
    "Approaches": approaches,
    "Differences": differences,
    "Backbones": ranking,
    "Learning curve": curve,
}
