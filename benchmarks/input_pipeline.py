"""Images per second in one epoch: tl_keras against keras.utils.image_dataset_from_directory.

    python benchmarks/input_pipeline.py

Both sides read the same JPEGs with the same size (160 px), batch size (32) and cores. Each side is
measured six times, each time after a pause. Which side goes first alternates, because shared
machines slow down the second. The first epoch of tl_keras includes decoding into the array that
later epochs read. The audit of the files by tl_keras, which plain Keras does not do, is timed
separately.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import page
from PIL import Image

from tl_keras.config.text import from_tree
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching.inputs import Training, prepared_split
from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.data.batching import batches  # noqa: E402
from tl_keras.data.load import load  # noqa: E402


@dataclass(frozen=True)
class Photographs:
    """A set of JPEGs of noise at all scales, from a pixel to a seventh of the width.

    Attributes:
      size: px, width and height.
      count: number of files.
      slope: how fast finer detail fades; it decides the bits a pixel of the files.
    """

    size: tuple[int, int]
    count: int
    slope: float


# Photographs of 500 px on the web have about 5 bits a pixel. A decoder that reads an image at a
# fraction of its size still decodes all bits, so it saves more on files with few bits a pixel.
SETS = {
    "500 px": Photographs((500, 375), 4000, 0.2),
    "12 megapixels, soft": Photographs((4000, 3000), 200, 0.8),
    "12 megapixels, sharp": Photographs((4000, 3000), 200, 0.3),
}
BASES = 8  # Images are shifts of these: noise of 12 megapixels takes seconds to draw.
SIZE, BATCH, TURNS = 160, 32, 6
PAUSE = 2  # s


def write(photographs: Photographs, folder: Path) -> float:
    """Writes the JPEGs at quality 90, and returns their bits a pixel."""
    generator = np.random.default_rng(0)
    bases = [picture(photographs, generator) for _ in range(BASES)]
    for label in "ab":
        (folder / label).mkdir(parents=True)
    for i in range(photographs.count):
        shift = generator.integers(0, photographs.size[::-1])
        pixels = np.roll(bases[i % BASES], shift, axis=(0, 1))
        Image.fromarray(pixels).save(folder / "ab"[i % 2] / f"{i}.jpg", quality=90)
    size = sum(path.stat().st_size for path in folder.rglob("*.jpg"))
    return 8 * size / photographs.count / np.prod(photographs.size)


def picture(photographs: Photographs, generator: np.random.Generator) -> np.ndarray:
    width, height = photographs.size
    total, power, cells = np.zeros((height, width, 3), np.float32), 0.0, width
    while cells >= 4:
        noise = generator.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
        scaled = Image.fromarray(noise).resize(photographs.size, Image.Resampling.BICUBIC)
        weight = cells**-photographs.slope
        total += weight * (np.asarray(scaled, np.float32) - 127.5)
        power += weight**2
        cells //= 2
    return np.clip(127.5 + 0.8 * total / power**0.5, 0, 255).astype(np.uint8)


def seconds(action: Callable[[], int]) -> tuple[float, int]:
    """Returns the seconds of an action, and the number of images that it returned."""
    started = time.monotonic()
    count = action()
    return time.monotonic() - started, count


def read_all(data: tf.data.Dataset) -> int:
    return sum(len(batch[0]) for batch in data)


def config_of(folder: Path, cache: str, image: dict) -> RunConfig:
    data = {"path": str(folder), "val": 0.01, "test": 0.0}
    return from_tree({"data": data, "image": image, "cache": {"path": cache}})


def one_turn(folder: Path, ours_first: bool) -> dict[str, float]:
    """Returns the images a second of one turn."""
    plain = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    # Each turn has its own cache: it must not read images that an earlier turn decoded.
    cache = tempfile.mkdtemp(dir=folder.parent)
    config = config_of(folder, cache, {"size": SIZE, "augment": []})
    dataset = load(config)
    how = Training("image", BATCH, 0, (), None, "none", 2)
    place = tf.Variable([0, 0], dtype=tf.int64)
    prepared = []

    def first() -> int:
        inputs = prepared_split(dataset, "train", config)
        prepared.append(batches.training(inputs, how, place))
        return read_all(prepared[0])

    actions = {
        "keras": lambda: read_all(plain),
        "first": first,
        "second": lambda: read_all(prepared[0]),
    }
    order = ("first", "second", "keras") if ours_first else ("keras", "first", "second")
    rates = {}
    for name in order:
        time.sleep(PAUSE)
        taken, count = seconds(actions[name])
        rates[name] = count / taken
    return rates


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=__doc__.splitlines()[0])


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    sets = {}
    for name, photographs in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "photographs")
            bits = write(photographs, folder)
            config = config_of(folder, temporary, {})
            audit, _ = seconds(lambda c=config: bool(load(c)))
            turns = [one_turn(folder, turn % 2 == 0) for turn in range(TURNS)]
        sets[name] = {
            "images": photographs.count,
            "bits_a_pixel": bits,
            "audited_a_second": photographs.count / audit,
            "turns": turns,
        }
        page.progress(f"{name}: {sets[name]}")
    settings = {"image_size": SIZE, "batch": BATCH, "turns": TURNS}
    return {"settings": settings, "sets": sets}


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        "Images a second of an epoch of tl_keras and of "
        "`keras.utils.image_dataset_from_directory`, on the same JPEGs, decoded and resized to "
        f"{settings['image_size']} px in batches of {settings['batch']}; {settings['turns']} turns."
    )


def _ratio(one: dict[str, Any], epoch: str) -> tuple[float, float, float]:
    """Returns the median, lowest and highest ratio of an epoch's speed to Keras's, by turn."""
    ratios = [turn[epoch] / turn["keras"] for turn in one["turns"]]
    return statistics.median(ratios), min(ratios), max(ratios)


def results(figures: dict[str, Any]) -> str:
    rows, lines = [], []
    for name, one in figures["sets"].items():
        speed = {k: statistics.median(turn[k] for turn in one["turns"]) for k in one["turns"][0]}
        (first, low, high), (second, *_) = _ratio(one, "first"), _ratio(one, "second")
        cells = (
            f"{speed['keras']:,.0f}",
            f"{speed['first']:,.0f} ({first:.2f} times; {low:.2f} to {high:.2f})",
            f"{speed['second']:,.0f} ({second:.0f} times)",
            f"{one['audited_a_second']:,.0f}",
        )
        rows.append((f"{name}: {one['bits_a_pixel']:.1f} bits a pixel", *cells))
        lines.append(
            f"- {name}: the first epoch is {first:.2f} times as fast as Keras, later epochs "
            f"{second:.0f} times."
        )
    head = ("JPEGs", "Keras", "First epoch", "Later epochs", "Audit, once")
    return "\n\n".join(
        [
            "## Images a second",
            "Medians of the turns; ratios to Keras: the median, and the lowest to the highest of a "
            "turn. The first epoch also fills the array that later epochs read.",
            page.table(head, rows),
            "## Conclusion",
            "\n".join(lines),
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    name, one = next(iter(figures["sets"].items()))
    first, second = _ratio(one, "first")[0], _ratio(one, "second")[0]
    return (
        f"{name}: first epoch {first:.2f} times as fast as Keras, later epochs {second:.0f} times"
    )


BENCHMARK = page.Benchmark(
    "input_pipeline", "Input pipeline", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
