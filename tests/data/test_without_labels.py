"""Data sets whose labels are not read: TensorFlow Datasets, tables, folders and built-in texts."""

import pytest
import tiny_tfds

from tl_keras.config.whole import RunConfig
from tl_keras.data import without_labels


def config(tmp_path, **data):
    tree = {
        "data": data,
        "model": {"backbone": "BERT"},
        "pretrain": {"objective": "masked_language"},
        "cache": {"path": str(tmp_path / "cache")},
    }
    return RunConfig.model_validate(tree)


def contents(dataset, *splits):
    return sorted(text for split in splits for text in without_labels.read(dataset, split))


@pytest.mark.parametrize("has_labels", [True, False])
def test_all_splits_of_tfds_but_test_are_read(has_labels, tmp_path):
    splits = {"train": [0, 1] * 4, "test": [1] * 3, "unsupervised": [-1] * 6}
    others = {} if has_labels else {"label": None}
    folder = tiny_tfds.write_texts(tmp_path / "tfds", splits, **others)
    wanted = config(tmp_path, source="tfds", name="tiny_reviews", path=str(folder), modality="text")
    dataset = without_labels.load(wanted)
    seeds = [*range(8), *range(200, 206)]
    expected = sorted(tiny_tfds.words(seed).encode() for seed in seeds)
    assert contents(dataset, "train", "val") == expected
    assert dataset.splits["val"] and not dataset.splits["test"]
    assert dataset.notes == [
        "3 texts of test are left out, so that later runs can be measured on them"
    ]
    assert without_labels.load(wanted).fingerprint == dataset.fingerprint


def test_tfds_of_pictures_has_no_texts(tmp_path):
    folder = tiny_tfds.write(tmp_path / "tfds", {"train": [0, 1] * 8})
    wanted = config(tmp_path, source="tfds", name="tiny_shapes", path=str(folder), modality="text")
    with pytest.raises(ValueError, match=r"is not a data set for text; expected the feature 'text"):
        without_labels.load(wanted)


def test_a_table_of_texts_with_another_suffix_must_be_renamed(tmp_path):
    (tmp_path / "reviews.txt").write_text("text\na\nb\n")
    wanted = config(tmp_path, source="csv", path=str(tmp_path / "reviews.txt"))
    with pytest.raises(ValueError, match=r"reviews.txt': expected a name that ends with \.csv"):
        without_labels.load(wanted)


def test_validation_is_carved_by_content(tmp_path):
    lines = [f"number {i} of the texts" for i in range(40)]
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(lines) + "\n")
    (tmp_path / "b.csv").write_text("note,text\n" + "".join(f"x,{i}\n" for i in reversed(lines)))
    first, second = (
        without_labels.load(config(tmp_path, source="csv", path=str(tmp_path / name)))
        for name in ("a.csv", "b.csv")
    )
    assert len(first.splits["val"]) == 6
    assert contents(first, "val") == contents(second, "val")
    assert contents(first, "train", "val") == sorted(line.encode() for line in lines)


def test_built_in_texts_leave_out_those_that_a_run_with_labels_tests_on(tmp_path):
    from tl_keras.data import load

    wanted = config(tmp_path, source="intents")
    tested = {example.digest for example in load.load(wanted).splits["test"]}
    dataset = without_labels.load(wanted)
    known = {e.digest for split in ("train", "val") for e in dataset.splits[split]}
    assert tested and known and not tested & known
