"""Time of a forward pass and of a training step: with folded batch norm, and with plain Keras.

    python benchmarks/folding.py --backbone=MobileNetV2 --size=160

The two sides take turns on the same batch, with batch norm in inference mode. The ratio of two
times is the ratio of their medians.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import page

from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.backbones import applications  # noqa: E402
from tl_keras.modalities.image.config import ImageConfig  # noqa: E402
from tl_keras.training.network import freeze  # noqa: E402
from tl_keras.training.network.fold_batch_norm import Inference, fold_batch_norm  # noqa: E402


def seconds_of(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each round of each side, without the first call, which traces."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--backbone", default="MobileNetV2", choices=list(applications.BACKBONES))
    flags.add_argument("--size", type=int, default=160, help="px, height = width")
    flags.add_argument("--batch", type=int, default=32)
    flags.add_argument("--rounds", type=int, default=20)
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    backbone = applications.build(chosen.backbone, {}, ImageConfig(size=chosen.size))
    freeze.freeze_batch_norm(backbone)
    shape = (chosen.batch, chosen.size, chosen.size, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    targets = np.zeros((chosen.batch, *backbone.output.shape[1:]), np.float32)
    infer = Inference(backbone)
    forward = {
        "keras": lambda: backbone.predict_on_batch(images),
        "folded": lambda: infer(images).numpy(),
    }
    passes = seconds_of(forward, chosen.rounds)
    sides = {"keras": backbone, "folded": fold_batch_norm(backbone)}
    for side in sides.values():
        side.compile(keras.optimizers.SGD(0.0), "mse")
    steps = {k: (lambda m=m: m.train_on_batch(images, targets)) for k, m in sides.items()}
    return {
        "settings": {
            "backbone": chosen.backbone,
            "image_size": chosen.size,
            "batch": chosen.batch,
            "rounds": chosen.rounds,
        },
        "seconds": {"forward": passes, "step": seconds_of(steps, chosen.rounds)},
    }


def compared(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    return (
        f"{settings['backbone']} at {settings['image_size']} px as Keras builds it, and the same "
        "network with its frozen batch norm folded into the convolutions, on batches of "
        f"{settings['batch']} images, {settings['rounds']} rounds in turn."
    )


def _medians(figures: dict[str, Any], work: str) -> tuple[float, float]:
    return tuple(float(np.median(figures["seconds"][work][side])) for side in ("keras", "folded"))


def results(figures: dict[str, Any]) -> str:
    rows, lines = [], []
    for work, name in (("forward", "Forward pass"), ("step", "Training step")):
        plain, folded = _medians(figures, work)
        rows.append(
            (name, f"{1e3 * plain:.1f} ms", f"{1e3 * folded:.1f} ms", _ratio(plain, folded))
        )
        lines.append(f"- A {name.lower()} with folded batch norm is {_speed(plain, folded)}.")
    head = ("", "Keras, median", "Folded, median", "Keras / folded")
    return "\n\n".join([page.table(head, rows), "## Conclusion", "\n".join(lines)])


def _ratio(plain: float, folded: float) -> str:
    return f"{plain / folded:.2f}"


def _speed(plain: float, folded: float) -> str:
    if folded < plain:
        return f"{_ratio(plain, folded)} times as fast"
    return f"not faster: it takes {folded / plain:.2f} times as long"


def headline(figures: dict[str, Any]) -> str:
    forward, step = (_ratio(*_medians(figures, work)) for work in ("forward", "step"))
    return f"{forward} times the speed of Keras in inference, {step} times in training"


BENCHMARK = page.Benchmark(
    "folding", "Folded batch norm", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
