import functools

import numpy as np
import pytest
import tensorflow as tf

from tl_keras import config as configs
from tl_keras.config import Augmentation, RandAugment
from tl_keras.data.augment import COLUMNS, MIXES, augment, mix, num_columns

SIZE = 32
STRONGEST = {
    "flip": "both",
    "rotation": 0.5,
    "zoom": 0.9,
    "translation": 0.9,
    "contrast": 0.99,
    "brightness": 0.99,
    "color": 1.0,
    "rand_augment": RandAugment(layers=6, magnitude=1.0),
    "erasing": 1.0,
}
WEAKEST = {
    "rotation": 1e-6,
    "zoom": 1e-6,
    "translation": 1e-6,
    "contrast": 1e-6,
    "brightness": 1e-6,
    "color": 1e-6,
    "rand_augment": RandAugment(layers=6, magnitude=0.0),
    "erasing": 0.0,
}


def entries(**fields):
    return tuple(Augmentation(**{name: value}) for name, value in fields.items())


def pictures(count=8, size=SIZE):
    """Soft shapes, with black and white in them."""
    y, x = np.mgrid[:size, :size] / size
    phases = np.arange(count)[:, None, None, None] + np.array([0.0, 0.7, 1.9])
    waves = np.sin(7 * x[..., None] + phases) * np.cos(5 * y[..., None] - 2 * phases)
    return (127.5 + 160 * waves).clip(0, 255).astype(np.uint8)


def uniform(count, columns, seed=0):
    return tf.random.stateless_uniform((count, columns), (seed, 0))


def views(images, numbers, augmentations):
    """Eagerly, and the same inside Dataset.map, where the batch's size is not known beforehand."""
    with tf.device("/CPU:0"):  # As in tf.data: a GPU rounds differently.
        eager = augment(tf.constant(images), numbers, augmentations).numpy()
    batches = tf.data.Dataset.from_tensor_slices((images, numbers)).batch(len(images))
    mapped = batches.map(lambda x, u: augment(x, u, augmentations), 2)
    # Compiled, an operation may be fused with the next and round once instead of twice.
    again = next(mapped.as_numpy_iterator())
    np.testing.assert_allclose(again.astype(int), eager, atol=1)
    assert (again != eager).mean() < 0.001
    assert eager.dtype == np.uint8 and eager.shape == images.shape
    return eager


def at(*numbers, count=1):
    """Uniform numbers that are chosen, the same for every image."""
    return tf.tile(tf.constant([numbers], tf.float32), (count, 1))


HALF = 0.5  # The number that stands for no change, in all that goes either way.


def test_every_field_of_the_config_is_an_operation():
    assert set(COLUMNS) | set(MIXES) == set(configs.Augmentation.model_fields)
    assert set(STRONGEST) == set(COLUMNS)


@pytest.mark.parametrize("name", STRONGEST)
def test_views_are_a_pure_function_of_their_numbers(name):
    images, chosen = pictures(), entries(**{name: STRONGEST[name]})
    numbers = uniform(8, num_columns(chosen))
    first = views(images, numbers, chosen)
    np.testing.assert_array_equal(views(images, numbers, chosen), first)
    assert (views(images, uniform(8, num_columns(chosen), 1), chosen) != first).any()
    # Nor of the batch that an image is in.
    for i in (0, 5):
        alone = augment(images[i : i + 1], numbers[i : i + 1], chosen)[0]
        np.testing.assert_allclose(alone.numpy().astype(int), first[i], atol=1)


@pytest.mark.parametrize("name", STRONGEST)
def test_the_strongest_changes_images_and_stays_in_range(name):
    images, chosen = pictures(), entries(**{name: STRONGEST[name]})
    changed = views(images, uniform(8, num_columns(chosen)), chosen).astype(int)
    difference = np.abs(changed - images)
    assert difference.mean() > 3
    # Wrapping around would turn the brightest into the darkest, pixel by pixel.
    steps = np.abs(np.diff(changed[..., 1], axis=2))
    assert name in ("erasing", "rand_augment") or np.quantile(steps, 0.99) < 130


@pytest.mark.parametrize("name", WEAKEST)
def test_the_weakest_leaves_images_as_they_are(name):
    images, chosen = pictures(), entries(**{name: WEAKEST[name]})
    np.testing.assert_array_equal(views(images, uniform(8, num_columns(chosen)), chosen), images)


def test_all_of_the_weakest_together_leave_images_as_they_are():
    images, chosen = pictures(), entries(**WEAKEST)
    np.testing.assert_array_equal(views(images, uniform(8, num_columns(chosen)), chosen), images)


def test_none_leaves_images_as_they_are():
    images = pictures()
    np.testing.assert_array_equal(views(images, uniform(8, 0), ()), images)
    assert num_columns(entries(mixup=0.2, cutmix=1.0)) == 0
    np.testing.assert_array_equal(views(images, uniform(8, 0), entries(mixup=0.2)), images)


def test_operations_read_their_own_columns():
    # Of two operations, the second's numbers stay its own when the first's change.
    images, chosen = pictures(1), entries(brightness=0.2, contrast=0.5)
    first = views(images, at(HALF, 0.9), chosen)
    np.testing.assert_array_equal(first, views(images, at(0.9), entries(contrast=0.5)))
    second = views(images, at(0.9, HALF), chosen)
    np.testing.assert_array_equal(second, views(images, at(0.9), entries(brightness=0.2)))


# Geometry.


@pytest.mark.parametrize("axes, axis", [("horizontal", 2), ("vertical", 1)])
def test_a_flip_flips_half(axes, axis):
    images = np.repeat(pictures(1), 2000, axis=0)[:, ::4, ::4]
    flipped = views(images, uniform(2000, 2), entries(flip=axes))
    mirrored = np.flip(images, axis)
    was_flipped = (flipped == mirrored).all((1, 2, 3))
    assert (was_flipped | (flipped == images).all((1, 2, 3))).all()
    assert 900 < was_flipped.sum() < 1100  # 1000 +- 22: four sigma.


def test_flipping_both_ways_makes_four_views():
    images = np.repeat(pictures(1), 400, axis=0)
    flipped = views(images, uniform(400, 2), entries(flip="both"))
    counts = [
        (flipped == np.flip(images, axes)).all((1, 2, 3)).sum() for axes in [(), (1,), (2,), (1, 2)]
    ]
    assert sum(counts) == 400 and min(counts) > 60  # 100 +- 9.


def test_a_flip_is_decided_by_its_number():
    image = pictures(1)
    assert (views(image, at(0.49, 0.99), entries(flip="horizontal")) == image[:, :, ::-1]).all()
    assert (views(image, at(0.5, 0.0), entries(flip="horizontal")) == image).all()


def test_quarter_turns_go_either_way():
    image = pictures(1)
    # Spread over -0.25..0.25 turns: 0 is one end, 1 would be the other.
    one, other = (views(image, at(u), entries(rotation=0.25)) for u in (0.0, 1.0))
    turned = [np.rot90(image, k, axes=(1, 2)) for k in (1, -1)]
    # Sine and cosine of a quarter turn are 1e-8 off: bilinear weights round to one level.
    matches = [[np.abs(v.astype(int) - t).max() <= 1 for t in turned] for v in (one, other)]
    assert sorted(map(tuple, matches)) == [(False, True), (True, False)]


def test_rotations_are_symmetrical():
    image = pictures(1)
    there = views(image, at(0.3), entries(rotation=0.2))
    mirrored = views(image[:, :, ::-1], at(0.7), entries(rotation=0.2))
    np.testing.assert_allclose(mirrored[:, :, ::-1].astype(int), there, atol=1)  # Rounding.


def test_zoom_keeps_the_centre_and_goes_in_and_out():
    image = np.zeros((1, 33, 33, 3), np.uint8)
    image[:, 12:21, 12:21] = 255
    area = functools.partial(lambda u: (views(image, at(u), entries(zoom=0.5)) > 127).sum() / 3)
    larger, same, smaller = area(0.0), area(HALF), area(1.0)
    assert same == 81
    # Half the scale shows twice the width; one and a half shows two thirds. Whole pixels.
    assert abs(larger - 4 * 81) <= 40 and abs(smaller - 81 / 2.25) <= 15
    assert views(image, at(0.0), entries(zoom=0.5))[0, 16, 16, 0] == 255


def test_translation_is_a_share_of_the_size():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 16, 16] = 255
    for u, v in [(1.0, HALF), (0.0, HALF), (HALF, 1.0), (HALF, 0.0)]:
        moved = views(image, at(u, v), entries(translation=0.25))
        (row,), (column,) = np.nonzero(moved[0, :, :, 0])
        # A quarter of 32 px, against the direction that the matrix reads from.
        assert (row, column) == (16 - round(16 * (v - HALF)), 16 - round(16 * (u - HALF)))


def test_borders_are_mirrored():
    image = np.full((1, 32, 32, 3), 200, np.uint8)
    chosen = entries(rotation=0.5, zoom=0.5, translation=0.5)
    for seed in range(5):
        assert (views(image, uniform(1, 4, seed), chosen) == 200).all()


def test_geometry_is_one_resampling():
    # Turned there and back in one view: two resamplings would have blurred it.
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    chosen = entries(rotation=0.25) + entries(rotation=0.25)
    again = views(image, at(0.2, 0.8), chosen)
    np.testing.assert_allclose(again.astype(int), image, atol=1)  # Rounding of sine and cosine.


# Colours.


def test_brightness_adds():
    image = np.full((1, 16, 16, 3), 100, np.uint8)
    for u, expected in [(HALF, 100), (1.0, 151), (0.0, 49)]:
        assert (views(image, at(u), entries(brightness=0.2)) == expected).all()
    assert (views(image + 150, at(1.0), entries(brightness=0.2)) == 255).all()
    assert (views(image - 90, at(0.0), entries(brightness=0.2)) == 0).all()


def test_contrast_scales_about_the_mean():
    image = np.full((1, 16, 16, 3), 60, np.uint8)
    image[:, :8] = 140
    for u, (high, low) in [(HALF, (140, 60)), (1.0, (160, 40)), (0.0, (120, 80))]:
        view = views(image, at(u), entries(contrast=0.5))
        assert (view[:, :8] == high).all() and (view[:, 8:] == low).all()


def test_color_leaves_grey_alone_and_keeps_the_mean():
    grey = np.repeat(pictures(4)[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(views(grey, uniform(4, 2), entries(color=1.0)), grey)
    image = np.array([120, 100, 80], np.uint8) * np.ones((1, 16, 16, 1), np.uint8)
    # No saturation is the luma.
    luma = round(0.299 * 120 + 0.587 * 100 + 0.114 * 80)
    assert (views(image, at(0.0, HALF), entries(color=1.0)) == luma).all()
    # A turn of the hue keeps the channels' mean, up to rounding.
    turned = views(image, at(HALF, 1.0), entries(color=1.0)).astype(float)
    assert abs(turned.mean() - 100) < 0.5 and np.abs(turned - image).max() > 3


def test_erasing_makes_one_grey_rectangle_by_chance():
    images = np.zeros((500, 32, 32, 3), np.uint8)
    erased = views(images, uniform(500, 5), entries(erasing=0.3))[..., 0]
    hit = erased.any((1, 2))
    assert 110 < hit.sum() < 190  # 150 +- 10: four sigma.
    assert set(np.unique(erased)) == {0, 128}
    shares = []
    for image in erased[hit] > 0:
        rows, columns = image.any(1), image.any(0)
        np.testing.assert_array_equal(image, rows[:, None] & columns[None])
        assert np.diff(np.flatnonzero(rows)).max(initial=1) == 1
        assert np.diff(np.flatnonzero(columns)).max(initial=1) == 1
        shares.append(image.mean())
    # 2 to 33% of the area, a pixel more or less on each side.
    assert min(shares) > 0.005 and max(shares) < 0.4 and 0.12 < np.mean(shares) < 0.23


# RandAugment. Ten operations; which one is drawn is the first number of a layer.


def drawn(image, operation, strength):
    """One layer: strength in -1..1 of magnitude 1."""
    numbers = [(operation + 0.5) / 10, (strength + 1) / 2] + 10 * [0.0]
    chosen = entries(rand_augment=RandAugment(layers=1, magnitude=1.0))
    return views(image, at(*numbers), chosen)


@pytest.mark.parametrize("operation", range(10))
def test_every_drawn_operation_changes_images_and_strength_0_does_not(operation):
    image = pictures(1)
    np.testing.assert_array_equal(drawn(image, operation, 0.0), image)
    for strength in (-0.9, 0.9):
        assert np.abs(drawn(image, operation, strength).astype(int) - image).mean() > 1


def test_posterize_and_solarize():
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    np.testing.assert_array_equal(drawn(image, 8, 1.0), image // 16 * 16)
    half = np.where(image >= 128, 255 - image, image)
    np.testing.assert_array_equal(drawn(image, 9, 0.5), half)


def test_an_operation_that_is_not_drawn_changes_nothing():
    # Brightness beyond 255 and fractions are what solarize and posterize would act on.
    image = np.full((1, 16, 16, 3), 200, np.uint8)
    assert (drawn(image, 5, 0.9) == 255).all()
    chosen = entries(brightness=0.9, rand_augment=RandAugment(layers=1, magnitude=1.0))
    numbers = [1.0, 0.05, HALF] + 10 * [0.0]  # Brighter; then a rotation by nothing.
    assert (views(image, at(*numbers), chosen) == 255).all()
    grey = np.full((1, 16, 16, 3), 100, np.uint8)
    chosen = entries(contrast=0.5, rand_augment=RandAugment(layers=1, magnitude=1.0))
    assert (views(grey, at(0.7, 0.05, HALF, *(10 * [0.0])), chosen) == 100).all()


def test_rand_augment_draws_all_operations_alike():
    # One layer of brightness, contrast, ...: count by what each does to a chessboard of two tones.
    numbers = uniform(2000, 12)
    counts = np.bincount((numbers[:, 0].numpy() * 10).astype(int), minlength=10)
    assert len(counts) == 10 and counts.min() > 150  # 200 +- 13.


def test_rand_augment_is_mean_neutral_where_it_can_be():
    images = np.full((200, 16, 16, 3), 128, np.uint8)
    chosen = entries(rand_augment=RandAugment(layers=2, magnitude=0.1))
    mean = views(images, uniform(200, 12), chosen).mean()
    # Posterize floors; flooring what was not drawn would cost half a level in each layer.
    assert abs(mean - 128) < 1.5


# Mixing.


def mixed(images, targets, augmentations, seed):
    """Eagerly, and the same inside Dataset.map."""
    seed = tf.constant(seed, tf.int32)
    with tf.device("/CPU:0"):
        eager = mix(tf.constant(images), tf.constant(targets), augmentations, seed)
    batches = tf.data.Dataset.from_tensors((images, targets, seed))
    mapped = batches.map(lambda x, y, s: mix(x, y, augmentations, s), 2)
    (again,) = mapped.as_numpy_iterator()
    np.testing.assert_allclose(again[0].astype(int), eager[0].numpy(), atol=1)  # Fused rounding.
    np.testing.assert_allclose(again[1], eager[1], atol=1e-6)
    assert eager[0].dtype == tf.uint8 and eager[1].dtype == tf.float32
    return eager[0].numpy(), eager[1].numpy()


def two_tones():
    images = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    images[::2] = 200
    return images, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]


@pytest.mark.parametrize("name", MIXES)
def test_targets_are_the_shares_of_the_pixels(name):
    images, targets = two_tones()
    shares = set()
    for seed in range(20):
        x, y = mixed(images, targets, entries(**{name: 1.0}), (seed, 0))
        np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)  # float32
        # The first class is what is bright; pixels are rounded to one of 255.
        np.testing.assert_allclose(x.mean((1, 2, 3)) / 200, y[:, 0], atol=0.5 / 200 + 1e-4)
        if name == "cutmix":
            assert set(np.unique(x)) <= {0, 200}
        shares.add(round(float(y[0, 0]), 4))
    assert len(shares) > 10 and max(shares) - min(shares) > 0.4


@pytest.mark.parametrize("name", MIXES)
def test_mixing_is_a_pure_function_of_its_seed(name):
    images, targets = pictures(4), two_tones()[1]
    first = mixed(images, targets, entries(**{name: 0.4}), (7, 3))
    again = mixed(images, targets, entries(**{name: 0.4}), (7, 3))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_alpha_decides_how_much_is_mixed():
    images, targets = two_tones()

    def spread(alpha):
        shares = [mixed(images, targets, entries(mixup=alpha), (s, 0))[1][0, 0] for s in range(30)]
        return np.abs(np.array(shares) - 0.5).mean()

    # Beta(a, a): its mean distance from a half is 0.19 for a = 2, and near 0.5 for a = 0.02.
    assert spread(2.0) < 0.28 and spread(0.02) > 0.42


def test_of_two_mixes_one_is_drawn_a_batch():
    images, targets = two_tones()
    cut = 0
    for seed in range(40):
        x, _ = mix(images, targets, entries(mixup=1.0, cutmix=1.0), tf.constant([seed, 0]))
        cut += set(np.unique(x)) <= {0, 200}
    assert 8 <= cut <= 32  # 20 +- 3.2: nearly four sigma.


def test_without_a_mix_all_stays_as_it_is():
    images, targets = two_tones()
    x, y = mixed(images, targets, entries(flip="both"), (0, 0))
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, targets)
