import numpy as np
import pytest
import tensorflow as tf

from tl_keras.modalities.image.augment import COLUMNS, MIXES, augment, mix, num_columns
from tl_keras.modalities.image.config import Augmentation, RandAugment

SIZE = 32
STRONGEST = {
    "flip": "both",
    "rotation": 0.5,
    "zoom": 0.9,
    "translation": 0.9,
    "contrast": 0.99,
    "brightness": 0.99,
    "color": 1.0,
    "rand_augment": RandAugment(layers=3, magnitude=1.0),
    "erasing": 1.0,
}
WEAKEST = {
    "rotation": 1e-6,
    "zoom": 1e-6,
    "translation": 1e-6,
    "contrast": 1e-6,
    "brightness": 1e-6,
    "color": 1e-6,
    "rand_augment": RandAugment(layers=3, magnitude=0.0),
    "erasing": 0.0,
}


@pytest.fixture(autouse=True)
def on_the_cpu():
    """Runs on the CPU, as tf.data does, because a GPU rounds differently."""
    with tf.device("/CPU:0"):
        yield


def entries(**fields):
    return tuple(Augmentation(**{name: value}) for name, value in fields.items())


def pictures(count=8, size=SIZE):
    """Returns images of soft shapes that contain black and white."""
    y, x = np.mgrid[:size, :size] / size
    phases = np.arange(count)[:, None, None, None] + np.array([0.0, 0.7, 1.9])
    waves = np.sin(7 * x[..., None] + phases) * np.cos(5 * y[..., None] - 2 * phases)
    return (127.5 + 160 * waves).clip(0, 255).astype(np.uint8)


def uniform(count, columns, seed=0):
    return tf.random.stateless_uniform((count, columns), (seed, 0))


def views(images, numbers, augmentations):
    """Returns views in eager mode; checks that Dataset.map, with an unknown batch size, agrees."""
    eager = augment(tf.constant(images), numbers, augmentations).numpy()
    batches = tf.data.Dataset.from_tensor_slices((images, numbers)).batch(len(images))
    mapped = batches.map(lambda x, u: augment(x, u, augmentations), 2)
    # In a graph, two operations may be fused, and then round once instead of twice.
    again = next(mapped.as_numpy_iterator())
    np.testing.assert_allclose(again.astype(int), eager, atol=1)
    assert (again != eager).mean() < 0.001
    assert eager.dtype == np.uint8 and eager.shape == images.shape
    return eager


def view(image, chosen, *rows):
    """Returns views of one image, one for each row of random numbers."""
    images = np.repeat(image, len(rows), axis=0)
    return views(images, tf.constant(rows, tf.float32), chosen)


HALF = 0.5  # The random number for no change, for operations that work in both directions.


def test_every_field_of_the_config_is_an_operation():
    assert set(COLUMNS) | set(MIXES) == set(Augmentation.model_fields)
    assert set(STRONGEST) == set(COLUMNS)


@pytest.mark.parametrize("name", STRONGEST)
def test_views_are_a_pure_function_of_their_numbers(name):
    images, chosen = pictures(), entries(**{name: STRONGEST[name]})
    numbers = uniform(8, num_columns(chosen))
    first = views(images, numbers, chosen)
    np.testing.assert_array_equal(augment(images, numbers, chosen), first)
    assert (augment(images, uniform(8, num_columns(chosen), 1), chosen).numpy() != first).any()
    # A view does not depend on the other images of the batch.
    for i in (0, 5):
        alone = augment(images[i : i + 1], numbers[i : i + 1], chosen)[0]
        np.testing.assert_allclose(alone.numpy().astype(int), first[i], atol=1)


@pytest.mark.parametrize("name", STRONGEST)
def test_the_strongest_operation_changes_images_and_stays_in_range(name):
    images, chosen = pictures(), entries(**{name: STRONGEST[name]})
    changed = views(images, uniform(8, num_columns(chosen)), chosen).astype(int)
    difference = np.abs(changed - images)
    assert difference.mean() > 3
    # A uint8 overflow would turn the brightest pixels into the darkest.
    steps = np.abs(np.diff(changed[..., 1], axis=2))
    assert name in ("erasing", "rand_augment") or np.quantile(steps, 0.99) < 130


@pytest.mark.parametrize("name", WEAKEST)
def test_the_weakest_operation_does_not_change_images(name):
    images, chosen = pictures(), entries(**{name: WEAKEST[name]})
    np.testing.assert_array_equal(views(images, uniform(8, num_columns(chosen)), chosen), images)


def test_all_weakest_operations_together_do_not_change_images():
    images, chosen = pictures(), entries(**WEAKEST)
    np.testing.assert_array_equal(views(images, uniform(8, num_columns(chosen)), chosen), images)


def test_no_operation_does_not_change_images():
    images = pictures()
    np.testing.assert_array_equal(views(images, uniform(8, 0), ()), images)
    assert num_columns(entries(mixup=0.2, cutmix=1.0)) == 0
    np.testing.assert_array_equal(views(images, uniform(8, 0), entries(mixup=0.2)), images)


def test_operations_read_their_own_columns():
    # Each of two operations reads only its own random numbers.
    image, both = pictures(1), entries(brightness=0.2, contrast=0.5)
    contrast, brightness = view(image, both, [HALF, 0.9], [0.9, HALF])
    np.testing.assert_array_equal(contrast, view(image, entries(contrast=0.5), [0.9])[0])
    np.testing.assert_array_equal(brightness, view(image, entries(brightness=0.2), [0.9])[0])


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
    mirrored, same = view(image, entries(flip="horizontal"), [0.49, 0.99], [0.5, 0.0])
    np.testing.assert_array_equal(mirrored, image[0, :, ::-1])
    np.testing.assert_array_equal(same, image[0])


def test_quarter_turns_go_either_way():
    image = pictures(1)
    # Random numbers 0 and 1 are the two ends of -0.25..0.25 turns.
    ends = view(image, entries(rotation=0.25), [0.0], [1.0])
    turned = [np.rot90(image[0], k) for k in (1, -1)]
    # Sine and cosine of a quarter turn are off by 1e-8, so a pixel may differ by one level.
    matches = [[np.abs(end.astype(int) - t).max() <= 1 for t in turned] for end in ends]
    assert sorted(matches) == [[False, True], [True, False]]


def test_rotations_are_symmetrical():
    image, chosen = pictures(1), entries(rotation=0.2)
    there = view(image, chosen, [0.3])
    mirrored = view(image[:, :, ::-1], chosen, [0.7])
    np.testing.assert_allclose(mirrored[:, :, ::-1].astype(int), there, atol=1)  # Rounding.


def test_zoom_keeps_the_centre_and_goes_in_and_out():
    image = np.zeros((1, 33, 33, 3), np.uint8)
    image[:, 12:21, 12:21] = 255
    zoomed = view(image, entries(zoom=0.5), [0.0], [HALF], [1.0])[..., 0]
    larger, same, smaller = (zoomed > 127).sum((1, 2))
    assert same == 81
    # At half the scale the square is twice as wide, at one and a half two thirds; in whole pixels.
    assert abs(larger - 4 * 81) <= 40 and abs(smaller - 81 / 2.25) <= 15
    assert (zoomed[:, 16, 16] == 255).all()


def test_translation_is_a_share_of_the_size():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 16, 16] = 255
    rows = [[1.0, HALF], [0.0, HALF], [HALF, 1.0], [HALF, 0.0]]
    for (u, v), moved in zip(rows, view(image, entries(translation=0.25), *rows), strict=True):
        (row,), (column,) = np.nonzero(moved[..., 0])
        # A quarter of 32 px, opposite to the direction of the matrix.
        assert (row, column) == (16 - round(16 * (v - HALF)), 16 - round(16 * (u - HALF)))


def test_borders_are_mirrored():
    images = np.full((16, 32, 32, 3), 200, np.uint8)
    chosen = entries(rotation=0.5, zoom=0.5, translation=0.5)
    assert (views(images, uniform(16, 4), chosen) == 200).all()


def test_geometry_is_one_resampling():
    # Two opposite rotations in one view: two resamplings would blur the image.
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    chosen = entries(rotation=0.25) + entries(rotation=0.25)
    again = view(image, chosen, [0.2, 0.8])
    np.testing.assert_allclose(again.astype(int), image, atol=1)  # Rounding of sine and cosine.


# Colours.


def test_brightness_adds():
    image, chosen = np.full((1, 16, 16, 3), 100, np.uint8), entries(brightness=0.2)
    numbers = [HALF], [1.0], [0.0]
    assert view(image, chosen, *numbers)[:, 0, 0, 0].tolist() == [100, 151, 49]
    assert view(image + 150, chosen, *numbers)[:, 0, 0, 0].tolist() == [250, 255, 199]
    assert view(image - 90, chosen, *numbers)[:, 0, 0, 0].tolist() == [10, 61, 0]


def test_contrast_scales_about_the_mean():
    image = np.full((1, 16, 16, 3), 60, np.uint8)
    image[:, :8] = 140
    scaled = view(image, entries(contrast=0.5), [HALF], [1.0], [0.0])
    for pixels, (high, low) in zip(scaled, [(140, 60), (160, 40), (120, 80)], strict=True):
        assert (pixels[:8] == high).all() and (pixels[8:] == low).all()


def test_color_leaves_grey_alone_and_keeps_the_mean():
    grey = np.repeat(pictures(4)[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(views(grey, uniform(4, 2), entries(color=1.0)), grey)
    image = np.array([120, 100, 80], np.uint8) * np.ones((1, 16, 16, 1), np.uint8)
    luma = round(0.299 * 120 + 0.587 * 100 + 0.114 * 80)
    bare, turned = view(image, entries(color=1.0), [0.0, HALF], [HALF, 1.0]).astype(float)
    assert (bare == luma).all()  # The saturation is 0.
    # A turn of the hue keeps the channels' mean, up to rounding.
    assert abs(turned.mean() - 100) < 0.5 and np.abs(turned - image).max() > 3


def test_erasing_makes_one_grey_rectangle_in_some_images():
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
    # 2 to 33% of the area, give or take a pixel on each side.
    assert min(shares) > 0.005 and max(shares) < 0.4 and 0.12 < np.mean(shares) < 0.23


# RandAugment. The first random number of a layer selects one of ten operations.


def drawn(image, *pairs):
    """Returns a view for each (index of an operation, strength in -1..1), with one layer."""
    rows = [[(i + 0.5) / 10, (strength + 1) / 2] + 10 * [0.0] for i, strength in pairs]
    return view(image, entries(rand_augment=RandAugment(layers=1, magnitude=1.0)), *rows)


def test_every_drawn_operation_changes_images_and_strength_0_does_not():
    image = pictures(1)
    for same in drawn(image, *((i, 0.0) for i in range(10))):
        np.testing.assert_array_equal(same, image[0])
    changed = drawn(image, *((i, s) for i in range(10) for s in (-0.9, 0.9))).astype(int)
    assert (np.abs(changed - image).mean((1, 2, 3)) > 1).all()
    assert len({pixels.tobytes() for pixels in changed}) >= 18  # Two ignore the sign.


def test_posterize_and_solarize():
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    posterized, solarized = drawn(image, (8, 1.0), (9, 0.5))
    np.testing.assert_array_equal(posterized, image[0] // 16 * 16)
    np.testing.assert_array_equal(solarized, np.where(image >= 128, 255 - image, image)[0])


def test_an_operation_that_is_not_drawn_changes_nothing():
    # Solarize and posterize would change values above 255 and fractional values.
    image = np.full((1, 16, 16, 3), 200, np.uint8)
    chosen = entries(brightness=0.9, rand_augment=RandAugment(layers=1, magnitude=1.0))
    numbers = [1.0, 0.05, HALF] + 10 * [0.0]  # Brighter, then a rotation by 0.
    assert (view(image, chosen, numbers) == 255).all()
    tinted = np.array([103, 98, 95], np.uint8) * np.ones((1, 16, 16, 1), np.uint8)
    chosen = entries(contrast=0.5, rand_augment=RandAugment(layers=1, magnitude=1.0))
    assert (view(tinted, chosen, [0.7, 0.05, HALF] + 10 * [0.0]) >= tinted - 1).all()


def test_rand_augment_is_mean_neutral_where_it_can_be():
    images = np.full((200, 16, 16, 3), 128, np.uint8)
    chosen = entries(rand_augment=RandAugment(layers=2, magnitude=0.1))
    mean = views(images, uniform(200, 12), chosen).mean()
    # Posterize floors values. Flooring other images too would cost half a level in each layer.
    assert abs(mean - 128) < 1.5


# Mixing.


def mixed(images, targets, augmentations, seeds):
    """Returns (images, targets) for each seed; checks that Dataset.map agrees with eager mode."""
    seeds = np.array([[5, seed] for seed in seeds], np.int32)
    eager = [mix(tf.constant(images), tf.constant(targets), augmentations, s) for s in seeds]
    mapped = tf.data.Dataset.from_tensor_slices(seeds).map(
        lambda s: mix(tf.constant(images), tf.constant(targets), augmentations, s), 2
    )
    for (x, y), again in zip(eager, mapped.as_numpy_iterator(), strict=True):
        np.testing.assert_allclose(again[0].astype(int), x.numpy(), atol=1)  # Fused rounding.
        np.testing.assert_allclose(again[1], y, atol=1e-6)
        assert x.dtype == tf.uint8 and y.dtype == tf.float32
    return [(x.numpy(), y.numpy()) for x, y in eager]


def two_tones():
    images = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    images[::2] = 200
    return images, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]


@pytest.mark.parametrize("name", MIXES)
def test_targets_are_the_shares_of_the_pixels(name):
    shares = set()
    for x, y in mixed(*two_tones(), entries(**{name: 1.0}), range(20)):
        np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)  # float32
        # The bright images have the first class; pixels are rounded to whole levels.
        np.testing.assert_allclose(x.mean((1, 2, 3)) / 200, y[:, 0], atol=0.5 / 200 + 1e-4)
        if name == "cutmix":
            assert set(np.unique(x)) <= {0, 200}
        shares.add(round(float(y[0, 0]), 4))
    assert len(shares) > 10 and max(shares) - min(shares) > 0.4


@pytest.mark.parametrize("name", MIXES)
def test_mixing_is_a_pure_function_of_its_seed(name):
    (x, y), (again, again_y), (other, _) = mixed(
        pictures(4), two_tones()[1], entries(**{name: 0.4}), [3, 3, 4]
    )
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, again_y)
    assert (x != other).any()


def test_alpha_decides_how_much_is_mixed():
    def distance(alpha):
        pairs = mixed(*two_tones(), entries(mixup=alpha), range(100))
        return np.abs(np.array([y[0, 0] for _, y in pairs]) - 0.5).mean()

    # The mean is 3/16 +- 0.01 for Beta(2, 2), and 1/4 +- 0.014 for Beta(1, 1).
    assert 0.14 < distance(2.0) < 0.23 < distance(1.0) < 0.31
    # For a small alpha it is almost a half: images are hardly mixed.
    assert distance(0.02) > 0.45


def test_each_batch_gets_one_of_two_mixes():
    pairs = mixed(*two_tones(), entries(mixup=1.0, cutmix=1.0), range(40))
    cut = sum(set(np.unique(x)) <= {0, 200} for x, _ in pairs)
    assert 8 <= cut <= 32  # 20 +- 3.2: nearly four sigma.


def test_mix_without_mixing_operations_changes_nothing():
    images, targets = two_tones()
    ((x, y),) = mixed(images, targets, entries(flip="both"), [0])
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, targets)
