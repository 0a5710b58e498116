"""Tiny data sets in the files of TensorFlow Datasets."""

import numpy as np
import tensorflow_datasets as tfds

CLASSES = ["round", "angular/pointed"]


def write(folder, splits, name="tiny_shapes", **features):
    """Writes a data set as TFDS's `download_and_prepare` would; `splits` maps names to labels."""
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=CLASSES),
        **features,
    }
    place = folder / name / "1.0.0"
    place.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name, tfds.core.Version("1.0.0"), str(place), ""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=tfds.features.FeaturesDict({k: v for k, v in features.items() if v}),
    )
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=5)
    writer.initialize_splits(list(splits))
    for number, (split, labels) in enumerate(splits.items()):
        examples = [
            example(info.features, 100 * number + i, label) for i, label in enumerate(labels)
        ]
        writer.add_examples({split: examples})
    writer.close_all()
    return folder


def write_texts(folder, splits, name="tiny_reviews", **features):
    """Writes a data set of texts; `splits` maps names to labels, -1 for an unknown label."""
    label = tfds.features.ClassLabel(names=["bad", "good"])
    features = {"image": None, "text": tfds.features.Text(), "label": label, **features}
    return write(folder, splits, name, **features)


def words(seed):
    return f'Käfer {seed} said: "so, so"\n{"very " * (seed % 5)}well'


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)


def example(features, seed, label):
    values = {"image": picture(seed), "label": label, "text": words(seed)}
    if "image" in features and features["image"].np_dtype == np.float32:
        values["image"] = picture(seed)[..., :1].astype(np.float32)
    return {name: values[name] for name in features}
