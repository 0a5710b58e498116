"""The data set `digits` inside the package: real handwritten digits on cluttered backgrounds.

The 1797 digits are scikit-learn's `load_digits`, 8x8 grey (UCI "Optical Recognition of
Handwritten Digits"). Logistic regression classifies 97 % of the original digits correctly. Here
each digit has a random place, scale, angle and colour on a cluttered background, so that a model
must recognise shapes. The difficulty was set once by eye (a person reads nearly all of the digits),
never by trying models.

The images must never change: a test pins their checksum. Therefore the module uses
`np.random.RandomState`, whose random numbers NumPy promises never to change (unlike those of its
Generator). It uses only uniform numbers, and only arithmetic that IEEE 754 rounds equally on every
machine: no sin, no exp, and no sum whose order could matter.
"""

import numpy as np
from sklearn.datasets import load_digits

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

# Limits memory. Random numbers are drawn chunk by chunk, so another value gives other images.
_CHUNK = 128
_CELL = 8  # px of the enlarged bitmap for one pixel of the original
_MARGIN = 2  # blank cells around the original, so that the digit fades out inside the bitmap
_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601


def render(seed: int = 0, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Returns images `(1797, size, size, 3) uint8` RGB and labels `(1797,) int64` in 0..9.

    Image i shows digit i of `sklearn.datasets.load_digits`. The places and sizes of the digit and
    of the shapes behind it are proportional to `size` (px).
    """
    bitmaps, labels = load_digits(return_X_y=True)
    sheets = _enlarge(bitmaps.reshape(-1, 8, 8))
    random = np.random.RandomState(seed)
    chunks = [
        _compose(sheets[start : start + _CHUNK], random, size)
        for start in range(0, len(sheets), _CHUNK)
    ]
    return np.concatenate(chunks), labels.astype(np.int64)


def _compose(sheets: np.ndarray, random: np.random.RandomState, size: int) -> np.ndarray:
    # Channels come first, (n, 3, height, width), since NumPy is slow on a short innermost axis.
    n = len(sheets)
    x, y = _grid(size)
    dark = _uniform(random, n, 0.03, 0.38)
    contrast = _uniform(random, n, 0.35, 0.6)
    light_ink = _uniform(random, n, 0.0, 1.0) < 0.5
    ground = np.where(light_ink, dark, dark + contrast)
    ink = np.where(light_ink, dark + contrast, dark)
    canvas = _gradient(random, ground, contrast, x, y)
    # Shapes are painted over the ground, never added to it. Everything behind the digit stays
    # within 0.45 of the contrast from the ground's luminance, so the digit keeps more than half the
    # contrast.
    for shape in (_wedge, _ellipse, _wedge, _ellipse, _line, _line, _line):
        coverage = shape(random, n, x, y, size)
        canvas = _paint(canvas, coverage, _colour(random, _near(random, ground, 0.45, contrast)))
    canvas = _paint(canvas, _digit(random, sheets, x, y), _colour(random, ink))
    canvas = _blur(canvas, _uniform(random, n, 0.0, 0.2))
    noise = random.random_sample(canvas.shape).astype(np.float32) - 0.5
    canvas = canvas + noise * _uniform(random, n, 0.03, 0.15)
    return np.floor(np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)


def _uniform(random: np.random.RandomState, n: int, low: float, high: float) -> np.ndarray:
    # Not `random.uniform`: some builds of its C code fuse multiplication and addition, others do
    # not.
    return (low + (high - low) * random.random_sample((n, 1, 1, 1))).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    # Coordinates of pixel centres; the frame is -0.5..0.5.
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return centres.reshape(1, 1, 1, -1), centres.reshape(1, 1, -1, 1)


def _near(
    random: np.random.RandomState, luminance: np.ndarray, share: float, contrast: np.ndarray
) -> np.ndarray:
    offset = _uniform(random, len(luminance), -share, share) * contrast
    return np.clip(luminance + offset, 0.02, 0.98)


def _colour(random: np.random.RandomState, luminance: np.ndarray) -> np.ndarray:
    # A random colour with exactly this luminance, (n, 3, 1, 1). Green balances red and blue. The
    # distance to black and white limits the saturation, so no channel is clipped.
    red = _uniform(random, len(luminance), -1.0, 1.0)
    blue = _uniform(random, len(luminance), -1.0, 1.0)
    green = -(red * _LUMINANCE[0] + blue * _LUMINANCE[2]) / _LUMINANCE[1]
    room = np.minimum(luminance, 1.0 - luminance)
    return luminance + room * np.concatenate([red, green, blue], axis=1)


def _paint(canvas: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return canvas + coverage * (colour - canvas)


def _gradient(
    random: np.random.RandomState,
    ground: np.ndarray,
    contrast: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    n = len(ground)
    slope_x, slope_y = _uniform(random, n, -1.0, 1.0), _uniform(random, n, -1.0, 1.0)
    start = _colour(random, _near(random, ground, 0.3, contrast))
    end = _colour(random, _near(random, ground, 0.3, contrast))
    return start + np.clip(slope_x * x + slope_y * y + 0.5, 0.0, 1.0) * (end - start)


def _opacity(random: np.random.RandomState, n: int) -> np.ndarray:
    # Zero in three of ten images, so that the amount of clutter differs from image to image.
    present = _uniform(random, n, 0.0, 1.0) < 0.7
    return np.where(present, _uniform(random, n, 0.3, 1.0), np.float32(0.0))


def _line(
    random: np.random.RandomState, n: int, x: np.ndarray, y: np.ndarray, size: int
) -> np.ndarray:
    x0, y0, x1, y1 = (_uniform(random, n, -0.6, 0.6) for _ in range(4))
    half_width = _uniform(random, n, 0.005, 0.03)
    dx, dy = x1 - x0, y1 - y0
    along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-6)
    along = np.clip(along, 0.0, 1.0)
    off_x, off_y = x - x0 - along * dx, y - y0 - along * dy
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    return _opacity(random, n) * np.clip((half_width - distance) * size + 0.5, 0.0, 1.0)


def _ellipse(
    random: np.random.RandomState, n: int, x: np.ndarray, y: np.ndarray, size: int
) -> np.ndarray:
    x0, y0 = _uniform(random, n, -0.6, 0.6), _uniform(random, n, -0.6, 0.6)
    radius, squeeze = _uniform(random, n, 0.06, 0.35), _uniform(random, n, 1.0, 2.0)
    skew = _uniform(random, n, -1.0, 1.0)
    off_x, off_y = x - x0, (y - y0) * squeeze
    off_x = off_x + skew * off_y
    inside = radius - np.sqrt(off_x * off_x + off_y * off_y)
    ring = _uniform(random, n, 0.0, 1.0) < 0.5
    half_width = _uniform(random, n, 0.005, 0.03)
    inside = np.where(ring, half_width - np.abs(inside), inside)
    return _opacity(random, n) * np.clip(inside * size + 0.5, 0.0, 1.0)


def _wedge(
    random: np.random.RandomState, n: int, x: np.ndarray, y: np.ndarray, size: int
) -> np.ndarray:
    # The intersection of three half-planes: a triangle, or a wedge that leaves the frame.
    x0, y0 = _uniform(random, n, -0.5, 0.5), _uniform(random, n, -0.5, 0.5)
    inside = np.float32(1.0)
    for _ in range(3):
        slope_x, slope_y = _uniform(random, n, -1.0, 1.0), _uniform(random, n, -1.0, 1.0)
        reach = _uniform(random, n, 0.05, 0.25)
        inside = np.minimum(inside, reach + slope_x * (x - x0) + slope_y * (y - y0))
    return _opacity(random, n) * np.clip(inside * size + 0.5, 0.0, 1.0)


def _digit(
    random: np.random.RandomState, sheets: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    # The coverage of each pixel by the digit, (n, 1, height, width) in 0..1.
    n = len(sheets)
    height = _uniform(random, n, 24 / 64, 50 / 64)
    # tan(angle / 2) for angles within 20 degrees; it gives cosine and sine without calling sin.
    half = _uniform(random, n, -0.176, 0.176)
    cosine, sine = (1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)
    # The corners of the digit's 8x8 box may leave the frame, since they are blank.
    room = 0.5 - 0.52 * height
    off_x = x - room * _uniform(random, n, -1.0, 1.0)
    off_y = y - room * _uniform(random, n, -1.0, 1.0)
    scale = 8 * _CELL / height
    middle = (sheets.shape[1] - 1) / 2
    column = scale * (cosine * off_x + sine * off_y) + middle
    row = scale * (cosine * off_y - sine * off_x) + middle
    gain = _uniform(random, n, 1.1, 1.6)
    return np.clip(gain * _sample(sheets, row, column), 0.0, 1.0)


def _sample(sheets: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    # Bilinear sampling; coordinates beyond the edge read the blank margin.
    n, side, _ = sheets.shape
    row, column = np.clip(row, 0.0, side - 1.001), np.clip(column, 0.0, side - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = row - top.astype(np.float32), column - left.astype(np.float32)
    first = np.arange(n, dtype=np.int32).reshape(n, 1, 1, 1) * (side * side) + top * side + left
    flat = sheets.ravel()
    above = flat[first] * (1.0 - right) + flat[first + 1] * right
    below = flat[first + side] * (1.0 - right) + flat[first + side + 1] * right
    return above * (1.0 - down) + below * down


def _enlarge(bitmaps: np.ndarray) -> np.ndarray:
    """Returns bitmaps enlarged bicubically, `(n, side, side) float32`, with a blank border.

    The values are about 0..1; bicubic interpolation may go slightly beyond.

    The weights are multiples of 2**-13 and the bitmaps hold 0..16, so the matrix products are
    exact in float64, whichever BLAS computes them.
    """
    pad = ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))
    weights = _cubic_weights(8 + 2 * _MARGIN)
    sheets = weights @ np.pad(bitmaps, pad) @ weights.T
    return (sheets / 16.0).astype(np.float32)


def _cubic_weights(cells: int) -> np.ndarray:
    # Keys' kernel with a = -1/2 (Keys 1981), (cells * _CELL, cells).
    positions = (np.arange(cells * _CELL) + 0.5) / _CELL - 0.5
    d = np.abs(positions[:, None] - np.arange(cells)[None, :])
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))


def _blur(canvas: np.ndarray, side: np.ndarray) -> np.ndarray:
    # A filter of three taps in each direction: side, 1 - 2 * side, side.
    for axis in (2, 3):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        wide = np.pad(canvas, pad, mode="edge")
        length = canvas.shape[axis]
        before = np.take(wide, np.arange(length), axis)
        after = np.take(wide, np.arange(2, length + 2), axis)
        canvas = canvas + side * (before + after - canvas - canvas)
    return canvas
