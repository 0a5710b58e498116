import numpy as np

MAX_EXAMPLES = 1000
SHAPE = (1,)


def with_similar_hashes(looks):
    return np.zeros(0, np.int64)


def clusters(thumbnails):
    return []


def read_thumbnail(content):
    return np.zeros(SHAPE, np.uint8)
