"""Time of a forward pass and of a training step with batch norm folded, against Keras's own.

    python benchmarks/folding.py --backbone=MobileNetV2 --size=160

Both sides run in turn on the same batch, batch norm in inference mode; ratios are of medians.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from tl_keras.run.quiet import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from tl_keras.backbones import applications  # noqa: E402
from tl_keras.training.network import freeze  # noqa: E402
from tl_keras.training.network.fold_batch_norm import Inference, fold_batch_norm  # noqa: E402


def median(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each side; the first call of each, which traces, is not counted."""
    seconds = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="MobileNetV2", choices=list(applications.BACKBONES))
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    backbone = applications.build(chosen.backbone, {}, (chosen.size, chosen.size, 3))
    freeze.freeze_batch_norm(backbone)
    shape = (chosen.batch, chosen.size, chosen.size, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    targets = np.zeros((chosen.batch, *backbone.output.shape[1:]), np.float32)
    infer = Inference(backbone)
    forward = median(
        {
            "Keras": lambda: backbone.predict_on_batch(images),
            "folded": lambda: infer(images).numpy(),
        },
        chosen.rounds,
    )
    sides = {"Keras": backbone, "folded": fold_batch_norm(backbone)}
    for side in sides.values():
        side.compile(keras.optimizers.SGD(0.0), "mse")
    step = median(
        {k: (lambda m=m: m.train_on_batch(images, targets)) for k, m in sides.items()},
        chosen.rounds,
    )
    for title, found in {"forward pass": forward, "training step": step}.items():
        times = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in found.items())
        print(f"{title} of {chosen.batch}: {times}: {found['Keras'] / found['folded']:.2f} times")


if __name__ == "__main__":
    main()
