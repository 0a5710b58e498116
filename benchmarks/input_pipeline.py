"""Images a second of one epoch: tl_keras against keras.utils.image_dataset_from_directory.

    python benchmarks/input_pipeline.py

Both read the same JPEGs with the same size (160 px), batch (32) and cores, in turn, six times,
each one first every other time, after a pause: shared machines slow down who comes second. The
medians and their ratios are printed. The first epoch of tl_keras includes decoding into its
cache; its audit, which plain Keras does not do, is printed apart.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tl_keras.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.config import CacheConfig, DataConfig  # noqa: E402
from tl_keras.data import batches  # noqa: E402
from tl_keras.data.load import load  # noqa: E402

SETS = {"500 px": ((500, 375), 2000), "12 megapixels": ((4000, 3000), 96)}
SIZE, BATCH, TURNS = 160, 32, 6
PAUSE = 2  # s


def write_photographs(folder: Path, size: tuple[int, int], count: int) -> None:
    """JPEGs with about the detail of photographs: noise of several scales, at quality 90."""
    generator = np.random.default_rng(0)
    for i in range(count):
        layers = []
        for cells in (4, 16, 64, 256):
            noise = generator.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
            resized = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
            layers.append(np.asarray(resized, np.float32) / cells**0.5)
        pixels = np.sum(layers, axis=0) / sum(cells**-0.5 for cells in (4, 16, 64, 256))
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)


def seconds(action: Callable[[], int]) -> tuple[float, int]:
    """Seconds of an action, and the number of images that it returns."""
    started = time.monotonic()
    count = action()
    return time.monotonic() - started, count


def read_all(data: tf.data.Dataset) -> int:
    return sum(len(batch[0]) for batch in data)


def measure(folder: Path, ours_first: bool) -> dict[str, float]:
    """Images a second of one turn."""
    plain = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
    )
    config = DataConfig(path=str(folder), image_size=SIZE, val=0.01, test=0.0, augment=())
    # A cache of its own: no turn may read what an earlier one decoded.
    cache = CacheConfig(path=tempfile.mkdtemp(dir=folder.parent))
    dataset = load(config, cache)
    how = batches.Training(BATCH, 0, (), None, "none", 2)
    epoch = tf.Variable(0, dtype=tf.int64)
    prepared = []

    def first() -> int:
        inputs = batches.prepared(dataset, "train", config, cache)
        prepared.append(batches.training(inputs, how, epoch))
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
    for name, (size, count) in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "photographs")
            write_photographs(folder, size, count)
            config = DataConfig(path=str(folder), val=0.01, test=0.0)
            audit, _ = seconds(lambda c=config, t=temporary: bool(load(c, CacheConfig(path=t))))
            turns = [measure(folder, turn % 2 == 0) for turn in range(TURNS)]
        median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        first, second = (
            statistics.median(turn[key] / turn["keras"] for turn in turns)
            for key in ("first", "second")
        )
        print(
            f"{name}: Keras {median['keras']:.0f} images/s; tl_keras first epoch "
            f"{median['first']:.0f} ({first:.2f} times), second {median['second']:.0f} "
            f"({second:.1f} times); audit once {count / audit:.0f} images/s"
        )


if __name__ == "__main__":
    main()
