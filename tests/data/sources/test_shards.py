"""Training images streamed from the shards of TensorFlow Datasets."""

import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from numbered import ALL, assert_equal, how
from PIL import Image
from runs import changed
from tiny_tfds import picture, write

import tl_keras
from tl_keras.config import text as configs
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import prepared_split
from tl_keras.data.load import load
from tl_keras.data.sources import shards
from tl_keras.training import fit as train

SIZE = 32


def tree(folder, cache, **sections):
    base = {
        "data": {"source": "tfds", "name": "tiny_shapes", "path": str(folder), "stream": True},
        "image": {"size": SIZE},
        "model": {"backbone": "MobileNet", "options": {"alpha": 0.25}, "weights": "none"},
        "fit": {"epochs": 2, "batch_size": 8},
        "cache": {"path": str(cache)},
    }
    return changed(base, **sections)


def loaded(tree):
    config = configs.from_tree(tree)
    return load(config), config


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A builder with 41 labelled training examples in nine shards, and validation examples."""
    folder = tmp_path_factory.mktemp("tfds")
    labels = {"train": [0, 1] * 20 + [-1, 0], "validation": [0, 1] * 3, "test": [-1, -1]}
    return write(folder / "data", labels, text=tfds.features.Text())


def test_every_example_is_listed_and_only_val_and_test_are_files(prepared, tmp_path):
    dataset, _ = loaded(tree(prepared, tmp_path / "cache"))
    # The labels of test are secret, so test is carved from each class of train.
    counts = {split: len(examples) for split, examples in dataset.splits.items()}
    assert counts == {"train": 35, "val": 6, "test": 6, "rest": 0}
    assert np.bincount(dataset.labels("test")).tolist() == [3, 3]
    assert dataset.classes == ("angular_pointed", "round")
    assert dataset.quarantined == []
    assert "1 image in split 'train' of 'tiny_shapes' has no label" in dataset.warnings
    assert "2 images in split 'test' of 'tiny_shapes' have no label" in dataset.warnings
    for split in ("val", "test"):
        assert all((dataset.root / e.file).is_file() for e in dataset.splits[split])
    assert not any((dataset.root / e.file).exists() for e in dataset.splits["train"])
    example = dataset.splits["train"][0]
    assert (example.checked.width, example.checked.height, example.checked.decoder) == (
        24,
        20,
        "png",
    )
    assert dataset.fingerprint == loaded(tree(prepared, tmp_path / "cache"))[0].fingerprint


def test_unreadable_images_are_left_out_with_a_warning(tmp_path):
    class Encoded(tfds.features.Image):
        def encode_example(self, image):
            return image if isinstance(image, bytes) else super().encode_example(image)

    stream = io.BytesIO()
    Image.fromarray(picture(3)).save(stream, "PNG")
    contents = iter([b"no image", stream.getvalue()[:200]])
    image = Encoded(shape=(None, None, 3))
    real = image.encode_example

    def damaged(self, given):
        return next(contents, None) or real(given) if given[0, 0, 0] % 2 else real(given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Encoded, "encode_example", damaged)
        folder = write(tmp_path / "data", {"train": [0, 1] * 20, "val": [0, 1]}, image=image)
    dataset, config = loaded(
        tree(folder, tmp_path / "cache", data={"max_bad_share": 0.5, "test": 0})
    )
    reasons = sorted(entry.reason.partition(":")[0] for entry in dataset.quarantined)
    assert reasons == ["not an image but text", "truncated or damaged"]
    assert len(dataset.splits["train"]) == 38
    assert sum(1 for _ in epoch(dataset, config, 0)) == 38 // 8


def epoch(dataset, config, number, first=0, augmentations=()):
    training = how(2, batch_size=8, augmentations=augmentations)
    return batches.streamed(dataset, training, config.settings)(number, first).as_numpy_iterator()


def test_an_epoch_has_every_example_once_in_another_order(prepared, tmp_path):
    dataset, config = loaded(tree(prepared, tmp_path / "cache"))
    inputs = prepared_split(dataset, "train", config)
    numbers = range(len(inputs))
    images = [image.tobytes() for image in batches.examples_of(inputs.part(np.array(numbers)))]
    assert len(set(images)) == 35
    orders = []
    for number in (0, 1, 0):
        found = list(epoch(dataset, config, number))
        assert [len(x) for x, _, _ in found] == [8] * 4
        orders.append([images.index(image.tobytes()) for x, _, _ in found for image in x])
        shown = np.concatenate([targets.argmax(1) for _, targets, _ in found])
        np.testing.assert_array_equal(shown, inputs.labels[orders[-1]])
    assert orders[0] == orders[2] != orders[1]
    assert all(max(Counter(order).values()) == 1 for order in orders)


def test_an_epoch_can_start_in_the_middle(prepared, tmp_path):
    dataset, config = loaded(tree(prepared, tmp_path / "cache"))
    whole = list(epoch(dataset, config, 1, augmentations=ALL))
    assert_equal(epoch(dataset, config, 1, 2, ALL), whole[2:])


def test_views_are_the_same_as_with_files(prepared, tmp_path):
    """An example has the same view in an epoch, whether it is read from a file or a shard."""
    dataset, config = loaded(tree(prepared, tmp_path / "cache"))
    inputs = prepared_split(dataset, "train", config)
    augmentations = ALL[:-1]  # Without mixing.
    training = how(2, batch_size=8, augmentations=augmentations)
    (views,) = batches.view(inputs, 35, training, 3)
    for x, _, _ in epoch(dataset, config, 3, augmentations=augmentations):
        for image in x:
            assert np.abs(views - image).reshape(35, -1).max(1).min() < 1e-3


def test_ordered_splits_are_shuffled_too(tmp_path, monkeypatch):
    folder = write(tmp_path / "data", {"train": [0] * 20 + [1] * 20})
    monkeypatch.setattr(tfds.core.DatasetInfo, "disable_shuffling", property(lambda self: True))
    dataset, config = loaded(tree(folder, tmp_path / "cache"))
    (x, targets, _), *others = epoch(dataset, config, 0)
    assert len(others) == 2 and 0 < targets.argmax(1).sum() < 8


def test_a_builder_can_be_both_streamed_and_unpacked(tmp_path):
    folder = write(tmp_path / "data", {"train": [0, 1] * 20})
    streamed = tree(folder, tmp_path / "cache")
    found = [loaded(changed(streamed, data={"stream": on}))[0] for on in (True, False, True)]
    contents = [
        {split: sorted(e.digest for e in own.splits[split]) for split in own.splits}
        for own in found
    ]
    assert contents[0] == contents[1] == contents[2]  # The splits are the same, too.


@pytest.mark.parametrize("stream", [True, False])
def test_a_builder_that_is_run_again_is_read_again(tmp_path, stream):
    config = tree(tmp_path / "data", tmp_path / "cache", data={"stream": stream})
    counts = []
    for labels in ([0, 1] * 20, [0, 1] * 20 + [1]):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        write(tmp_path / "data", {"train": labels})
        counts.append(sum(map(len, loaded(config)[0].splits.values())))
    assert counts == [40, 41]


def test_two_train_splits_are_refused_and_two_val_splits_are_joined(tmp_path):
    two = write(tmp_path / "two", {"train": [0, 1] * 5, "training": [0, 1] * 5})
    with pytest.raises(ValueError, match="has two splits for training, 'train' and 'training'"):
        loaded(tree(two, tmp_path / "cache"))
    splits = {"train": [0, 1] * 9, "val": [0, 1], "validation": [0, 1], "test": [0, 1], "x": [0]}
    dataset, _ = loaded(tree(write(tmp_path / "one", splits), tmp_path / "cache"))
    assert len(dataset.splits["val"]) == 4
    assert "split 'x' of 'tiny_shapes' is not used" in dataset.warnings


def test_shards_are_checked_once(prepared, tmp_path, monkeypatch):
    first, _ = loaded(tree(prepared, tmp_path / "cache"))
    damaged = min((tmp_path / "cache").rglob("census/*.json"))
    damaged.write_text(damaged.read_text()[:50])
    checked = []
    check = shards.check_content
    monkeypatch.setattr(shards, "check_content", lambda *given: checked.append(1) or check(*given))
    again, _ = loaded(tree(prepared, tmp_path / "cache"))
    assert again.splits["train"] == first.splits["train"]
    assert 0 < len(checked) <= 5


def test_pretraining_from_shards_killed_in_an_epoch_ends_bit_equal(
    prepared, quick, tmp_path, monkeypatch
):
    config = tree(prepared, tmp_path / "cache", fit={"checkpoint_minutes": 0.0})
    config["model"] = {**quick["model"], "weights": "none"}
    unbroken = tl_keras.pretrain(config, tmp_path / "unbroken")
    assert unbroken.result["data"]["train"] == 35
    assert json.loads((unbroken.workdir / "pictures" / "index.json").read_text())["augmented"]
    save = train.State.save

    class Stop(Exception):
        pass

    def save_then_stop(state, *arguments):
        save(state, *arguments)
        if len(state.losses) == 2 and len(state.history) == 1:
            raise Stop

    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(train.State, "save", save_then_stop)
        tl_keras.pretrain(config, tmp_path / "broken")
    tf.random.set_seed(99)  # As in another process.
    broken = tl_keras.pretrain(config, tmp_path / "broken")
    files = [run.workdir / "predictions.csv" for run in (unbroken, broken)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("command", "data", "message"),
    [
        ("finetune", {}, "data.stream: finetune needs its images in random order, but"),
        (
            "pretrain",
            {"source": "digits", "name": None},
            "data.stream: only data of the source 'tfds' can be ",
        ),
        (
            "pretrain",
            {"balance": "oversample"},
            "data.balance: with data.stream each example is read once",
        ),
    ],
)
def test_data_stream_is_only_for_pretraining_on_tfds(tmp_path, command, data, message):
    config = tree(tmp_path, tmp_path / "cache", data=data)
    with pytest.raises(ValueError, match=message):
        getattr(tl_keras, command)(config, tmp_path / "run")
