"""Claims on data/sources: common layouts and leftovers are understood, reported, or refused."""

import os

import pytest

from tl_keras.config.whole import RunConfig
from tl_keras.data.sources import folders, layout, tables
from tl_keras.run import marks

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names or links")


def files_in(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def folder(root, *names):
    return folders.list_folder(RunConfig(data={"path": str(files_in(root, *names))}))


def listed(listing):
    return {(entry.file, entry.label, entry.split) for entry in listing.files}


def splits(listing):
    return {(entry.label, entry.split) for entry in listing.files}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train", "Training", "train2017", "TrainingSet", "trn")),
        *((name, "train") for name in ("training_set", "TRAIN_IMAGES", "01_train", "trainset")),
        *((name, "val") for name in ("val", "valid", "Validation Set", "dev", "val-data")),
        *((name, "test") for name in ("test", "Test Images", "testset", "test2017", "holdout")),
        *((name, "") for name in ("cats", "testament", "validity", "trainer", "data", "images")),
        *((name, "") for name in ("seg_train", "train_val", "train_old", "Bär", "2017", "")),
    ],
)
def test_names_of_splits(name, split):
    assert layout.split_of(name) == split


# Splits above the classes.


@pytest.mark.parametrize(
    ("train", "test"),
    [("training_set", "test_set"), ("Train2017", "Val2017"), ("train data", "holdout")],
)
def test_other_names_of_splits_are_understood(tmp_path, train, test):
    names = [f"{split}/{name}/1.png" for split in (train, test) for name in ("cats", "dogs")]
    second = layout.split_of(test)
    assert splits(folder(tmp_path, *names)) == {
        (name, split) for name in ("cats", "dogs") for split in ("train", second)
    }


def test_folders_that_are_used_as_splits_are_named(tmp_path):
    names = [f"{split}/{name}/1.png" for split in ("train", "train2", "dev") for name in "ab"]
    listing = folder(tmp_path, *names)
    assert listing.warnings == [
        "splits: train is 'train', 'train2', val is 'dev', test is carved from train"
    ]


def test_two_folders_of_val_or_test_are_refused(tmp_path):
    # Some people call the validation split `eval`, others the test split.
    names = [f"{split}/{name}/1.png" for split in ("train", "dev", "eval") for name in "ab"]
    with pytest.raises(ValueError, match="'dev', 'eval' would all become val; expected one folder"):
        folder(tmp_path, *names)


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("train_old", "test_old")])
def test_class_names_that_may_be_splits_are_refused(tmp_path, names):
    files = [f"{name}/{label}/1.png" for name in names for label in ("cats", "dogs")]
    with pytest.raises(ValueError, match="named after splits and contain 'cats', 'dogs'; expected"):
        folder(tmp_path, *files)


def test_splits_with_a_nested_folder_of_their_name_are_refused(tmp_path):
    files = [f"seg_{s}/seg_{s}/{label}/1.png" for s in ("train", "test") for label in "ab"]
    with pytest.raises(ValueError, match="named after splits"):
        folder(tmp_path, *files)


def test_one_folder_around_all_classes_is_refused_and_named(tmp_path):
    with pytest.raises(ValueError, match=r"did you mean data\.path '.*photos/all'"):
        folder(tmp_path / "photos", "all/ants/1.png", "all/bees/1.png")


def test_folders_without_pictures_beside_splits_are_named(tmp_path):
    files = ("train/a/1.png", "train/b/1.png", "empty/.keep", "docs/read me.txt")
    listing = folder(tmp_path, *files)
    assert splits(listing) == {("a", "train"), ("b", "train")}
    assert listing.warnings == ["the folder 'docs' has no pictures and is not used"]


@pytest.mark.parametrize("wrappers", [("images", "images"), ("train", "test"), ("images", "")])
def test_one_folder_between_a_split_and_its_classes_is_skipped(tmp_path, wrappers):
    places = [f"{split}/{own}" for split, own in zip(("train", "test"), wrappers, strict=True)]
    listing = folder(tmp_path, *(f"{place}/{name}/1.png" for place in places for name in "ab"))
    assert splits(listing) == {(name, split) for name in "ab" for split in ("train", "test")}
    assert f"the classes are the folders in train/{wrappers[0]}/: 'a', 'b'" in listing.warnings


def test_folders_of_runs_and_logs_are_not_classes(tmp_path):
    files_in(tmp_path, "a/1.png", "b/1.png", "runs/x/1.jpg", "runs/out.csv", "runs/log.txt")
    marks.put(tmp_path / "runs" / "x", "run")
    assert {label for label, _ in splits(folder(tmp_path))} == {"a", "b"}


@pytest.mark.parametrize("name", ["unlabeled", "Unlabelled_images"])
def test_a_folder_named_unlabelled_is_not_a_class(tmp_path, name):
    with pytest.raises(ValueError, match=f"'{name}' would become a class; .*set data.unlabelled"):
        folder(tmp_path, f"{name}/1.png", "labeled/1.png")


def test_one_folder_name_below_all_classes_gives_a_warning(tmp_path):
    listing = folder(tmp_path, "fold1/cat/1.png", "fold2/cat/1.png")
    assert "several of them contain 'cat'" in listing.warnings[0]


# Splits below the classes.


def test_splits_below_the_classes_are_understood(tmp_path):
    names = [f"{label}/{s}/{i}.png" for label in "ab" for s in ("train", "test") for i in "12"]
    assert listed(folder(tmp_path, *names)) == {
        (name, name[0], name.split("/")[1]) for name in names
    }


def test_loose_files_do_not_hide_splits_below_the_classes(tmp_path):
    names = [f"{label}/{s}/1.png" for label in "ab" for s in ("train", "test")]
    listing = folder(tmp_path, *names, "b/readme.txt")
    assert splits(listing) == {(label, s) for label in "ab" for s in ("train", "test")}
    assert listing.warnings == ["'readme.txt' of b/ is not in a class folder and is not used"]


def test_splits_below_only_some_classes_are_refused(tmp_path):
    names = ("a/train/1.png", "a/test/1.png", "b/1.png", "b/2.png")
    with pytest.raises(
        ValueError, match="'a' has the split folders 'test', 'train', but 'b' has none; expected"
    ):
        folder(tmp_path, *names)


@posix
def test_a_split_that_cannot_be_read_is_not_missing(tmp_path, monkeypatch):
    files_in(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("test"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="test' cannot be read: Permission denied"):
        folder(tmp_path)


def test_a_cache_beside_one_folder_around_all_classes_does_not_hide_it(tmp_path):
    files_in(tmp_path, "all/ants/1.png", "all/bees/1.png", "runs/photos/x.jpg")
    marks.put(tmp_path / "runs" / "photos", "run")
    with pytest.raises(
        ValueError, match="has only the folder 'all', which contains the folders 'ants', 'bees'"
    ):
        folder(tmp_path)


def test_run_folders_are_not_data(tmp_path):
    marks.put(tmp_path, "run")
    with pytest.raises(ValueError, match="is a run folder or cache of tl_keras; expected one"):
        folder(tmp_path, "export/1.png", "pictures/1.png")


def test_repeated_folder_names_below_the_classes_give_a_warning(tmp_path):
    names = [f"{year}/{label}/1.png" for year in ("2023", "2024") for label in ("cats", "dogs")]
    listing = folder(tmp_path, *names)
    assert {label for label, _ in splits(listing)} == {"2023", "2024"}
    (warning,) = listing.warnings
    assert "the folders '2023', '2024' are taken as the classes, but several" in warning
    assert "if 'cats', 'dogs' are the classes, merge the folders of the same name" in warning


# Leftovers of other programs.


def test_runs_and_caches_are_ignored(tmp_path):
    files_in(tmp_path, "a/1.png", "b/1.png", "runs/photos/pictures/1.jpg", "b/run/x.png")
    files_in(tmp_path, "cache/arrays/k.npy")
    marks.put(tmp_path / "runs" / "photos", "run")
    marks.put(tmp_path / "b" / "run", "run")
    marks.put(tmp_path / "cache" / "arrays", "cache")
    listing = folder(tmp_path)
    assert listed(listing) == {("a/1.png", "a", ""), ("b/1.png", "b", "")}
    assert listing.warnings == [] and listing.quarantined == []


def test_a_mark_inside_a_folder_hides_only_that_folder(tmp_path):
    files_in(tmp_path, "a/1.png", "runs/photos/1.jpg", "runs/notes.png")
    marks.put(tmp_path / "runs" / "photos", "run")
    assert {label for label, _ in splits(folder(tmp_path))} == {"a", "runs"}


LEFTOVERS = (
    *("@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/2.png", "@Recycle/3.png", "1.png~"),
    *("$RECYCLE.BIN/4.png", "System Volume Information/5.png", "lost+found/6.png", "Thumbs.db"),
    *("__pycache__/x.pyc", "wandb/media/7.png", "mlruns/0/8.png", ".ipynb_checkpoints/9.png"),
    *(".Trash-1000/1.png", "._1.png", ".dropbox.cache/1.png", "node_modules/x/1.png"),
)


@posix
@pytest.mark.parametrize("where", ["", "a/"])
def test_leftovers_of_other_programs_are_ignored(tmp_path, where):
    listing = folder(tmp_path, "a/1.png", "b/1.png", *(f"{where}{name}" for name in LEFTOVERS))
    assert listed(listing) == {("a/1.png", "a", ""), ("b/1.png", "b", "")}
    assert listing.warnings == [] and listing.quarantined == []


def test_pictures_that_are_only_in_icloud_are_quarantined(tmp_path):
    listing = folder(tmp_path, "a/1.png", "a/.IMG_2.HEIC.icloud", "b/1.png")
    assert [(e.file, e.reason) for e in listing.quarantined] == [
        ("a/.IMG_2.HEIC.icloud", "the file is in iCloud and not on this machine; download it")
    ]


def test_class_folders_without_files_give_a_warning(tmp_path):
    (tmp_path / "wasps" / "deep").mkdir(parents=True)
    listing = folder(tmp_path, "a/1.png", "b/1.png", "c/.hidden")
    assert listing.warnings == ["class folders without usable files: 'c', 'wasps'"]


def test_many_files_outside_of_class_folders_give_one_warning(tmp_path):
    names = [f"test/{i:03d}.png" for i in range(300)]
    listing = folder(tmp_path, "train/a/1.png", "train/b/1.png", *names)
    assert listing.warnings == [
        "300 files of test/ are not in a class folder and are not used: '000.png', '001.png', "
        "'002.png' and 297 more"
    ]


def test_archives_beside_class_folders_give_a_warning(tmp_path):
    listing = folder(tmp_path, "a/1.png", "b/1.png", "more.tar.gz")
    assert listing.warnings == [
        "'more.tar.gz' is not in a class folder and is not used; unpack archives to use them"
    ]
    with pytest.raises(ValueError, match=r"has no class folders; .*; unpack 'photos\.zip' first"):
        folder(tmp_path / "packed", "photos.zip")


@pytest.mark.parametrize("names", [("1.png", "2.png"), ("images/1.png", "images/2.png")])
def test_a_csv_beside_the_pictures_is_suggested(tmp_path, names):
    with pytest.raises(
        ValueError, match="if 'labels.csv' lists the labels, set data.path to this file"
    ):
        folder(tmp_path, *names, "labels.csv")


@posix
def test_a_loop_of_links_is_not_a_class(tmp_path):
    files_in(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert len(folder(tmp_path).files) == 2


# CSV files.


def table(root, text):
    (root / "data.csv").write_text(text, encoding="utf-8")
    return tables.list_table(RunConfig(data={"source": "csv", "path": str(root / "data.csv")}))


def test_missing_labels_are_quarantined_and_missing_groups_ignored(tmp_path):
    files_in(tmp_path, *(f"{i}.png" for i in range(4)))
    listing = table(
        tmp_path,
        "path,label,split,group\n0.png,cat,nan,nan\n1.png,nan,,NaN\n2.png,,,\n3.png,dog,,ann\n",
    )
    assert [(e.file, e.label, e.split, e.group) for e in listing.files] == [
        ("0.png", "cat", "", ""),
        ("3.png", "dog", "", "ann"),
    ]
    assert [entry.reason for entry in listing.quarantined] == [
        "no label: 'nan' means a missing label",
        "no label",
    ]
    assert not any(entry.is_bad for entry in listing.quarantined)


@pytest.mark.parametrize("mark", [";", "\t"], ids=["semicolon", "tab"])
def test_another_separator_of_columns_is_named(tmp_path, mark):
    with pytest.raises(ValueError, match="separate columns by commas instead of"):
        table(tmp_path, f"path{mark}label\n0.png{mark}cat\n")


def test_two_names_for_a_split_in_a_csv_are_refused(tmp_path):
    files_in(tmp_path, "0.png", "1.png", "2.png")
    text = "path,label,split\n0.png,cat,train\n1.png,cat,{}\n2.png,dog,{}\n"
    with pytest.raises(ValueError, match="the splits 'dev', 'eval' would all become val; expected"):
        table(tmp_path, text.format("dev", "eval"))
    assert [e.split for e in table(tmp_path, text.format("valid", "Val")).files][1:] == ["val"] * 2


def test_labels_that_may_mean_missing_give_a_warning(tmp_path):
    files_in(tmp_path, "0.png", "1.png", "2.png")
    listing = table(tmp_path, "path,label\n0.png,NA\n1.png,NA\n2.png,ok\n")
    assert {entry.label for entry in listing.files} == {"NA", "ok"}
    assert listing.warnings == [
        "the label 'NA' is used as a class, in 2 rows; if it means a missing label, remove "
        "these rows"
    ]


@pytest.mark.parametrize(
    ("column", "values"),
    [("subset", ("train", "test")), ("Set", ("Training", "Validation")), ("x", ("train", "val"))],
)
def test_a_column_of_splits_under_another_name_is_refused(tmp_path, column, values):
    files_in(tmp_path, "0.png", "1.png")
    with pytest.raises(
        ValueError, match=f"the column '{column.lower()}' has names of splits .*rename"
    ):
        table(tmp_path, f"path,label,{column}\n0.png,cat,{values[0]}\n1.png,dog,{values[1]}\n")
    split = f"path,label,split,{column}\n0.png,cat,train,{values[0]}\n1.png,dog,val,{values[1]}\n"
    assert len(table(tmp_path, split).files) == 2


def test_columns_that_may_be_groups_or_splits_give_a_warning(tmp_path):
    files_in(tmp_path, "0.png", "1.png")
    listing = table(
        tmp_path, "path,label,patient_id,is_valid,id,age\n0.png,cat,7,0,a,3\n1.png,dog,7,1,b,3\n"
    )
    assert listing.warnings == [
        "the column 'patient_id' is not used; if rows with the same value must stay in one split, "
        "rename the column to 'group'",
        "the column 'is_valid' is not used; if it says which rows are train, val or test, rename "
        "the column to 'split' and its values to 'train', 'val' and 'test'",
    ]


@pytest.mark.parametrize(
    "labels",
    [("['cat', 'dog']", "['dog']"), ("[1 0]", "[0 1]"), ("cat+dog", "cat", "dog")],
    ids=str,
)
def test_lists_of_labels_count_as_several_labels(tmp_path, labels):
    files_in(tmp_path, "0.png", "1.png", "2.png")
    rows = "".join(f'{i}.png,"{label}"\n' for i, label in enumerate(labels))
    with pytest.raises(ValueError, match="looks like several labels"):
        table(tmp_path, f"path,label\n{rows}")


@pytest.mark.parametrize("label", ["R&B", "C++", "A/B", "salt & pepper"])
def test_class_names_may_contain_separators(tmp_path, label):
    files_in(tmp_path, "0.png", "1.png")
    assert len(table(tmp_path, f"path,label\n0.png,{label}\n1.png,other\n").files) == 2


def test_an_unclosed_quote_is_refused(tmp_path):
    files_in(tmp_path, "a/1.png", "a/2.png")
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8: row 2 has an opening quote"):
        table(tmp_path, 'path,label\na/1.png,"a\na/2.png,b\n')


JOINED = 'path,label\n0.png,"Apple, healthy"\n1.png,"Grape, healthy"\n'


def test_labels_with_commas_need_literal_labels(tmp_path):
    files_in(tmp_path, "0.png", "1.png")
    with pytest.raises(ValueError, match=r"several labels; .* set data\.literal_labels to true"):
        table(tmp_path, JOINED)
    path = str(tmp_path / "data.csv")
    listing = tables.list_table(
        RunConfig(data={"source": "csv", "path": path, "literal_labels": True})
    )
    assert [entry.label for entry in listing.files] == ["Apple, healthy", "Grape, healthy"]
    (tmp_path / "data.csv").write_text("path,label\n0.png,0.5\n1.png,1\n")
    listing = tables.list_table(
        RunConfig(data={"source": "csv", "path": path, "literal_labels": True})
    )
    assert [entry.label for entry in listing.files] == ["0.5", "1"]


@posix
@pytest.mark.parametrize("beside", ["link", "file"])
def test_paths_in_a_linked_csv_are_relative_to_the_folder_of_its_images(tmp_path, beside):
    (tmp_path / "link").mkdir()
    files_in(tmp_path / beside, "0.png", "1.png")
    (tmp_path / "file").mkdir(exist_ok=True)
    (tmp_path / "file" / "data.csv").write_text("path,label\n0.png,cat\n1.png,dog\n")
    (tmp_path / "link" / "data.csv").symlink_to(tmp_path / "file" / "data.csv")
    path = str(tmp_path / "link" / "data.csv")
    assert len(tables.list_table(RunConfig(data={"source": "csv", "path": path})).files) == 2
