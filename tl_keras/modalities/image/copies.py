"""Finds near-duplicates: recompressed, resized, brightened, cropped or mirrored copies of an image.

Imports no TensorFlow, because files are compared before anything slow begins.
"""

import io
from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tl_keras.modalities.image.decoding.pillow import (
    FORMATS,
    UPRIGHT,
    orientation,
    quiet_pillow,
    to_rgb,
)

MAX_EXAMPLES = 50_000  # Larger sets are not searched, since the hashes of all pairs are compared.
THUMBNAIL = 32  # px, height = width
SHAPE = (THUMBNAIL, THUMBNAIL)  # shape of a thumbnail; dtype uint8
# Recompressed, resized, brightened and slightly cropped copies satisfy both bounds. Without the
# correlation, photographs of two different hands before a white wall would count as copies.
MAX_DISTANCE = 8  # differing bits of the 64 bits of a hash
MIN_CORRELATION = 0.95  # correlation of the grey thumbnails
PARTNERS = 3  # largest number of pairs listed for one image


def looks(image: Image.Image) -> str:
    """Returns 16 hex digits, the perceptual hash of a decoded image, and 16 of its mirror image."""
    grey = thumbnail(image)[None]
    return "".join(f"{_hashes(view)[0]:016x}" for view in (grey, grey[:, :, ::-1]))


def thumbnail(image: Image.Image) -> np.ndarray:
    """Returns an upright grey thumbnail `(32, 32) uint8` of a decoded image.

    Args:
      image: an image of any Pillow mode, such as RGB or palette.
    """
    turn = UPRIGHT.get(orientation(image))
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        image = Image.fromarray(to_rgb(image))
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small if turn is None else small.transpose(turn))


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Returns grey thumbnails `(n, 32, 32) uint8` of images `(n, size, size, 3) uint8 RGB`."""
    small = [thumbnail(Image.fromarray(np.asarray(image))) for image in images]
    return np.array(small, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def near_duplicates(grey: np.ndarray, kind: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns pairs of near-duplicates.

    Two images are near-duplicates if their perceptual hashes
    (https://www.hackerfactor.com/blog/?/archives/432-Looks-Like-It.html) are close and their
    thumbnails correlate. One of them may be mirrored. Each image is paired with at most `PARTNERS`
    images before it in `grey`, those with the most similar hashes. Otherwise a thousand frames of
    one film would give half a million pairs.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
      kind: a number for each image, `(n,) int64`. Images with the same number are not compared,
        such as images of the same split with the same label.

    Returns:
      a sorted list of (index of the earlier image, index of the later image, number of bits in
      which the hashes differ).
    """
    views = [grey, grey[:, :, ::-1]]
    hashes = [_hashes(view) for view in views]
    vectors = [_centred(view) for view in views]
    pairs = []
    for second in range(1, len(grey)):
        partners: dict[int, int] = {}
        for view_hashes, view_vectors in zip(hashes, vectors, strict=True):
            distances = np.bitwise_count(hashes[0][:second] ^ view_hashes[second])
            near = np.flatnonzero((distances <= MAX_DISTANCE) & (kind[:second] != kind[second]))
            alike = near[vectors[0][near] @ view_vectors[second] >= MIN_CORRELATION]
            for first in alike:
                partners.setdefault(int(first), int(distances[first]))
        nearest = sorted(partners.items(), key=lambda item: item[1])[:PARTNERS]
        pairs += [(first, second, distance) for first, distance in nearest]
    return sorted(pairs)


def _hashes(grey: np.ndarray) -> np.ndarray:
    """Returns the perceptual hash of each thumbnail, `(n,) uint64`."""
    bits = [imagehash.phash(Image.fromarray(thumbnail)).hash.ravel() for thumbnail in grey]
    return np.packbits(np.array(bits), axis=1).view(np.uint64)[:, 0]


def _centred(grey: np.ndarray) -> np.ndarray:
    """Returns thumbnails as vectors of mean 0 and length 1, `(n, pixels) float32`.

    A thumbnail of a single colour becomes the zero vector, which correlates with no image.
    """
    flat = grey.reshape(len(grey), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def clusters(grey: np.ndarray) -> list[list[int]]:
    """Returns groups of near-duplicates, each as a list of two or more indices of images.

    Two images are in one group if they are near-duplicates of each other, or are linked by a chain
    of images of which each is a near-duplicate of the next.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
    """
    pairs = near_duplicates(grey, np.arange(len(grey)))
    ends = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), ends), shape=(len(grey), len(grey)))
    numbers = connected_components(graph, directed=False)[1]
    groups = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return [members for members in groups if len(members) > 1]


def with_similar_hashes(looks: Sequence[str]) -> np.ndarray:
    """Returns the indices of images whose hashes are similar to those of another image.

    Such an image may be a near-duplicate: its hash is close to the hash of the other image or of
    the other's mirror image. The indices are `(n,) int64`, increasing.

    Args:
      looks: the result of the function `looks` for each image.
    """
    hashes = np.array([[int(look[:16], 16), int(look[16:], 16)] for look in looks], np.uint64)
    similar = np.zeros(len(hashes), bool)
    for second in range(1, len(hashes)):
        distances = np.bitwise_count(hashes[:second, :1] ^ hashes[second]).min(1)
        near = distances <= MAX_DISTANCE
        similar[:second] |= near
        similar[second] |= near.any()
    return np.flatnonzero(similar)


def read_thumbnail(content: bytes) -> np.ndarray:
    """Returns the grey thumbnail of the image in a file's content, `(32, 32) uint8`."""
    with quiet_pillow(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return thumbnail(image)
