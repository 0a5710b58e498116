"""Near-duplicates: pictures of the same, recompressed, resized, brightened, cropped or mirrored.

Imports no TensorFlow: files are compared before anything slow begins.
"""

from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tl_keras.modalities.image.pillow import FORMATS, UPRIGHT, orientation, quiet_pillow, to_rgb

MAX_EXAMPLES = 50_000  # Hashes of all pairs are compared.
THUMBNAIL = 32  # px, height = width
SHAPE = (THUMBNAIL, THUMBNAIL)  # of a thumbnail, uint8
# Recompressed, resized, brightened and slightly cropped copies lie within both bounds. A hash
# alone takes two hands before a white wall for copies.
MAX_DISTANCE = 8  # of 64 bits
MIN_CORRELATION = 0.95  # of grey thumbnails
PARTNERS = 3  # pairs that are listed of an image


def looks(image: Image.Image) -> str:
    """Perceptual hashes of a decoded image and of its mirror image, 32 hex digits."""
    grey = thumbnail(image)[None]
    return "".join(f"{_hashes(view)[0]:016x}" for view in (grey, grey[:, :, ::-1]))


def thumbnail(image: Image.Image) -> np.ndarray:
    """`(32, 32) uint8` grey, upright, of a decoded image of any mode."""
    turn = UPRIGHT.get(orientation(image))
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        image = Image.fromarray(to_rgb(image))
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small if turn is None else small.transpose(turn))


def thumbnails(images: np.ndarray) -> np.ndarray:
    """`(n, 32, 32) uint8` grey, of images `(n, size, size, 3) uint8 RGB`."""
    small = [thumbnail(Image.fromarray(np.asarray(image))) for image in images]
    return np.array(small, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def near_duplicates(grey: np.ndarray, kind: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, second, bits that differ) of images that show the same, mirrored or not.

    A perceptual hash (https://www.hackerfactor.com/blog/?/archives/432-Looks-Like-It.html) finds
    the candidates, the correlation of the thumbnails decides. Each image is paired with the
    nearest few before it: a thousand frames of one film make no million of pairs.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
      kind: `(n,) int64`; images of one kind are not compared.
    """
    views = [grey, grey[:, :, ::-1]]
    hashes = [_hashes(view) for view in views]
    vectors = [_centred(view) for view in views]
    pairs = []
    for second in range(1, len(grey)):
        found: dict[int, int] = {}
        for own_hashes, own_vectors in zip(hashes, vectors, strict=True):
            distances = np.bitwise_count(hashes[0][:second] ^ own_hashes[second])
            near = np.flatnonzero((distances <= MAX_DISTANCE) & (kind[:second] != kind[second]))
            alike = near[vectors[0][near] @ own_vectors[second] >= MIN_CORRELATION]
            for first in alike:
                found.setdefault(int(first), int(distances[first]))
        nearest = sorted(found.items(), key=lambda item: item[1])[:PARTNERS]
        pairs += [(first, second, distance) for first, distance in nearest]
    return sorted(pairs)


def _hashes(grey: np.ndarray) -> np.ndarray:
    """`(n,) uint64`."""
    bits = [imagehash.phash(Image.fromarray(thumbnail)).hash.ravel() for thumbnail in grey]
    return np.packbits(np.array(bits), axis=1).view(np.uint64)[:, 0]


def _centred(grey: np.ndarray) -> np.ndarray:
    """`(n, pixels) float32` of mean 0 and length 1; 0 for one colour, which is like nothing."""
    flat = grey.reshape(len(grey), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def clusters(grey: np.ndarray) -> list[list[int]]:
    """Indices of images that show the same, directly or by way of others: two at least in a list.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
    """
    pairs = near_duplicates(grey, np.arange(len(grey)))
    ends = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), ends), shape=(len(grey), len(grey)))
    numbers = connected_components(graph, directed=False)[1]
    found = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return [members for members in found if len(members) > 1]


def with_similar_hashes(looks: Sequence[str]) -> np.ndarray:
    """`(n,) int64`, increasing: images whose hash is near that of another, or of its mirror.

    Args:
      looks: what `looks` gave of each.
    """
    hashes = np.array([[int(look[:16], 16), int(look[16:], 16)] for look in looks], np.uint64)
    similar = np.zeros(len(hashes), bool)
    for second in range(1, len(hashes)):
        distances = np.bitwise_count(hashes[:second, :1] ^ hashes[second]).min(1)
        near = distances <= MAX_DISTANCE
        similar[:second] |= near
        similar[second] |= near.any()
    return np.flatnonzero(similar)


def read_thumbnail(path: Path) -> np.ndarray:
    """`thumbnail` of a file that can be read."""
    with quiet_pillow(), Image.open(path, formats=FORMATS) as image:
        return thumbnail(image)
