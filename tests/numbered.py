"""Images that are filled with their own number, and settings to augment them."""

import numpy as np

from tl_keras.data.batching.inputs import Inputs, Training
from tl_keras.modalities.image.config import Augmentation

SIZE = 16


def numbered(count, num_classes=None):
    """Returns images that are filled with their own number; by default each is its own class."""
    array = np.repeat(np.arange(count, dtype=np.uint8), SIZE * SIZE * 3)
    labels = np.arange(count) % (num_classes or count)
    return Inputs(labels.astype(np.int64), array.reshape(count, SIZE, SIZE, 3))


def how(num_classes, **fields):
    values = {
        "modality": "image",
        "batch_size": 4,
        "seed": 0,
        "augmentations": (),
        "views": None,
        "balance": "none",
    }
    return Training(**{**values, "width": num_classes, **fields})


def augmentations(**fields):
    return tuple(Augmentation(**{name: value}) for name, value in fields.items())


ALL = augmentations(flip="horizontal", rotation=0.2, brightness=0.3, erasing=0.5, mixup=0.4)


def assert_equal(one, other):
    for batch, again in zip(one, other, strict=True):
        for array, same in zip(batch, again, strict=True):
            np.testing.assert_array_equal(array, same)
