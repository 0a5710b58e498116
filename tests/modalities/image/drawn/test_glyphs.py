import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tl_keras.modalities.image.drawn import glyphs
from tl_keras.modalities.image.drawn.glyph_masks import CLASSES, glyph_masks

INDICES = tf.range(48, dtype=tf.int64)


@pytest.fixture(scope="module")
def rendered():
    images, labels = glyphs.render(0, INDICES, 64)
    return images.numpy(), labels.numpy()


def test_every_mask_has_ink_and_ground():
    inked = (glyph_masks().distances > 127).mean(axis=(1, 2))
    # The thinnest glyph is a bracket: 44 px high and 3 px wide is 0.036 of 60 x 60.
    assert inked.min() > 0.03
    assert inked.max() < 0.6


def test_every_class_has_at_least_three_fonts():
    masks = glyph_masks()
    assert masks.count.min() >= 3
    assert masks.first[-1] + masks.count[-1] == len(masks.distances) == len(masks.half_strokes)


def test_no_mask_is_in_two_classes():
    # The box that a font shows for a missing character would be in several classes.
    masks = glyph_masks()
    owner = np.repeat(np.arange(len(CLASSES)), masks.count)
    owners = {}
    for field, label in zip(masks.distances, owner, strict=True):
        assert owners.setdefault(field.tobytes(), label) == label


def test_classes_are_unique_and_file_safe_and_contain_no_digits():
    assert 90 <= len(CLASSES) == len(set(CLASSES)) <= 110
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in CLASSES)
    assert not any("digit" in name for name in CLASSES)


def test_an_image_depends_only_on_seed_and_index(rendered):
    images, labels = rendered
    # Another order, batch size and neighbours, and a batch of one.
    for picked in ([5, 47, 3, 0, 21], [17]):
        others, other_labels = glyphs.render(0, tf.constant(picked, tf.int64), 64)
        np.testing.assert_array_equal(others, images[picked])
        np.testing.assert_array_equal(other_labels, labels[picked])


def test_map_gives_the_same_as_eager(rendered):
    images, labels = rendered
    dataset = tf.data.Dataset.range(48).batch(16).map(lambda i: glyphs.render(0, i, 64))
    assert dataset.element_spec[0].shape.as_list() == [None, 64, 64, 3]
    mapped = list(dataset)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in mapped]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in mapped]), labels)


def test_other_index_or_seed_gives_another_image(rendered):
    images, _ = rendered
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    for seed, offset in ((1, 0), (0, 48), (0, 2**32), (0, 2**40)):
        others, _ = glyphs.render(seed, INDICES + offset, 64)
        assert (others.numpy() != images).any(axis=(1, 2, 3)).all()


def test_classes_and_masks_are_equally_likely():
    tables = glyphs._tables()
    keys = glyphs._image_keys(0, tf.range(108_000, dtype=tf.int64))
    labels, masks = glyphs._choose(keys, tables)
    counts = np.bincount(labels, minlength=len(CLASSES))
    # 1000 are expected for each class; 5 standard deviations of a binomial are 158.
    assert counts.min() > 842 and counts.max() < 1158
    first, count = tables.first.numpy(), tables.count.numpy()
    offset = masks.numpy() - first[labels.numpy()]
    assert offset.min() == 0 and (offset < count[labels.numpy()]).all()
    assert len(np.unique(masks)) == len(tables.distances)


def test_glyph_stands_out_from_its_ground():
    # Everything except the glyph stays within 0.45 of the contrast from the ground.
    keys = glyphs._image_keys(0, INDICES)
    ground, ink, contrast = glyphs._tones(keys)
    canvas = glyphs._clutter(keys, ground, contrast, glyphs._tables(), 64)
    luminance = np.tensordot([0.299, 0.587, 0.114], canvas.numpy(), axes=(0, 1))
    distance = np.abs(luminance - ink.numpy()[:, 0])
    assert contrast.numpy().min() >= 0.35
    assert (distance > 0.54 * contrast.numpy()[:, 0]).all()  # 0.55 and float32


def test_glyph_is_there_and_mostly_inside_the_frame():
    keys = glyphs._image_keys(0, tf.range(512, dtype=tf.int64))
    tables = glyphs._tables()
    _, masks = glyphs._choose(keys, tables)
    coverage = glyphs._place(keys, glyphs._pen(keys, masks, tables), 64).numpy()[:, 0]
    assert (coverage.max(axis=(1, 2)) > 0.5).all()
    assert (coverage.sum(axis=(1, 2)) > 20).all()  # px, of 4096
    assert coverage[:, [0, -1]].mean() < 0.05 and coverage[:, :, [0, -1]].mean() < 0.05


def test_class_names_need_no_tensorflow():
    module = "tl_keras.modalities.image.drawn.glyph_masks"
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
