import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tiny_tfds import picture, words, write, write_texts

from tl_keras.config.text import from_tree
from tl_keras.config.whole import RunConfig
from tl_keras.data import contents
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.sources import tfds as source


def listed(folder, tmp_path, name="tiny_shapes"):
    config = RunConfig(data={"source": "tfds", "name": name, "path": str(folder)})
    return source.list_tfds(config, tmp_path / "cache")


def test_a_builder_becomes_class_folders(tmp_path):
    folder = write(tmp_path / "data", {"train": [0, 1, 0, 1, 1, 0, 0], "test": [1, 0]})
    listing = listed(folder, tmp_path)
    found = [(entry.split, entry.label) for entry in listing.files]
    # A class name is not a path.
    angular = "angular_pointed"
    assert sorted(found) == sorted(
        [("train", "round")] * 4 + [("train", angular)] * 3 + [("test", "round"), ("test", angular)]
    )
    assert listing.warnings == [] and listing.quarantined == []
    # The images and labels are those that were written.
    contents = {
        np.asarray(Image.open(listing.root / e.file)).tobytes(): e.label for e in listing.files
    }
    for seed, label in [(0, "round"), (1, angular), (6, "round"), (100, angular)]:
        assert contents[picture(seed).tobytes()] == label
    assert {entry.file.rpartition(".")[2] for entry in listing.files} == {"png"}


def test_a_builder_becomes_a_data_set(tmp_path):
    folder = write(tmp_path / "data", {"train": [0, 1] * 10, "validation": [0, 1] * 2})
    data = {"source": "tfds", "name": "tiny_shapes:1.0.0", "path": str(folder)}
    dataset = load(from_tree({"data": data, "cache": {"path": str(tmp_path / "cache")}}))
    assert dataset.classes == ("angular_pointed", "round")
    assert [len(dataset.splits[split]) for split in SPLITS] == [16, 4, 4]
    assert dataset.splits["train"][0].checked.decoder == "png"


def test_a_builder_is_unpacked_once(tmp_path, monkeypatch):
    folder = write(tmp_path / "data", {"train": [0, 1, 0]})
    first = listed(folder, tmp_path)

    def fail(*arguments):
        raise AssertionError("unpacked again")

    monkeypatch.setattr(source, "_unpack", fail)
    assert listed(folder, tmp_path).files == first.files


def test_an_interrupted_unpacking_continues(tmp_path, monkeypatch):
    folder = write(tmp_path / "data", {"train": [0, 1, 0], "test": [0, 1]})
    unpack = source._unpack

    def killed(builder, split, place):
        if split == "test":
            raise KeyboardInterrupt
        return unpack(builder, split, place)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(source, "_unpack", killed)
        listed(folder, tmp_path)
    assert len(listed(folder, tmp_path).files) == 5


def test_data_of_the_same_name_in_another_folder_are_unpacked_again(tmp_path):
    one = write(tmp_path / "one", {"train": [0, 1, 0]})
    other = write(tmp_path / "other", {"train": [0, 1]})
    assert [len(listed(folder, tmp_path).files) for folder in (one, other)] == [3, 2]


def test_unused_splits_give_a_warning_each_time(tmp_path):
    folder = write(tmp_path / "data", {"train": [0, 1], "extra": [0]})
    for _ in range(2):
        listing = listed(folder, tmp_path)
        assert len(listing.files) == 2
        assert listing.warnings == ["split 'extra' of 'tiny_shapes' is not used"]


def test_examples_without_a_label_give_a_warning_each_time(tmp_path):
    # As a Python index, a label of -1 would mean the last class.
    folder = write(tmp_path / "data", {"train": [0, 1, -1], "test": [-1, -1]})
    for _ in range(2):
        listing = listed(folder, tmp_path)
        assert [(e.split, e.label) for e in listing.files] == [
            ("train", "angular_pointed"),
            ("train", "round"),
        ]
        assert listing.warnings == [
            "1 image in split 'train' of 'tiny_shapes' has no label",
            "2 images in split 'test' of 'tiny_shapes' have no label",
        ]


def test_a_builder_without_train_is_refused(tmp_path):
    folder = write(tmp_path / "data", {"test": [0, 1], "extra": [0]})
    with pytest.raises(ValueError, match="'tiny_shapes' has no split 'train'; it has test, extra"):
        listed(folder, tmp_path)


@pytest.mark.parametrize(
    "features",
    [
        {"image": None, "text": tfds.features.Text()},
        {"label": None},
        {"label": tfds.features.Scalar(np.int64)},
        {"image": tfds.features.Tensor(shape=(20, 24, 3), dtype=np.uint8)},
    ],
    ids=["text", "no label", "numbers", "no image"],
)
def test_a_builder_without_images_and_classes_is_refused(tmp_path, features):
    folder = write(tmp_path / "data", {"train": [0, 1]}, **features)
    message = "'tiny_shapes' is not a data set for image classification; expected the features "
    with pytest.raises(ValueError, match=message):
        listed(folder, tmp_path)


def test_images_of_floats_are_refused(tmp_path):
    # TFDS keeps them as PNGs whose four channels are the bytes of the floats.
    image = tfds.features.Image(shape=(20, 24, 1), dtype=np.float32)
    with pytest.raises(ValueError, match="has images of float32; expected uint8"):
        listed(write(tmp_path / "data", {"train": [0, 1]}, image=image), tmp_path)


@pytest.mark.parametrize("names", [["a/b", "a_b"], ["...", "b"]])
def test_class_names_that_cannot_be_folder_names_are_refused(tmp_path, names):
    label = tfds.features.ClassLabel(names=names)
    folder = write(tmp_path / "data", {"train": [0, 1]}, label=label)
    with pytest.raises(ValueError, match="'tiny_shapes' has class names that cannot be folder"):
        listed(folder, tmp_path)


@pytest.mark.parametrize(
    "name", ["tiny_shape", "no_such_thing:1.0.0", "beans:9.9.9", "../x", "a b"]
)
def test_an_unknown_builder_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="data.name: TFDS has no builder '"):
        listed(tmp_path, tmp_path, name)


def test_a_builder_that_needs_another_package_says_which(tmp_path, monkeypatch):
    def fail(name, data_dir):
        raise ImportError("No module named 'huggingface_hub'")

    monkeypatch.setattr(tfds, "builder", fail)
    with pytest.raises(ValueError, match="no builder 'huggingface:x': No module named 'hugging"):
        listed(tmp_path, tmp_path, "huggingface:x")


def test_the_folder_of_one_version_is_not_the_data_folder(tmp_path):
    folder = write(tmp_path / "data", {"train": [0, 1]}) / "tiny_shapes" / "1.0.0"
    with pytest.raises(ValueError, match=f"expected the TFDS data folder '{tmp_path}/data'"):
        listed(folder, tmp_path)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    def fail(self):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    message = (
        "data.name: 'beans' could not be downloaded: no route to host; without a network, "
        "prepare the data set elsewhere and set data.path to that TFDS data folder"
    )
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, tmp_path, "beans")
    assert not list((tmp_path / "cache").rglob("unpacked.json"))


# Texts.

OWN = {"backbone": "any.keras"}


def config_of_texts(folder, tmp_path, **data):
    """Returns a config; its model is a file, since every backbone belongs to a modality."""
    data = {"source": "tfds", "name": "tiny_reviews", "path": str(folder), **data}
    return RunConfig(data=data, model=OWN, cache={"path": str(tmp_path / "cache")})


def test_texts_become_files(tmp_path):
    folder = write_texts(tmp_path / "data", {"train": [0, 1] * 10, "test": [1, 0, 1]})
    dataset = load(config_of_texts(folder, tmp_path, modality="text"))
    assert dataset.classes == ("bad", "good")
    assert [len(dataset.splits[split]) for split in SPLITS] == [16, 4, 3]
    read = contents.reader(dataset.root)
    found = {read(e.file).decode(): e.label for split in SPLITS for e in dataset.splits[split]}
    assert (found[words(0)], found[words(1)], found[words(100)]) == (0, 1, 1)
    assert {example.file.rpartition(".")[2] for example in dataset.splits["train"]} == {"txt"}


def test_texts_without_a_label_are_not_used(tmp_path):
    folder = write_texts(tmp_path / "data", {"train": [0, 1] * 9, "test": [-1, -1]})
    config = config_of_texts(folder, tmp_path, modality="text")
    (warning,) = source.list_tfds(config, tmp_path / "unpacked").warnings
    assert warning == "2 texts in split 'test' of 'tiny_reviews' have no label"


def test_texts_can_be_streamed(tmp_path):
    folder = write_texts(tmp_path / "data", {"train": [0, 1] * 10, "validation": [1, 0, 1]})
    dataset = load(config_of_texts(folder, tmp_path, modality="text", stream=True))
    assert [len(dataset.splits[split]) for split in SPLITS] == [16, 3, 4]
    assert dataset.shards.one(dataset.splits["train"][0].file).decode().startswith("Käfer")


def test_another_modality_is_named(tmp_path):
    texts = write_texts(tmp_path / "texts", {"train": [0, 1] * 10})
    with pytest.raises(ValueError, match="'text' has texts: set data.modality to 'text'$"):
        load(config_of_texts(texts, tmp_path, modality="image"))
    images = write(tmp_path / "images", {"train": [0, 1]})
    config = config_of_texts(images, tmp_path, name="tiny_shapes", modality="text")
    with pytest.raises(ValueError, match="'image' has images: set data.modality to 'image'$"):
        load(config)
