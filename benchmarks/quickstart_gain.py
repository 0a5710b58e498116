"""What the quickstart's backbone brings, on the test digits of tl-keras quickstart.

    python benchmarks/quickstart_gain.py

Four learners, one after the other, from the same labelled digits: the quickstart itself, a
logistic regression on raw pixels, and the quickstart's model from scratch, given the seconds that
the quickstart trained and given ten times those. Choices are made on validation alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import tl_keras
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.run.quiet import start_tensorflow
from tl_keras.run.run import Run

EMBEDDED = Path(tl_keras.__file__).parent / "embedded" / "quickstart.yaml"
FROM_SCRATCH = ["model.weights=none", "fit.freeze=auto", "fit.learning_rate=auto"]


def training_seconds(run: Run) -> float:
    """Seconds that a run spent on features, head and fine-tuning."""
    seconds = run.result["seconds"]
    return sum(seconds.get(phase, 0.0) for phase in ("features", "head", "finetune"))


def raw_pixels(config: RunConfig) -> float:
    """Test accuracy of a logistic regression on pixels, its C chosen on validation."""
    from tl_keras.data import load

    dataset = load.load(config)
    pixels, labels = {}, {}
    for split, examples in dataset.splits.items():
        images = dataset.images[[example.index for example in examples]]
        pixels[split] = images.reshape(len(images), -1) / 255.0
        labels[split] = dataset.labels(split)
    models = [
        LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(pixels["train"], labels["train"])
        for strength in (1e-5, 1e-4, 1e-3, 1e-2)
    ]
    best = max(models, key=lambda model: model.score(pixels["val"], labels["val"]))
    return float(best.score(pixels["test"], labels["test"]))


def from_scratch(seconds: float, folder: Path, seed: int) -> tuple[float, float]:
    """Test accuracy and seconds of a training from scratch that takes about `seconds`.

    The schedule must end in time to be fair, so the epochs are counted by a short run's speed.
    """
    same = [*FROM_SCRATCH, f"seed={seed}", f"data.split_seed={seed}"]
    run = tl_keras.pretrain(configs.load(EMBEDDED, [*same, "fit.epochs=4"]), folder / "probe")
    ends = [
        json.loads(line)["seconds"]
        for line in (run.workdir / "metrics.jsonl").read_text().splitlines()
    ]
    an_epoch = (ends[-1] - ends[0]) / (len(ends) - 1)
    epochs = max(1, round((seconds - ends[0]) / an_epoch))
    planned = [*same, f"fit.epochs={epochs}", f"fit.patience={epochs}"]
    run = tl_keras.pretrain(configs.load(EMBEDDED, planned), folder / "planned")
    return run.result["test"]["accuracy"], training_seconds(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    start_tensorflow()
    accuracies: dict[str, list[float]] = {}
    for seed in parser.parse_args().seeds:
        with tempfile.TemporaryDirectory() as temporary:
            config = configs.load(EMBEDDED, [f"seed={seed}", f"data.split_seed={seed}"])
            started = time.monotonic()
            run = tl_keras.finetune(config, Path(temporary, "quickstart"))
            taken, whole = training_seconds(run), time.monotonic() - started
            rows = {
                "quickstart": (run.result["test"]["accuracy"], taken),
                "raw pixels": (raw_pixels(config), float("nan")),
                "scratch, the same time": from_scratch(taken, Path(temporary, "1"), seed),
                "scratch, ten times": from_scratch(10 * taken, Path(temporary, "10"), seed),
            }
        print(f"seed {seed}: the quickstart took {whole:.0f} s, {taken:.0f} s of them training")
        for name, (accuracy, seconds) in rows.items():
            accuracies.setdefault(name, []).append(accuracy)
            print(f"  {name:24} {accuracy:.3f} in {seconds:.0f} s", flush=True)
    for name, values in accuracies.items():
        print(f"{name:26} {np.mean(values):.3f} +- {np.std(values):.3f}, {len(values)} seeds")


if __name__ == "__main__":
    main()
