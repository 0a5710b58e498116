import numpy as np
import psutil
import pytest
import tensorflow as tf
from numbered import ALL, SIZE, assert_equal, augmentations, how, numbered
from PIL import Image

from tl_keras.config.cache import CacheConfig
from tl_keras.config.text import from_tree
from tl_keras.data import store
from tl_keras.data.batching import batches, order
from tl_keras.data.batching import inputs as inputs_module
from tl_keras.data.batching.inputs import Inputs, free_memory, prepared_split
from tl_keras.data.examples import Dataset, Example
from tl_keras.modalities.image.check import Checked
from tl_keras.tasks.classification import targets as targets_of


def epochs(inputs, training, numbers):
    """Returns the batches of some epochs, from one data set and one variable."""
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = batches.training(inputs, training, place)
    found = []
    for number in numbers:
        place.assign([number, 0])
        found.append(list(data.as_numpy_iterator()))
        assert len(found[-1]) == batches.num_steps(len(inputs), training.batch_size)
    # A start in the middle of an epoch gives the rest of that epoch.
    place.assign([numbers[-1], 1])
    assert_equal(data.as_numpy_iterator(), found[-1][1:])
    return found


def differ(one, other):
    return any((a[0] != b[0]).any() for a, b in zip(one, other, strict=True))


def shown(epoch):
    """Returns the numbers of the images of an epoch, in order."""
    return np.concatenate([x[:, 0, 0, 0] for x, _, _ in epoch]).tolist()


# Training.


@pytest.mark.parametrize("balance", ["none", "oversample"])
def test_an_epoch_is_a_pure_function_of_seed_and_epoch(balance):
    inputs = numbered(22, num_classes=3)
    training = how(3, augmentations=ALL, balance=balance)
    unbroken = epochs(inputs, training, range(4))
    (resumed,) = epochs(inputs, training, [3])
    assert_equal(unbroken[3], resumed)
    assert all(differ(unbroken[3], other) for other in unbroken[:3])
    (other_seed,) = epochs(inputs, how(3, augmentations=ALL, balance=balance, seed=1), [3])
    assert differ(unbroken[3], other_seed)


def test_an_epoch_has_every_example_once_in_another_order():
    first, second = epochs(numbered(20), how(20), [0, 1])
    assert sorted(shown(first)) == sorted(shown(second)) == list(range(20))
    assert shown(first) != shown(second) and shown(first) != list(range(20))


def test_targets_stay_with_their_images():
    for x, targets, weights in epochs(numbered(20), how(20), [0])[0]:
        np.testing.assert_array_equal(targets.argmax(1), x[:, 0, 0, 0])
        np.testing.assert_array_equal(targets.sum(1), np.ones(4))
        np.testing.assert_array_equal(weights, np.ones(4))
        assert targets.dtype == weights.dtype == np.float32 and x.dtype == np.uint8


def test_a_smaller_last_batch_is_left_out_of_each_epoch():
    found = epochs(numbered(10), how(10), range(10))
    for epoch in found:
        assert [len(x) for x, _, _ in epoch] == [4, 4]
        assert len(set(shown(epoch))) == 8
    assert {number for epoch in found for number in shown(epoch)} == set(range(10))


def test_fewer_examples_than_a_batch_are_one_batch():
    (epoch,) = epochs(numbered(3), how(3, batch_size=32), [0])
    assert len(epoch) == 1 and sorted(shown(epoch)) == [0, 1, 2]
    assert batches.num_steps(3, 32) == 1 and batches.num_steps(65, 32) == 2


def test_views_repeat_but_orders_do_not():
    inputs = Inputs(
        np.arange(8), np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    )
    training = how(8, augmentations=ALL[:4], views=3)
    found = epochs(inputs, training, range(5))

    def by_example(epoch):
        pairs = [pair for x, y, _ in epoch for pair in zip(y.argmax(1).tolist(), x, strict=True)]
        return dict(pairs)

    seen = [by_example(epoch) for epoch in found]
    for e in range(2):
        for i in range(8):
            np.testing.assert_array_equal(seen[e][i], seen[e + 3][i])
    assert all((seen[0][i] != seen[e][i]).any() for e in (1, 2) for i in range(8))
    orders = [[int(i) for _, y, _ in epoch for i in y.argmax(1)] for epoch in found]
    assert len({tuple(order) for order in orders}) == 5
    # If `views` is None, each epoch has its own view.
    free = epochs(inputs, how(8, augmentations=ALL[:4]), [0, 3])
    assert (by_example(free[0])[0] != by_example(free[1])[0]).any()


def test_oversampling_balances():
    # The classes have 34, 5 and 1 examples. Only rare ones are repeated.
    labels = np.array([0] * 34 + [1] * 5 + [2])
    inputs = Inputs(labels, numbered(40).array)
    for epoch in epochs(inputs, how(3, balance="oversample"), range(3)):
        numbers = shown(epoch)
        classes = np.concatenate([y.argmax(1) for _, y, _ in epoch])
        np.testing.assert_array_equal(classes, labels[numbers])
        assert sorted(np.bincount(classes)) == [13, 13, 14]
        counts = np.bincount(numbers, minlength=40)
        assert counts[:34].max() == 1  # No example of the largest class occurs twice.
        assert (
            counts[34:39].min() >= 2 and counts[34:39].max() <= 3
        )  # The five have nearly equal counts.
        assert np.abs(np.diff(classes)).sum() > 10  # The classes do not come one after the other.


def test_oversampling_reads_all_of_the_largest_class_in_time():
    labels = np.array([0] * 34 + [1] * 6)
    found = epochs(Inputs(labels, numbered(40).array), how(2, balance="oversample"), range(6))
    assert {number for epoch in found for number in shown(epoch)} == set(range(40))


def test_oversampling_of_one_in_a_thousand_starts_at_once():
    # Building a graph with an operation for each repeat would take minutes.
    labels = np.zeros(20_000, np.int64)
    labels[:2] = 1
    indices = order.order_of(labels, how(2, balance="oversample"), tf.constant(0))
    np.testing.assert_array_equal(np.bincount(labels[indices.numpy()]), [10_000, 10_000])


def test_weights_are_inverse_to_class_sizes_with_mean_1():
    labels = np.array([0] * 30 + [1] * 8 + [3] * 2)
    weights = targets_of.weights(labels, 4, "weights")
    assert weights[labels].mean() == pytest.approx(1)
    sums = [weights[label] * (labels == label).sum() for label in (0, 1, 3)]
    np.testing.assert_allclose(sums, 40 / 3, rtol=1e-6)  # float32
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(targets_of.weights(labels, 4, "none"), np.ones(4))


def test_weights_follow_mixed_targets():
    inputs = Inputs(np.array([0] * 12 + [1] * 4), numbered(16).array)
    training = how(2, balance="weights", augmentations=augmentations(mixup=1.0))
    per_class = targets_of.weights(inputs.labels, 2, "weights")
    for _, targets, weights in epochs(inputs, training, [0])[0]:
        np.testing.assert_allclose(weights, targets @ per_class, rtol=1e-6)  # float32
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)


def test_mixing_differs_from_step_to_step_and_epoch_to_epoch():
    found = epochs(numbered(16), how(16, augmentations=augmentations(mixup=1.0)), range(3))
    shares = {round(float(targets.max()), 5) for epoch in found for _, targets, _ in epoch}
    assert len(shares) == 12


def test_activations_are_read_as_they_are():
    # Activations of a frozen prefix are not augmented.
    array = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    (epoch,) = epochs(Inputs(np.arange(8), array), how(8), [0])
    for x, targets, _ in epoch:
        np.testing.assert_array_equal(x, array[targets.argmax(1)])


# Evaluation.


@pytest.mark.parametrize("count, sizes", [(10, [4, 4, 2]), (8, [4, 4]), (3, [3]), (0, [])])
def test_evaluation_sees_every_example_once_in_order(count, sizes):
    inputs = numbered(count)
    found = list(batches.evaluation(inputs, 4).as_numpy_iterator())
    assert [len(x) for x in found] == sizes
    if found:
        np.testing.assert_array_equal(np.concatenate(found), inputs.array)


# Files.


@pytest.fixture
def dataset(tmp_path):
    """Pictures of several sizes and decoders; all three splits hold the same eleven."""
    generator = np.random.default_rng(0)
    examples = []
    for i in range(11):
        format, decoder = [("JPEG", "jpeg"), ("PNG", "png"), ("BMP", "pillow")][i % 3]
        shape = (40 + 7 * i, 90 - 3 * i, 3)
        name = f"Bär {i}.{format}"
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(tmp_path / name, format)
        height, width = shape[:2]
        examples.append(
            Example(
                name,
                i % 2,
                f"digest {i}",
                checked=Checked(decoder=decoder, width=width, height=height),
            )
        )
    splits = {"train": examples, "val": examples, "test": examples}
    return Dataset(("a", "b"), splits, tmp_path, None, [], [], "")


@pytest.fixture
def config():
    tree = {"data": {"path": "/x"}, "image": {"size": 32, "augment": []}}
    return from_tree(tree).with_settings(size=SIZE)


PLACES = ("memory", "disk", "files")


def prepared(dataset, split, config, folder, place, monkeypatch):
    """Returns inputs that are kept in memory, on disk, or not at all."""
    with monkeypatch.context() as patch:
        if place != "memory":
            patch.setattr(inputs_module, "free_memory", lambda: -1)
        max_bytes = 0.0 if place == "files" else 1e9
        cache = CacheConfig(path=str(folder / "cache"), max_bytes=max_bytes)
        kept = config.model_copy(update={"cache": cache})
        inputs = prepared_split(dataset, split, kept)
    assert isinstance(inputs.array, np.memmap) == (place == "disk")
    assert (inputs.array is None) == (place == "files")
    return inputs


@pytest.mark.parametrize("split", ["train", "val"])
def test_batches_do_not_depend_on_where_images_are_kept(
    dataset, config, tmp_path, monkeypatch, split
):
    places = [prepared(dataset, split, config, tmp_path, p, monkeypatch) for p in PLACES]
    evaluated = [list(batches.evaluation(i, 4).as_numpy_iterator()) for i in places]
    trained = [epochs(i, how(2, augmentations=ALL), [2])[0] for i in places]
    for i in (1, 2):
        assert_equal(evaluated[0], evaluated[i])
        assert_equal(trained[0], trained[i])
    assert [len(x) for x in evaluated[0]] == [4, 4, 3]
    np.testing.assert_array_equal(places[0].labels, np.arange(11) % 2)


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_an_empty_split(dataset, config, tmp_path, monkeypatch, place):
    dataset.splits["test"] = []
    inputs = prepared(dataset, "test", config, tmp_path, place, monkeypatch)
    assert len(inputs) == 0 and list(batches.evaluation(inputs, 4)) == []


def test_only_training_decodes_at_a_fraction(tmp_path, config, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.jpg")
    splits = dict.fromkeys(
        ("train", "val", "test"),
        [Example("x.jpg", 0, "d", checked=Checked(decoder="jpeg", width=128, height=128))],
    )
    dataset = Dataset(("a", "b"), splits, tmp_path, None, [], [], "")
    train, val, test = (
        prepared(dataset, split, config, tmp_path, "memory", monkeypatch).array for split in splits
    )
    np.testing.assert_array_equal(val, test)
    # Decoding at a quarter of the size averages the noise; bilinear resizing does not.
    assert train.std() < 0.5 * val.std()


def test_images_on_disk_are_not_decoded_again(dataset, config, tmp_path, monkeypatch):
    first = prepared(dataset, "val", config, tmp_path, "disk", monkeypatch).array.copy()
    for example in dataset.splits["val"]:
        (tmp_path / example.file).unlink()
    again = prepared(dataset, "val", config, tmp_path, "disk", monkeypatch)
    np.testing.assert_array_equal(again.array, first)


def test_images_on_disk_depend_on_all_settings_that_change_them(
    dataset, config, tmp_path, monkeypatch
):
    others = [
        config.with_settings(**update)
        for update in ({}, {"size": 24}, {"resize": "crop"}, {"antialias": True})
    ]
    for i, other in enumerate(others, start=1):
        prepared(dataset, "val", other, tmp_path, "disk", monkeypatch)
        assert len(store.entries(CacheConfig(path=str(tmp_path / "cache")))) == i
    prepared(dataset, "train", config, tmp_path, "disk", monkeypatch)
    assert len(store.entries(CacheConfig(path=str(tmp_path / "cache")))) == 5


def test_free_memory_is_that_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(inputs_module, "CONTAINER", tmp_path)
    assert 1 << 20 < free_memory() < psutil.virtual_memory().total


def test_free_memory_is_that_of_a_container_with_a_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(inputs_module, "CONTAINER", tmp_path)
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 100\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_memory() == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 1 << 20


# Embedded sources.


@pytest.mark.parametrize("antialias", [False, True])
def test_embedded_images_are_resized_like_files(antialias, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), np.uint8)
    examples = [Example(f"{i}", 0, f"{i}", i) for i in range(69, 1, -1)]
    splits = {"train": examples, "val": [], "test": []}
    dataset = Dataset(("a", "b"), splits, None, images, [], [], "")
    settings = {"size": 32, "antialias": antialias}
    same = from_tree({"data": {"source": "digits"}, "image": settings})
    config = same.with_settings(size=16)
    inputs = prepared_split(dataset, "train", config)
    resized = tf.image.resize(images[:1:-1], (16, 16), antialias=antialias)
    np.testing.assert_array_equal(inputs.array, tf.round(resized))
    inputs = prepared_split(dataset, "train", same)
    np.testing.assert_array_equal(inputs.array, images[:1:-1])
    empty = prepared_split(dataset, "val", config)
    assert empty.array.shape == (0, 16, 16, 3)


@pytest.mark.parametrize("batch_size, steps", [(4, 2), (32, 1)])
def test_drawn_epochs_never_repeat(batch_size, steps):
    # Replaces glyphs, which take seconds to trace. The claim is about which images are drawn.
    def draw(indices):
        images = tf.cast(indices, tf.uint8)[:, None, None, None] + tf.constant(7, tf.uint8)
        return tf.broadcast_to(images, (tf.size(indices), SIZE, SIZE, 3)), indices % 3

    examples = [Example(f"{i}", i % 3, f"{i}", i) for i in range(10)]
    splits = {"train": examples, "val": [], "test": []}
    dataset = Dataset(("a", "b", "c"), splits, None, None, [], [], "", draw)
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = batches.drawn(dataset, how(3, batch_size=batch_size), place)
    found = []
    for number in (0, 1, 2, 1):
        place.assign([number, 0])
        found.append(list(data.as_numpy_iterator()))
        assert len(found[-1]) == steps
    assert_equal(found[1], found[3])  # Drawing an epoch again gives the same images.
    place.assign([1, 1])
    assert_equal(data.as_numpy_iterator(), found[1][1:])
    numbers = [number - 7 for drawn in found[:3] for number in shown(drawn)]
    assert len(set(numbers)) == len(numbers) == 3 * steps * min(batch_size, 10)
    for x, targets, weights in found[2]:
        np.testing.assert_array_equal(targets.argmax(1), (x[:, 0, 0, 0] - 7) % 3)
        np.testing.assert_array_equal(weights, np.ones(len(x)))
    # The head's inputs are those of epoch 0.
    inputs = prepared_split(dataset, "train", from_tree({"data": {"source": "digits"}}))
    shown_once = np.concatenate(list(batches.evaluation(inputs, 4).as_numpy_iterator()))
    assert shown_once[:, 0, 0, 0].tolist() == [7 + i for i in range(10)]


def test_a_view_equals_that_of_an_epoch_of_training():
    inputs = numbered(6)
    training = how(6, batch_size=6, augmentations=augmentations(brightness=0.3))
    for view, ((trained, targets, _),) in enumerate(epochs(inputs, training, [0, 1])):
        (images,) = batches.view(inputs, 6, training, view)
        np.testing.assert_array_equal(images, trained[np.argsort(targets.argmax(1))])


@pytest.mark.parametrize("balance", ["none", "weights", "oversample"])
def test_activations_have_the_order_and_weights_of_images(balance):
    inputs = numbered(22, num_classes=3)
    training = how(3, batch_size=5, balance=balance, seed=4)
    for epoch, expected in enumerate(epochs(inputs, training, range(3))):
        found = list(batches.of_activations(inputs.array, inputs.labels, training, epoch))
        rest = list(batches.of_activations(inputs.array, inputs.labels, training, epoch, 2))
        assert len(rest) == 2 and (rest[0][0].numpy() == found[2][0].numpy()).all()
        assert len(found) == len(expected) == 4
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)


def test_activations_in_half_precision_are_trained_on_as_float32():
    array = np.arange(12, dtype=np.float16).reshape(6, 2)
    ((x, targets, _),) = batches.of_activations(array, np.arange(6), how(6, batch_size=6), 0)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, array[targets.numpy().argmax(1)])
