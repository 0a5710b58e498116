"""Draws the splits of the benchmarks from class folders, and defines the flags that they share."""

import argparse
import random
import shutil
from collections import defaultdict
from pathlib import Path

from tl_keras.data.examples import SPLITS

SETS = ("ants_bees", "busi", "sign_digits")
TITLES = {
    "ants_bees": "ants and bees",
    "busi": "breast ultrasound (BUSI)",
    "sign_digits": "sign language digits",
}
SUFFIXES = {".jpg", ".jpeg", ".png"}
TRAIN, VAL = 50, 10  # images a class
SIZE, BATCH = 160, 32  # px, height = width; images


def parser_of_one(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that benchmarks on one data set share."""
    parser = _parser(description)
    parser.add_argument(
        "--data_set", default="sign_digits", metavar="NAME", help="a folder in --data"
    )
    return parser


def parser_of_several(description: str) -> argparse.ArgumentParser:
    """Returns a parser of the flags that benchmarks on several data sets share."""
    parser = _parser(description)
    add_sets(parser)
    return parser


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--weights", type=Path, required=True, help="MobileNetV2 weights, .h5")
    return parser


def add_sets(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose data sets and seeds."""
    parser.add_argument(
        "--sets", nargs="+", default=list(SETS), metavar="NAME", help="folders in --data"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])


def title(name: str) -> str:
    """Returns a data set's name as a page writes it."""
    return TITLES.get(name, name)


def listed(words: list) -> str:
    """Returns words as a sentence lists them."""
    *rest, last = map(str, words)
    return f"{', '.join(rest)} and {last}" if rest else last


def seeds(numbers: list[int]) -> str:
    """Returns seeds as a sentence names them."""
    return f"{'seeds' if len(numbers) > 1 else 'seed'} {listed(numbers)}"


def shuffled(source: Path, seed: int) -> dict[str, list[Path]]:
    """Returns the images of each class, in an order drawn with a seed.

    Splits that the data set already has are pooled.
    """
    by_class = defaultdict(list)
    for file in sorted(source.rglob("*")):
        if file.suffix.lower() in SUFFIXES:
            by_class[file.parent.name].append(file)
    generator = random.Random(seed)
    for files in by_class.values():
        generator.shuffle(files)
    return by_class


def write_splits(source: Path, folder: Path, seed: int, train: int = TRAIN, val: int = VAL) -> None:
    """Copies `train` and `val` images of each class into train/ and val/, all others into test/."""
    for name, files in shuffled(source, seed).items():
        parts = files[:train], files[train : train + val], files[train + val :]
        for split, part in zip(SPLITS, parts, strict=True):
            copy(part, source, folder / split / name)


def copy(files: list[Path], source: Path, place: Path) -> None:
    """Copies images into one folder, under names that stay unique."""
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, place / "_".join(file.relative_to(source).parts))
