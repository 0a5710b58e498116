import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tl_keras.config.text import from_tree
from tl_keras.data import check_files
from tl_keras.data.examples import SPLITS, Quarantined
from tl_keras.data.load import load
from tl_keras.data.wording import left_out
from tl_keras.modalities.image import copies
from tl_keras.modalities.image import sources as drawn_sources


def png(seed):
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def fill(root, counts, start=0):
    """Writes class folders with the given numbers of different images."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(png(start + 1000 * number + i))
    return root


@pytest.fixture
def loaded(tmp_path):
    """Loads a folder, or the CSV in it, with its own cache."""

    def loaded(root, **fields):
        table = root / "data.csv"
        source, path = ("csv", table) if table.exists() else ("folder", root)
        data = {"source": source, "path": str(path), **fields}
        return load(from_tree({"data": data, "cache": {"path": str(tmp_path / "cache")}}))

    return loaded


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "root", {"ants": 20, "bees": 20})


def files(dataset, split):
    return [example.file for example in dataset.splits[split]]


def reasons(dataset):
    return {entry.file: entry.reason for entry in dataset.quarantined}


def test_a_folder_becomes_a_data_set(root, loaded):
    dataset = loaded(root)
    assert dataset.classes == ("ants", "bees") and dataset.root == root
    assert [len(dataset.splits[split]) for split in SPLITS] == [28, 6, 6]
    for split in SPLITS:
        labels = dataset.labels(split)
        assert labels.dtype == np.int64
        for example, label in zip(dataset.splits[split], labels, strict=True):
            assert (root / example.file).is_file() and example.checked.short == 8
            assert dataset.classes[label] == Path(example.file).parts[0]
    assert sorted(sum((files(dataset, split) for split in SPLITS), [])) == sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.png")
    )
    assert dataset.quarantined == [] and dataset.warnings == []


def test_given_splits_are_kept(tmp_path, loaded):
    root = tmp_path / "root"
    for i, (split, count) in enumerate({"train": 8, "validation": 3, "test": 2}.items()):
        fill(root / split, {"a": count, "b": count}, start=10_000 * i)
    dataset = loaded(root)
    for split, folder, count in [
        ("train", "train", 16),
        ("val", "validation", 6),
        ("test", "test", 4),
    ]:
        assert len(files(dataset, split)) == count
        assert all(file.startswith(f"{folder}/") for file in files(dataset, split))


def test_every_bad_file_is_quarantined_with_its_reason(root, loaded):
    (root / "ants" / "cut.png").write_bytes(png(1)[:-20])
    (root / "ants" / "empty.png").write_bytes(b"")
    (root / "bees" / "text.png").write_text("no image")
    dataset = loaded(root)
    found = reasons(dataset)
    assert list(found) == ["ants/cut.png", "ants/empty.png", "bees/text.png"]
    assert found["ants/cut.png"].startswith("truncated or damaged: ")
    assert found["ants/empty.png"] == "empty file"
    assert found["bees/text.png"].startswith("not an image")
    assert sum(len(dataset.splits[split]) for split in SPLITS) == 40


def test_bad_files_do_not_change_the_splits(root, loaded):
    before = loaded(root)
    (root / "ants" / "empty.png").write_bytes(b"")
    after = loaded(root)
    assert after.splits == before.splits and after.fingerprint == before.fingerprint


def test_too_many_bad_files_are_refused(root, loaded):
    for i in range(5):
        (root / "ants" / f"bad{i}.png").write_bytes(b"")
    message = (
        r"data.max_bad_share: 5 of 45 files cannot be used, more than the share 0.1; "
        r"5 files are left out \('ants/bad0.png', .* and 2 more\): empty file; repair or remove "
        r"these files, or raise data.max_bad_share"
    )
    with pytest.raises(ValueError, match=message):
        loaded(root)
    assert len(loaded(root, max_bad_share=0.2).quarantined) == 5


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_exactly_the_allowed_share_of_bad_files_is_accepted(tmp_path, loaded):
    root = fill(tmp_path / "root", {"a": 9, "b": 9})
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "a" / "link.png").symlink_to("nothing")  # It is not listed, but it counts.
    assert len(loaded(root, max_bad_share=0.1).quarantined) == 2


def test_no_readable_image_is_refused(tmp_path, loaded):
    root = tmp_path / "root"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "x.png").write_text("no image")
    message = r"no readable image; 2 files are left out \('a/x.png', 'b/x.png'\): not an image"
    with pytest.raises(ValueError, match=message):
        loaded(root)


def test_one_class_is_refused(tmp_path, loaded):
    with pytest.raises(ValueError, match="has one class, 'a'; expected at least two classes"):
        loaded(fill(tmp_path / "root", {"a": 5}))


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_that_is_too_small_is_refused(tmp_path, loaded, count):
    root = fill(tmp_path / "root", {"a": 5, "b": count})
    message = (
        f"class 'b' has {count} readable images?, but none in .*needs at least three.*add examples"
    )
    with pytest.raises(ValueError, match=message):
        loaded(root)


def test_the_first_of_many_classes_that_are_too_small_is_named(tmp_path, loaded):
    message = "class 'a' has 1 readable image, but none in train; .*; 2 other classes have the same"
    with pytest.raises(ValueError, match=message):
        loaded(fill(tmp_path / "root", {"a": 1, "b": 1, "c": 1}))


def test_a_class_whose_files_are_all_bad_is_refused(tmp_path, loaded):
    root = fill(tmp_path / "root", {"a": 50})
    (root / "b").mkdir()
    (root / "b" / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="class 'b' has no readable image; "):
        loaded(root)


def test_a_class_that_val_lacks_is_refused(tmp_path, loaded):
    fill(tmp_path / "root" / "train", {"a": 5, "b": 5})
    fill(tmp_path / "root" / "val", {"a": 2}, start=10_000)
    with pytest.raises(ValueError, match="class 'b' has 5 readable images, but none in val"):
        loaded(tmp_path / "root", test=0.0)


def test_missing_and_empty_folders_are_refused(tmp_path, loaded):
    with pytest.raises(ValueError, match="data.path: .* does not exist; expected a folder"):
        loaded(tmp_path / "none")
    (tmp_path / "root" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="has no files in class folders; expected one"):
        loaded(tmp_path / "root")


def test_the_same_image_under_two_labels_is_quarantined_everywhere(root, loaded):
    for name in ("ants/x.png", "ants/y.png", "bees/z.png"):
        (root / name).write_bytes(png(99))
    dataset = loaded(root)
    reason = "the same image has the labels ants and bees"
    assert reasons(dataset) == dict.fromkeys(["ants/x.png", "ants/y.png", "bees/z.png"], reason)
    assert sum(len(dataset.splits[split]) for split in SPLITS) == 40


def test_the_same_image_in_two_splits_is_kept_only_for_evaluation(tmp_path, loaded):
    root = tmp_path / "root"
    for i, split in enumerate(("train", "val", "test")):
        fill(root / split, {"a": 5, "b": 5}, start=10_000 * i)
    (root / "train" / "a" / "x.png").write_bytes(png(10_000))  # val/a/0.png
    (root / "train" / "b" / "y.png").write_bytes(png(21_001))  # test/b/1.png
    (root / "val" / "b" / "z.png").write_bytes(png(21_001))
    dataset = loaded(root)
    assert [len(dataset.splits[split]) for split in SPLITS] == [10, 10, 10]
    assert dataset.quarantined == []
    assert dataset.warnings == [
        "1 file left out of train, because the same content is in val: 'train/a/x.png'",
        "1 file left out of train, because the same content is in test: 'train/b/y.png'",
        "1 file left out of val, because the same content is in test: 'val/b/z.png'",
    ]


def test_copies_are_carved_into_one_split(root, loaded):
    for i in range(10):
        (root / "ants" / f"copy{i}.png").write_bytes((root / "ants" / f"{i}.png").read_bytes())
    dataset = loaded(root)
    digests = [{example.digest for example in dataset.splits[split]} for split in SPLITS]
    assert not (digests[0] & digests[1] or digests[0] & digests[2] or digests[1] & digests[2])


def table(root, rows, header="path,label,split,group"):
    (root / "data.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


def test_csv_groups_stay_together(root, loaded):
    rows = [f"{k}/{i}.png,{k},,{k}{i // 2}" for k in ("ants", "bees") for i in range(20)]
    dataset = loaded(table(root, rows))
    placed = {}
    for split in SPLITS:
        for file in files(dataset, split):
            placed.setdefault((file[:4], int(Path(file).stem) // 2), set()).add(split)
    assert len(placed) == 20 and all(len(splits) == 1 for splits in placed.values())


def test_a_group_that_spans_given_splits_is_refused(root, loaded):
    rows = ["ants/0.png,ants,train,ann", "ants/1.png,ants,test,ann", "bees/0.png,bees,train,bob"]
    with pytest.raises(ValueError, match="group 'ann' is in test and train, .*'split' or 'group'"):
        loaded(table(root, rows))


def test_a_row_in_two_splits_is_kept_only_for_evaluation(root, loaded):
    rows = [
        f"{k}/{i}.png,{k},{s}," for k in ("ants", "bees") for i, s in enumerate(["train", "val"])
    ]
    rows += ["ants/2.png,ants,test,", "ants/2.png,ants,train,"]
    dataset = loaded(table(root, rows))
    assert files(dataset, "test") == ["ants/2.png"]
    assert files(dataset, "train") == ["ants/0.png", "bees/0.png"]
    assert dataset.warnings == [
        "1 file left out of train, because the same content is in test: 'ants/2.png'",
        "test has no image of 'bees', so test scores do not cover them",
    ]


def test_bad_rows_are_quarantined_and_the_others_are_used(root, loaded):
    rows = [f"{k}/{i}.png,{k},," for k in ("ants", "bees") for i in range(20)]
    dataset = loaded(table(root, [*rows, "../x.png,ants,,", "none.png,bees,,"]))
    assert reasons(dataset) == {
        "../x.png": "a path outside of the table's folder; move the table to a folder above its "
        "images",
        "none.png": "does not exist",
    }


def test_csv_and_folder_give_the_same_data_set(root, loaded, tmp_path):
    by_folder = loaded(root)
    rows = [f"{k}/{i}.png,{k}" for k in ("bees", "ants") for i in range(20)]
    by_table = loaded(table(root, rows, "path,label"))
    assert by_table.fingerprint == by_folder.fingerprint and by_table.splits == by_folder.splits


def test_fingerprint_depends_on_contents_labels_and_splits(root, loaded, tmp_path):
    fingerprint = loaded(root).fingerprint
    assert loaded(root).fingerprint == fingerprint
    (root / "ants" / "0.png").rename(root / "ants" / "renamed.png")
    assert loaded(root).fingerprint == fingerprint
    moved = tmp_path / "moved"
    root.rename(moved)
    assert loaded(moved).fingerprint == fingerprint
    assert loaded(moved, split_seed=1).fingerprint != fingerprint
    (moved / "ants" / "1.png").write_bytes(png(77))
    changed = loaded(moved).fingerprint
    assert changed != fingerprint
    (moved / "ants").rename(moved / "wasps")
    assert loaded(moved).fingerprint != changed


def test_a_second_load_opens_no_file(root, loaded, monkeypatch):
    first = loaded(root)

    def fail(path, settings):
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(check_files, "check", fail)
    assert loaded(root).splits == first.splits


def scene(seed):
    """A smooth picture that differs from all others."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC)


@pytest.fixture
def twins(root):
    """Adds a JPEG of another size for each of ten pictures, every second one mirrored."""
    for i in range(20):
        scene(i).save(root / "ants" / f"{i}.png")
    for i in range(10):
        copy = ImageOps.mirror(scene(i)) if i % 2 else scene(i)
        copy.resize((60, 50)).save(root / "ants" / f"{i}.jpg", quality=60)
    return root


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_stay_in_one_split(twins, loaded, seed):
    dataset = loaded(twins, split_seed=seed)
    places = {file: split for split in SPLITS for file in files(dataset, split)}
    for i in range(10):
        assert places[f"ants/{i}.jpg"] == places[f"ants/{i}.png"]
    assert dataset.notes == ["20 near-duplicates are kept in the same split or fold"]
    assert dataset.warnings == []
    assert len(set(places.values())) == 3


def test_given_splits_keep_their_near_duplicates(twins, loaded):
    for split in SPLITS:
        (twins / split).mkdir()
        for name in ("ants", "bees"):
            (twins / split / name).mkdir()
    for file in sorted(twins.glob("[ab]*/*.*")):
        split = "test" if "2" < file.stem < "5" else "val" if file.stem < "2" else "train"
        file.rename(twins / split / file.parent.name / file.name)
    for name in ("ants", "bees"):
        (twins / name).rmdir()
    assert loaded(twins).warnings == []


def test_a_class_of_similar_images_is_still_split(root, loaded):
    for i in range(20):
        frame = np.asarray(scene(0)).astype(int) + i
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(root / "ants" / f"{i}.png")
    dataset = loaded(root)
    assert [len(dataset.splits[split]) for split in SPLITS] == [28, 6, 6]
    (warning,) = dataset.warnings
    assert warning.startswith("20 pictures, such as 'ants/0.png', look nearly equal and may lie in")


def test_pairs_that_are_half_of_their_class_are_separated(tmp_path, loaded):
    root = fill(tmp_path / "root", {"bees": 20})
    (root / "ants").mkdir()
    for i in range(2):
        scene(i).save(root / "ants" / f"{i}.png")
        scene(i).resize((60, 50)).save(root / "ants" / f"{i}.jpg")
    dataset = loaded(root)
    assert [(dataset.labels(split) == 0).sum() for split in SPLITS] == [2, 1, 1]
    assert dataset.warnings == [
        "4 pictures in 2 sets, such as 'ants/0.jpg', look nearly equal and may lie in different "
        "splits; to keep them together, list the files in a CSV with a column 'group'"
    ]


def test_images_that_are_almost_black_are_named(tmp_path, loaded):
    root = fill(tmp_path / "root", {"ants": 10, "bees": 10})
    for i in range(4):
        twelve_bits = np.random.default_rng(i).integers(0, 4096, (40, 40), np.uint16)
        Image.fromarray(twelve_bits).save(root / "ants" / f"scan{i}.png")
    (warning,) = [line for line in loaded(root).warnings if "black" in line]
    assert warning.startswith("almost black: 4 images with no value above 15 of 255: 'ants/scan0")
    assert "12-bit pictures stored as 16 bits" in warning
    assert loaded(root).warnings == loaded(root).warnings  # Also from the cache.


def test_rows_without_a_label_do_not_count_as_bad(root, loaded):
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.png"))]
    rows = [f"{n},{'nan' if i % 2 else n.split('/')[0]},," for i, n in enumerate(names)]
    dataset = loaded(table(root, rows))
    assert sum(len(dataset.splits[split]) for split in SPLITS) == 20
    assert len(dataset.quarantined) == 20


def test_a_class_missing_in_a_split_is_explained(root, loaded):
    (root / "results").mkdir()
    (root / "results" / "report.html").write_text("<!DOCTYPE html><html></html>")
    message = "'results' has no readable .* 'results/report.html' is left out: a web page"
    with pytest.raises(ValueError, match=message):
        loaded(root)


def test_a_class_spelled_differently_in_two_splits_is_explained(tmp_path, loaded):
    root = tmp_path / "root"
    fill(root / "train", {"Ants": 5, "bees": 5})
    fill(root / "val", {"ants": 5, "bees": 5}, 100)
    with pytest.raises(ValueError, match="'ants' .* none in train; 'Ants' is nearly the same"):
        loaded(root)


def test_reasons_that_differ_only_in_numbers_share_a_line():
    entries = [Quarantined(f"{i}.png", f"{i} x {i} px is too large") for i in range(5)]
    entries.append(Quarantined("x.png", "empty file"))
    assert left_out(entries) == [
        "5 files are left out ('0.png', '1.png', '2.png' and 2 more): 0 x 0 px is too large, or "
        "similar",
        "'x.png' is left out: empty file",
    ]


def test_thumbnails_are_cached(twins, loaded, monkeypatch):
    first = loaded(twins)

    def fail(path):
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(copies, "read_thumbnail", fail)
    assert loaded(twins).splits == first.splits


def test_no_test_split_is_carved_if_none_is_wanted(root, loaded):
    dataset = loaded(root, test=0.0)
    assert [len(dataset.splits[split]) for split in SPLITS] == [34, 6, 0]
    assert dataset.labels("test").shape == (0,)


def test_digits_are_split_by_the_same_rules():
    data = {"source": "digits", "val": 0.2, "test": 0.3, "examples_per_class": 20}
    dataset = load(from_tree({"data": data}))
    assert dataset.root is None and len(dataset.classes) == 10
    for label in range(10):
        counts = [(dataset.labels(split) == label).sum() for split in SPLITS]
        assert counts[:2] == [16, 4] and 50 <= counts[2] <= 56
    assert len({e.index for split in SPLITS for e in dataset.splits[split]}) == sum(
        len(dataset.splits[split]) for split in SPLITS
    )


def test_real_folders(real_data, tmp_path):
    cache = {"path": str(tmp_path)}
    ants = load(from_tree({"data": {"path": str(real_data / "ants_bees")}, "cache": cache}))
    assert ants.classes == ("ants", "bees") and len(ants.quarantined) <= 1
    busi = load(from_tree({"data": {"path": str(real_data / "busi")}, "cache": cache}))
    # A known fault of this set: an image of a lesion has both labels.
    assert any("has the labels" in entry.reason for entry in busi.quarantined)


def test_glyphs_of_train_are_not_in_val_or_test(monkeypatch):
    # Replaces glyphs, which take seconds to trace: an image is a function of seed and number.
    def draw(seed, count, size):
        images = np.zeros((count, 32, 32, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = seed, np.arange(count)
        return (images if size else None), np.arange(count) % 3

    monkeypatch.setattr(drawn_sources, "_draw", draw)
    data = {"source": "glyphs", "val": 0.002, "test": 0.001, "num_examples": 200}
    tree = {"data": data, "image": {"size": 32, "augment": []}}
    held_out, drawn, fingerprints = set(), set(), set()
    for seed in range(5):
        dataset = load(from_tree({**tree, "data": {**data, "split_seed": seed}}))
        assert [len(dataset.splits[split]) for split in SPLITS] == [200, 20, 10]
        indices = [e.index for split in ("val", "test") for e in dataset.splits[split]]
        assert indices == list(range(30))
        np.testing.assert_array_equal(dataset.labels("train"), np.arange(200) % 3)
        held_out |= {int(image[0, 0, 0]) for image in dataset.raw}
        drawn.add(dataset.draw.args[0])
        fingerprints.add(dataset.fingerprint)
    # Nor does train of any seed contain val or test images of another seed.
    assert not held_out & drawn
    assert len(held_out) == len(drawn) == len(fingerprints) == 5
