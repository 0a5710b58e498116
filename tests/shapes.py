"""Pictures of three shapes, and points in three clusters."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("cross", "disc", "square")


def draw(folder: Path, count: int, seed: int = 0, noise: float = 90) -> Path:
    """Writes a class folder per shape with `count` noisy pictures each, 48 x 40 px."""
    generator = np.random.default_rng(seed)
    for name in SHAPES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = Image.new("RGB", (48, 40), tuple(generator.integers(0, 80, 3)))
            _draw_shape(ImageDraw.Draw(image), name, generator)
            noisy = np.asarray(image) + generator.normal(0, noise, (40, 48, 3))
            pixels = noisy.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def _draw_shape(pen: ImageDraw.ImageDraw, name: str, generator: np.random.Generator) -> None:
    x, y, r = generator.integers((14, 12, 8), (34, 28, 12))
    colour = tuple(generator.integers(120, 255, 3))
    if name == "disc":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif name == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    else:
        pen.line((x - r, y, x + r, y), fill=colour, width=5)
        pen.line((x, y - r, x, y + r), fill=colour, width=5)


def clusters(count: int, seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Returns points `(count, 5) float32` around one centre per class, and their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    centres = np.random.default_rng(0).normal(0, 2, (classes, 5))
    features = centres[labels] + generator.normal(0, 1, (count, 5))
    return features.astype(np.float32), labels
