"""Images a second of one epoch: tl_keras against keras.utils.image_dataset_from_directory.

    python benchmarks/input_pipeline.py

Both read the same JPEGs with the same size (160 px), batch (32) and cores, in turn, six times,
each one first every other time, after a pause: shared machines slow down who comes second. The
medians and their ratios are printed. The first epoch of tl_keras includes decoding into the array
that later epochs read; its audit, which plain Keras does not do, is printed apart.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tl_keras.config.text import from_tree
from tl_keras.config.whole import RunConfig
from tl_keras.data.inputs import Training, prepared_split
from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.data import batches  # noqa: E402
from tl_keras.data.load import load  # noqa: E402


@dataclass(frozen=True)
class Photographs:
    """A set of JPEGs: noise of all scales, from a pixel to a seventh of the picture.

    Attributes:
      size: px, width and height.
      count: how many.
      slope: how much less of finer detail; it decides the bits a pixel of the files.
    """

    size: tuple[int, int]
    count: int
    slope: float


# Photographs on the web, of 500 px, have about 5 bits a pixel. Entropy decoding cannot be done
# at a fraction, so a file of 12 megapixels gains the more, the fewer bits it has.
SETS = {
    "500 px": Photographs((500, 375), 4000, 0.2),
    "12 megapixels, soft": Photographs((4000, 3000), 200, 0.8),
    "12 megapixels, sharp": Photographs((4000, 3000), 200, 0.3),
}
BASES = 8  # Pictures are these, shifted: noise of 12 megapixels takes seconds.
SIZE, BATCH, TURNS = 160, 32, 6
PAUSE = 2  # s


def write(photographs: Photographs, folder: Path) -> float:
    """Writes the JPEGs at quality 90; returns their bits a pixel."""
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
    """Seconds of an action, and the number of images that it returns."""
    started = time.monotonic()
    count = action()
    return time.monotonic() - started, count


def read_all(data: tf.data.Dataset) -> int:
    return sum(len(batch[0]) for batch in data)


def config_of(folder: Path, cache: str, image: dict) -> RunConfig:
    data = {"path": str(folder), "val": 0.01, "test": 0.0}
    return from_tree({"data": data, "image": image, "cache": {"path": cache}})


def measure(folder: Path, ours_first: bool) -> dict[str, float]:
    """Images a second of one turn."""
    plain = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    # A cache of its own: no turn may read what an earlier one decoded.
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


def main() -> None:
    for name, photographs in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "photographs")
            bits = write(photographs, folder)
            config = config_of(folder, temporary, {})
            audit, _ = seconds(lambda c=config: bool(load(c)))
            turns = [measure(folder, turn % 2 == 0) for turn in range(TURNS)]
        median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        first, second = (
            statistics.median(turn[key] / turn["keras"] for turn in turns)
            for key in ("first", "second")
        )
        print(
            f"{name} ({bits:.1f} bits a pixel): Keras {median['keras']:.0f} images/s; tl_keras "
            f"first epoch {median['first']:.0f} ({first:.2f} times), second "
            f"{median['second']:.0f} ({second:.1f} times); audit once "
            f"{photographs.count / audit:.0f} images/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
