"""Claims on data/doctor.py: planted problems are found, and sound examples are not reported."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from sklearn.linear_model import Ridge

from tl_keras.data import doctor
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset, Example
from tl_keras.modalities.image import copies, examine
from tl_keras.modalities.image.check import Checked
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.tasks.classification import labels as doubts

SIZE = 96


def scene(seed: int) -> Image.Image:
    """A picture of blots at all scales. Two of them differ as much as two photographs."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (SIZE, SIZE))
    for cells in (3, 6, 12, 24):
        noise = generator.integers(0, 256, (cells, cells, 3), np.uint8)
        image = Image.blend(image, Image.fromarray(noise).resize((SIZE, SIZE)), 0.45)
    return image


def recompressed(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream).convert("RGB")


COPIES = {
    "recompressed": recompressed,
    "smaller": lambda image: image.resize((40, 40)).resize((SIZE, SIZE)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "cropped": lambda image: image.crop((1, 1, SIZE - 1, SIZE - 1)).resize((SIZE, SIZE)),
    "mirrored": ImageOps.mirror,
}


def grey_of(images):
    return copies.thumbnails(np.stack([np.asarray(image) for image in images]))


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found_among_others(name):
    images = [scene(seed) for seed in range(20)]
    images.append(COPIES[name](images[7]))
    found = copies.near_duplicates(grey_of(images), np.arange(21))
    assert [pair[:2] for pair in found] == [(7, 20)]


def test_many_near_duplicates_make_few_pairs():
    grey = grey_of([scene(0)] * 200)
    assert len(copies.near_duplicates(grey, np.arange(200))) <= 200 * copies.PARTNERS
    assert copies.near_duplicates(grey, np.zeros(200, np.int64)) == []


def test_similar_scenes_are_not_copies():
    """Discs in front of a wall at different places. By perceptual hashes alone, some are copies."""
    generator, images = np.random.default_rng(0), []
    y, x = np.mgrid[:SIZE, :SIZE]
    for _ in range(60):
        cx, cy, r = generator.integers((30, 30, 12), (66, 66, 28))
        image = np.full((SIZE, SIZE, 3), 200, np.uint8)
        image[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = generator.integers(0, 120, 3)
        images.append(image)
    grey = copies.thumbnails(np.stack(images))
    hashes = copies._hashes(grey)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= copies.MAX_DISTANCE
    pairs = (near.sum() - len(grey)) / 2
    assert len(copies.near_duplicates(grey, np.arange(60))) < 0.3 * pairs


def test_images_of_one_colour_are_not_copies_of_each_other():
    flat = np.stack([np.full((SIZE, SIZE, 3), level, np.uint8) for level in (0, 9, 200)])
    assert copies.near_duplicates(copies.thumbnails(flat), np.arange(3)) == []


def dataset_of(splits: dict[str, list[tuple[str, int]]], root="/data", **example) -> Dataset:
    examples = {
        split: [Example(file, label, file, checked=Checked(**example)) for file, label in listed]
        for split, listed in splits.items()
    }
    return Dataset(("cat", "dog"), examples, root, None, [], [], "")


def test_pairs_are_in_two_splits_or_have_two_labels():
    images = {"a": scene(1), "b": scene(2), "c": scene(3)}
    for name in "abc":
        images[f"{name}2"] = recompressed(images[name])
    splits = {
        "train": [("a", 0), ("b", 0), ("b2", 1), ("c", 0), ("c2", 0)],
        "val": [],
        "test": [("a2", 0)],
    }
    inputs = {
        split: Inputs(
            np.array([label for _, label in listed]),
            np.stack([np.asarray(images[name]) for name, _ in listed])
            if listed
            else np.empty((0, SIZE, SIZE, 3), np.uint8),
        )
        for split, listed in splits.items()
    }
    dataset = dataset_of(splits, width=SIZE, height=SIZE)
    pairs = examine.examine(dataset, inputs, ImageConfig(size=SIZE))["near_duplicates"]
    # c and c2 are both in train with the label cat, which is harmless.
    assert [(pair["files"], pair["splits"], pair["labels"]) for pair in pairs] == [
        (["a", "a2"], ["train", "test"], ["cat", "cat"]),
        (["b", "b2"], ["train", "train"], ["cat", "dog"]),
    ]
    assert doctor.copied(pairs, "test") == {"a2"}
    assert doctor.copied(pairs, "val") == set()


def test_images_that_do_not_fit_in_memory_are_not_compared():
    splits = {"train": [("a", 0), ("b", 1)], "val": [], "test": []}
    inputs = {split: Inputs(np.zeros(len(x), np.int64), None) for split, x in splits.items()}
    found = examine.examine(dataset_of(splits, width=50, height=40), inputs, ImageConfig(size=32))
    assert set(found) == {"rare", "sizes"}


def test_rare_answers():
    many = [(f"cat {i}", 0) for i in range(300)]
    few = [(f"dog {i}", 1) for i in range(25)]
    rare = doctor.rare_answers(dataset_of({"train": many + few, "val": [], "test": []}))
    assert [(entry["class"], entry["n"]) for entry in rare] == [("dog", 25)]
    assert rare[0]["why"] == "fewer than a tenth of the 300 training examples of the largest class"
    rare = doctor.rare_answers(dataset_of({"train": many[:30] + few[:3], "val": [], "test": []}))
    assert "fewer than 20" in rare[0]["why"]
    assert doctor.rare_answers(dataset_of({"train": many[:30] + few, "val": [], "test": []})) == []


def test_odd_sizes():
    sizes = [(400, 300)] * 8 + [(300, 400), (900, 300), (300, 900), (60, 45)]
    examples = [
        Example(f"{i}", 0, "", checked=Checked(width=width, height=height))
        for i, (width, height) in enumerate(sizes)
    ]
    found = examine.sizes(examples, ImageConfig())
    assert found["width"] == [60, 400, 900]
    assert found["height"] == [45, 300, 900]
    assert {entry["file"]: entry["why"] for entry in found["odd"]} == {
        "9": "3.0 times as long as wide; the median of all images is 1.3",
        "10": "3.0 times as long as wide; the median of all images is 1.3",
        "11": "the shorter side is below half of image.size, 160, so the image is enlarged more "
        "than twofold",
    }


def test_odd_brightness():
    generator = np.random.default_rng(0)
    images = [generator.integers(60, 160, (SIZE, SIZE, 3)).astype(np.uint8) for _ in range(20)]
    images[3] = np.full((SIZE, SIZE, 3), 110, np.uint8)
    images[4] = np.clip(images[4].astype(int) + 95, 0, 255).astype(np.uint8)
    images[5] = images[5] // 4
    # Stripes survive in the thumbnail, but noise of single pixels does not.
    for i, image in enumerate(images):
        if i != 3:  # Image 3 has a single colour.
            image[:, :24] = image[:, :24] // 2
    images[6] = np.full((SIZE, SIZE, 3), 110, np.uint8)
    images[6][40:70, 20:80] = (200, 30, 30)
    stack = np.stack(images)
    examples = [Example(f"{i}", 0, "") for i in range(20)]
    found = examine.brightness(copies.thumbnails(stack), examine.flatness(stack), examples)
    assert {entry["file"]: entry["why"] for entry in found["odd"]} == {
        "3": "almost a single colour",
        "4": "much brighter than most images",
        "5": "much darker than most images",
        "6": "large areas of a single colour: a drawing, a placeholder or a cut-out?",
    }


@pytest.mark.parametrize("channels", [5, 60], ids=["more images", "more channels"])
def test_leave_one_out_is_a_fit_on_all_others(channels):
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = generator.normal(size=(30, channels)) + labels[:, None]
    found = doubts.leave_one_out(features, labels)
    # Mean and scale of the features are computed on all examples.
    x = (features - features.mean(0)) / (features.std(0) + 1e-3)
    targets = np.eye(3)[labels]
    for left_out in range(0, 30, 7):
        rest = np.arange(30) != left_out
        ridge = Ridge(alpha=channels).fit(x[rest], targets[rest])
        expected = ridge.predict(x[left_out : left_out + 1])[0]
        np.testing.assert_allclose(found[left_out], expected, atol=1e-9)


def test_most_planted_wrong_labels_are_found_and_hardly_any_others():
    generator = np.random.default_rng(0)
    right = np.arange(300) % 3
    centres = generator.normal(size=(3, 64))
    features = (centres[right] + generator.normal(size=(300, 64))).astype(np.float32)
    labels, wrong = right.copy(), list(range(0, 300, 30))
    labels[wrong] = (right[wrong] + 1) % 3
    found = doubts.suspects(features, labels)
    planted = [i in wrong for i, _, _ in found]
    # Not all, since an example that looks like both classes could be either.
    assert sum(planted) >= 6
    assert sum(planted) >= len(planted) - 1
    assert all(suggested == right[i] for i, suggested, _ in found if i in wrong)
    assert all(0 < probability <= 1 for _, _, probability in found)


def test_suspects_are_named_by_file_and_class():
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = (generator.normal(size=(40, 8)) + 4 * labels[:, None]).astype(np.float32)
    labels[39] = 0
    splits = {"train": [(f"{i}", labels[i]) for i in range(30)], "val": [], "test": []}
    splits["val"] = [(f"{i}", labels[i]) for i in range(30, 40)]
    inputs = {
        "train": Inputs(labels[:30], features[:30]),
        "val": Inputs(labels[30:], features[30:]),
    }
    findings = doctor.suspected(dataset_of(splits), inputs)
    # All labels but the wrong one; the larger class has 21 of 40.
    assert findings["suspects_judge"] == {"n": 40, "agreement": 0.975, "largest": 0.525}
    (found,) = findings["suspects"]
    assert found.pop("probability") > 0.5 > found.pop("label_probability") > 0
    assert found == {"file": "39", "split": "val", "label": "cat", "suggested": "dog"}


def test_the_note_says_if_labels_are_too_few_or_too_many_to_compare(monkeypatch):
    splits = {"train": [(f"{i}", i % 2) for i in range(8)], "val": [], "test": []}
    inputs = {"train": Inputs(np.arange(8) % 2, np.zeros((8, 4), np.float32))}
    note = doctor.suspected(dataset_of(splits), inputs)["suspects_note"]
    assert note == "the class 'cat' has fewer than 5 examples, too few to search for wrong labels"
    monkeypatch.setattr(doubts, "MIN_LABELLED", 1)
    monkeypatch.setattr(doctor, "MAX_FEATURES", 31)
    assert "too large" in doctor.suspected(dataset_of(splits), inputs)["suspects_note"]
