import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Listing
from tl_keras.data.sources import folders, tables

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names or links")
STRANGE = (
    "two words.png",
    'it\'s "quoted".png',
    "<script>alert(1)<",
    "line\nbreak.png",
    "Bär 熊 🐻.png",
    "a,b;c|d.png",
    "100%[x]*?.png",
    "-rf.png",
)


def files_in(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def folder(root):
    return folders.list_folder(RunConfig(data={"path": str(root)}))


def table(root, text, encoding="utf-8", name="data.csv"):
    (root / name).write_bytes(text.encode(encoding))
    return tables.list_table(RunConfig(data={"source": "csv", "path": str(root / name)}))


def listed(listing):
    return [(entry.file, entry.label, entry.split) for entry in listing.files]


def reasons(listing):
    return {entry.file: entry.reason for entry in listing.quarantined}


# Folders.


def test_one_folder_per_class(tmp_path):
    files_in(tmp_path, "bees/2.png", "bees/1.png", "ants/deep/er/3.JPG")
    assert listed(folder(tmp_path)) == [
        ("ants/deep/er/3.JPG", "ants", ""),
        ("bees/1.png", "bees", ""),
        ("bees/2.png", "bees", ""),
    ]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Validation"])
def test_split_folders(tmp_path, val):
    files_in(tmp_path, "train/a/1.png", f"{val}/a/2.png", "test/b/3.png", "Train2.txt")
    listing = folder(tmp_path)
    assert sorted(listed(listing)) == sorted(
        [
            ("train/a/1.png", "a", "train"),
            (f"{val}/a/2.png", "a", "val"),
            ("test/b/3.png", "b", "test"),
        ]
    )
    assert listing.warnings == ["'Train2.txt' is not in a class folder and is not used"]


def test_a_single_train_folder_is_a_split(tmp_path):
    files_in(tmp_path, "train/a/1.png", "train/b/2.png")
    assert [split for _, _, split in listed(folder(tmp_path))] == ["train", "train"]


def test_a_class_called_train(tmp_path):
    files_in(tmp_path, "train/1.png", "bus/2.png", "test/3.png")
    assert {(label, split) for _, label, split in listed(folder(tmp_path))} == {
        ("bus", ""),
        ("test", ""),
        ("train", ""),
    }


def test_splits_without_train_are_refused(tmp_path):
    files_in(tmp_path, "test/1.png", "val/2.png")
    with pytest.raises(ValueError, match="named after splits; expected .*; add train/"):
        folder(tmp_path)


@pytest.mark.parametrize("others", [(), ("val/a/2.png",)])
def test_stray_folder_beside_train_is_refused(tmp_path, others):
    # Otherwise `notes` would be a class and all of train/ another one.
    files_in(tmp_path, "train/a/1.png", "train/b/1.png", "notes/3.png", *others)
    with pytest.raises(
        ValueError, match="has 'notes' beside train/.*move or rename 'notes', and set data.unlab"
    ):
        folder(tmp_path)


def test_hidden_files_and_leftovers_are_ignored(tmp_path):
    files_in(tmp_path, "a/1.png", "b/.DS_Store", "b/Thumbs.db", "b/.x/1.png", "__MACOSX/a/1.png")
    files_in(tmp_path, ".git/x", "b/2.png")
    listing = folder(tmp_path)
    assert [file for file, _, _ in listed(listing)] == ["a/1.png", "b/2.png"]
    assert listing.warnings == [] and listing.quarantined == []


def test_a_folder_with_the_name_of_an_image_is_searched(tmp_path):
    files_in(tmp_path, "a/x.jpg/1.png", "b/1.png")
    assert listed(folder(tmp_path))[0] == ("a/x.jpg/1.png", "a", "")


def test_missing_path_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="data.path: '.*none' does not exist; expected a folder"):
        folder(tmp_path / "none")
    files_in(tmp_path, "file")
    with pytest.raises(
        ValueError, match="file' is not a folder; expected a folder of class folders"
    ):
        folder(tmp_path / "file")


@pytest.mark.parametrize("names", [(), ("a.png", "b.png")])
def test_no_class_folders_says_what_to_do(tmp_path, names):
    files_in(tmp_path, *names)
    with pytest.raises(ValueError, match="has no class folders; expected one folder per class"):
        folder(tmp_path)


def test_images_in_split_folders_but_no_classes_says_what_to_do(tmp_path):
    files_in(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(
        ValueError, match="no files in class folders; expected one folder per class"
    ):
        folder(tmp_path)


@posix
@pytest.mark.parametrize("name", STRANGE)
def test_strange_file_names_are_listed(tmp_path, name):
    files_in(tmp_path, f"a/{name}", "b/1.png")
    assert listed(folder(tmp_path))[0] == (f"a/{name}", "a", "")


@posix
@pytest.mark.parametrize("name", STRANGE)
def test_strange_class_names_are_listed(tmp_path, name):
    files_in(tmp_path, f"{name}/1.png")
    assert listed(folder(tmp_path)) == [(f"{name}/1.png", name, "")]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
def test_names_that_are_not_utf8_are_quarantined_with_escapes(tmp_path):
    files_in(tmp_path, "a/1.png", "b/1.png")
    for name in (b"a/\xff.png", b"\xfe/1.png", b"\xfd.txt"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    os.symlink(tmp_path / "a", os.path.join(os.fsencode(tmp_path), b"link\xfc"))
    listing = folder(tmp_path)
    assert len(listing.files) == 2
    assert reasons(listing) == {
        r"a/\udcff.png": "the name is not valid UTF-8; rename the file or folder",
        r"\udcfe/1.png": "the name is not valid UTF-8; rename the file or folder",
        r"link\udcfc": "a link to a folder; links are not followed",
    }
    for text in (*reasons(listing), *listing.warnings):
        text.encode("utf-8")


@posix
def test_links(tmp_path):
    outside, root = files_in(tmp_path, "outside/1.png") / "outside", tmp_path / "root"
    files_in(root, "a/1.png", "b/1.png")
    (root / "a" / "inside.png").symlink_to(root / "b" / "1.png")
    (root / "a" / "dangling.png").symlink_to(root / "none.png")
    (root / "a" / "loop.png").symlink_to(root / "a" / "loop.png")
    (root / "a" / "leaves.png").symlink_to(outside / "1.png")
    (root / "a" / "device.png").symlink_to("/dev/zero")
    (root / "a" / "folder").symlink_to(root / "b")
    (root / "c").symlink_to(outside)
    listing = folder(root)
    assert [file for file, _, _ in listed(listing)] == ["a/1.png", "a/inside.png", "b/1.png"]
    assert reasons(listing) == {
        "a/dangling.png": "a broken link",
        "a/loop.png": "a broken link",
        "a/leaves.png": "a link to a place outside of the data folder",
        "a/device.png": "a link to a place outside of the data folder",
        "a/folder": "a link to a folder; links are not followed",
        "c": "a link to a folder; links are not followed",
    }


@posix
def test_root_may_be_a_link(tmp_path):
    files_in(tmp_path / "root", "a/1.png", "b/1.png")
    (tmp_path / "root" / "a" / "2.png").symlink_to(tmp_path / "root" / "a" / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert len(folder(tmp_path / "link").files) == 3


@posix
def test_class_folders_that_are_all_links_are_refused(tmp_path):
    files_in(tmp_path / "elsewhere", "1.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="no class folders; .*'a' is a link to a folder"):
        folder(tmp_path / "root")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folders(tmp_path):
    files_in(tmp_path, "a/1.png", "b/deep/1.png")
    (tmp_path / "b" / "deep").chmod(0)
    listing = folder(tmp_path)
    assert reasons(listing) == {"b/deep": "this folder cannot be read: Permission denied"}
    tmp_path.chmod(0)
    with pytest.raises(ValueError, match="cannot be read"):
        folder(tmp_path)
    tmp_path.chmod(0o700)
    (tmp_path / "b" / "deep").chmod(0o700)


def test_unreadable_folders_as_any_user(tmp_path, monkeypatch):
    files_in(tmp_path, "a/1.png", "b/deep/1.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert reasons(folder(tmp_path)) == {"b/deep": "this folder cannot be read: Permission denied"}


def test_files_that_cannot_be_reached_are_quarantined(tmp_path, monkeypatch):
    files_in(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    stat = os.stat

    def refuse(path, **options):
        if str(path).endswith("2.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert reasons(folder(tmp_path)) == {"a/2.png": "cannot be read: Permission denied"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, paths are bounded otherwise")
def test_paths_too_long_for_the_system_are_listed(tmp_path):
    files_in(tmp_path, "a/1.png", "b/1.png")
    long, name = 250 * "x", 250 * "y"
    with contextlib.chdir(tmp_path / "b"):
        for _ in range(17):  # More than 4096 bytes in total.
            os.mkdir(long)
            Path(name).touch()
            os.chdir(long)
    listing = folder(tmp_path)
    assert set(reasons(listing).values()) == {
        "cannot be read: File name too long",
        "this folder cannot be read: File name too long",
    }
    mentioned = [file for file, _, _ in listed(listing)] + list(reasons(listing))
    for depth in range(17):
        file = "/".join(["b", *depth * [long], name])
        assert any(f"{file}/".startswith(f"{one}/") for one in mentioned), depth


# Texts.


def texts(root):
    return folders.list_folder(RunConfig(data={"path": str(root)}, model={"backbone": "any.keras"}))


@pytest.mark.parametrize("unlabelled", ["train/unsup", "unsup"])
def test_unlabelled_texts_in_the_form_of_acl_imdb_are_not_a_class(tmp_path, unlabelled):
    folders_of_classes = [f"{split}/{label}" for split in ("train", "test") for label in "np"]
    names = [f"{place}/{i}_7.txt" for place in folders_of_classes for i in range(3)]
    files_in(tmp_path, *names, f"{unlabelled}/0_0.txt", "README", "imdb.vocab", "train/urls.txt")
    listing = texts(tmp_path)
    assert len(listing.files) == 12
    found = {f"{entry.split}/{entry.label}" for entry in listing.files}
    assert found == set(folders_of_classes)
    (warning,) = [line for line in listing.warnings if "unsup" in line]
    assert warning == (
        f"the folder '{unlabelled}' is not used, because its name says that its texts have no "
        "labels; the command parallel can use them: set data.unlabelled to this folder"
    )


def test_files_that_are_no_texts_by_their_names_are_left_out(tmp_path):
    files_in(tmp_path, "a/1.txt", "a/2.TXT", "a/3", "a/README.md", "b/1.text", "b/data.csv")
    listing = texts(tmp_path)
    assert {entry.file for entry in listing.files} == {"a/1.txt", "a/2.TXT", "a/3", "b/1.text"}
    assert reasons(listing) == {
        "a/README.md": "the suffix .md is not that of a text",
        "b/data.csv": "the suffix .csv is not that of a text",
    }
    assert not any(entry.is_bad for entry in listing.quarantined)


def test_texts_may_have_another_suffix(tmp_path):
    files_in(tmp_path, "a/1.md", "b/1.md", "b/2.html")
    config = {"data": {"path": str(tmp_path), "modality": "text"}, "model": {"backbone": "a.keras"}}
    assert len(folders.list_folder(RunConfig(**config)).files) == 3


def test_a_class_named_unlabelled_in_every_split_is_a_class(tmp_path):
    names = [f"{split}/{label}/1.png" for split in ("train", "test") for label in ("a", "unsorted")]
    assert {entry.label for entry in folder(files_in(tmp_path, *names)).files} == {"a", "unsorted"}


def test_tables_of_splits_in_a_folder_are_to_be_joined(tmp_path):
    files_in(tmp_path, "train.csv", "test.csv", "val.csv")
    message = "if 'test.csv', 'train.csv', 'val.csv' are the splits of a table, join them into one"
    with pytest.raises(ValueError, match=message):
        folder(tmp_path)


# CSV.


def test_csv_with_split_and_group(tmp_path):
    files_in(tmp_path, "x/1.png", "2.png", "3.png", "4.png")
    listing = table(
        tmp_path,
        "group,PATH,label, Split\n"
        "ann,x/1.png,cat,train\n"
        ",2.png,dog,Validation\n"
        "bob,./3.png,dog,test\n"
        "bob,x/../4.png,dog,\n",
    )
    assert [(e.file, e.label, e.split, e.group) for e in listing.files] == [
        ("x/1.png", "cat", "train", "ann"),
        ("2.png", "dog", "val", ""),
        ("3.png", "dog", "test", "bob"),
        ("4.png", "dog", "", "bob"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_csv_quotes_non_ascii_and_line_ends(tmp_path, encoding, end):
    names = ["a, b.png", "Bär.png", "it's.png"] + (
        ['q"q.png', "a\nb.png"] if os.name != "nt" else []
    )
    files_in(tmp_path, *names)
    quoted = ['"{}",Käfer'.format(name.replace('"', '""')) for name in names]
    listing = table(tmp_path, end.join(["path,label", *quoted, "", ""]), encoding)
    assert listed(listing) == [(name, "Käfer", "") for name in names]


@posix
def test_csv_paths_from_windows(tmp_path):
    files_in(tmp_path, "x/1.png", "back\\slash.png")
    listing = table(tmp_path, "path,label\nx\\1.png,cat\nback\\slash.png,dog\n")
    assert [file for file, _, _ in listed(listing)] == ["x/1.png", "back\\slash.png"]


@posix
def test_csv_paths_that_leave_the_folder_are_refused(tmp_path):
    files_in(tmp_path, "secret/1.png", "root/1.png")
    root = tmp_path / "root"
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "file.png").symlink_to(tmp_path / "secret" / "1.png")
    (root / "inside").symlink_to(root)
    away = [
        "../secret/1.png",
        f"{tmp_path}/secret/1.png",
        "x/../../secret/1.png",
    ]
    rows = [
        *away,
        "folder/1.png",
        "file.png",
        "inside/1.png",
        f"{root}/1.png",
        "none.png",
        "a\0.png",
        "..\\2.png",
        5000 * "x",
    ]
    listing = table(root, "path,label\n" + "".join(f"{row},cat\n" for row in rows))
    assert [file for file, _, _ in listed(listing)] == ["inside/1.png", "1.png"]
    leaves = "a path outside of the table's folder; move the table to a folder above its images"
    assert reasons(listing) == {
        **dict.fromkeys([*away, "../2.png"], leaves),
        "folder/1.png": "a link to a place outside of the data folder",
        "file.png": "a link to a place outside of the data folder",
        "none.png": "does not exist",
        "a\0.png": "the name contains a null byte; rename the file or folder",
        5000 * "x": "cannot be read: File name too long",
    }


@posix
def test_csv_backslashes_do_not_lead_out_of_the_folder(tmp_path):
    # A file of exactly this name exists, so the unchanged name would pass the check.
    files_in(tmp_path, "secret.png", "root/..\\secret.png")
    listing = table(tmp_path / "root", "path,label\n..\\secret.png,cat\n")
    for file, _, _ in listed(listing):
        assert (tmp_path / "root" / file).resolve().is_relative_to(tmp_path / "root")


def test_equal_csv_rows_count_once(tmp_path):
    files_in(tmp_path, "1.png")
    listing = table(tmp_path, "path,label\n1.png,cat\n./1.png,cat\n1.png,cat\n")
    assert listed(listing) == [("1.png", "cat", "")]


EXPECTED = "expected one class name per example"
LITERAL = "expected one class name for each example; if the whole text of each label is a class na"


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "path,label\n1.png,cat\n1.png,dog\n",
            f"'1.png' has several labels, cat and dog; {EXPECTED}",
        ),
        ("path,label\n1.png,cat\n./1.png,dog\n", f"several labels, cat and dog; {EXPECTED}"),
        (
            "path,label\n1.png,cat|dog\n2.png,cat\n3.png,dog|cow\n",
            f"'cat|dog' looks like .*{LITERAL}",
        ),
        (
            "path,label\n1.png,cat;dog\n2.png,cat\n3.png,cat\n",
            f"'cat;dog' looks like .*{LITERAL}",
        ),
        ('path,label\n1.png,"a, b"\n2.png,"b, c"\n', f"'a, b' looks like several.*{LITERAL}"),
        (
            "path,labels\n1.png,cat\n",
            "column 'labels', but several labels .* not supported; expected one",
        ),
        ("path,label_1,label_2\n1.png,cat,dog\n", "'label_1', but several labels .* not supported"),
        ("path,label,label2\n1.png,cat,dog\n", "'label2', but several labels .* not supported"),
        (
            "path,label_cat,label_dog\n1.png,0,1\n",
            "'label_cat', but several labels .* not supported",
        ),
        ("path,label,label\n1.png,cat,dog\n", "'label', but several labels .* not supported"),
        ("path,label\n1.png,0.5\n2.png,1\n", f"'0.5' looks like a number to predict; {LITERAL}"),
        ("path,label\n1.png,-2e-1\n", f"'-2e-1' looks like a number to predict; {LITERAL}"),
        (
            "path,label\n" + "".join(f"{i}.png,{i}\n" for i in range(30)),
            f"'0' looks like a number to predict; {LITERAL}",
        ),
    ],
)
def test_csv_of_another_task_is_refused(tmp_path, text, message):
    files_in(tmp_path, "1.png", "2.png", "3.png")
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        table(tmp_path, text)


@pytest.mark.parametrize(
    "labels",
    [
        ("0", "1", "1"),
        ("0.0", "1.0", "1.0"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark"),
        ("rock|roll", "jazz", "jazz"),
    ],
    ids=str,
)
def test_csv_class_names_that_only_look_like_another_task(tmp_path, labels):
    files_in(tmp_path, "0.png", "1.png", "2.png")
    rows = "".join(f'{i}.png,"{label}"\n' for i, label in enumerate(labels))
    assert tuple(label for _, label, _ in listed(table(tmp_path, f"path,label\n{rows}"))) == labels


def test_other_csv_columns_are_ignored(tmp_path):
    files_in(tmp_path, "1.png")
    assert table(tmp_path, "id,path,label,label_id\n7,1.png,cat,3\n").files[0].label == "cat"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no column 'path'; expected the columns path,label and .*group; received nothing"),
        ("file,label\n1.png,cat\n", "no column 'path'; expected .*; received file, label"),
        ("path;label\n1.png;cat\n", "no column 'path'; expected .*; received path;label"),
        ("path,class\n1.png,cat\n", "no column 'label'; expected"),
        ("path,label\n", "has no rows below its header"),
        ("path,label\n1.png,cat\n,dog\n", "row 3: the column 'path' is empty"),
        ("path,label\n1.png\n", "has no row with a label"),
        ("path,label\na,b.png,cat\n", "row 2 has more cells than the header; put quotes"),
        (
            "path,label,split\n1.png,cat,old\n",
            "row 2: expected 'train', 'val', .*; received 'old'",
        ),
    ],
)
def test_csv_errors_say_what_to_do(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"data.path: .*{message}"):
        table(tmp_path, text)


def test_csv_with_empty_cells_at_the_end_is_read(tmp_path):
    files_in(tmp_path, "1.png")
    assert listed(table(tmp_path, "path,label\n1.png,cat,,\n")) == [("1.png", "cat", "")]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_csv_of_another_encoding_is_refused(tmp_path, encoding):
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        table(tmp_path, "path,label\nä.png,cat\n", encoding)


def test_missing_csv_says_what_to_do(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ValueError, match="does not exist; expected a CSV file"):
            tables.list_table(RunConfig(data={"source": "csv", "path": str(path)}))


def test_a_single_class_folder_is_listed(tmp_path):
    # This is how `predict` lists a folder of unlabelled images.
    listing = Listing(files_in(tmp_path, "1.png", "deep/2.png"), [])
    folders.list_class(tmp_path, "a", "", listing)
    assert [entry.file for entry in listing.files] == ["1.png", "deep/2.png"]


def test_imports_no_tensorflow():
    code = "import sys, tl_keras.data.sources.folders; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
