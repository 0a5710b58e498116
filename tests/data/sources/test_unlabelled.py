"""Claims on data/sources/unlabelled.py: which examples a teacher gets, and which are left out."""

import shutil

import pytest
from shapes import draw

from tl_keras.config import text as configs
from tl_keras.data.load import load
from tl_keras.data.sources import unlabelled


@pytest.fixture
def folder(tmp_path):
    """18 labelled pictures, and 12 pictures without a label."""
    draw(tmp_path / "labelled", 6)
    draw(tmp_path / "others", 4, seed=1)
    return tmp_path


def read(folder, **data):
    own = {"path": str(folder / "labelled"), "unlabelled": str(folder / "others"), **data}
    cache = {"path": str(folder / "cache")}
    config = configs.from_tree({"data": own, "cache": cache})
    return unlabelled.load(config, load(config))


def test_files_of_any_layout_are_found(folder):
    (folder / "others" / "cross" / "0.png").rename(folder / "others" / "top.png")
    found = read(folder)
    assert len(found.examples) == 12 and not found.quarantined
    labels = {example.file.rpartition("/")[2]: example.label for example in found.examples}
    assert labels["top.png"] == unlabelled.UNKNOWN
    assert {e.label for e in found.examples if "disc" in e.file} == {1}


def test_labelled_images_and_copies_are_left_out(folder):
    shutil.copy(folder / "labelled" / "disc" / "2.png", folder / "others" / "again.png")
    shutil.copy(folder / "others" / "disc" / "2.png", folder / "others" / "twice.png")
    found = read(folder)
    assert len(found.examples) == 12
    assert len({example.digest for example in found.examples}) == 12
    assert found.warnings == [
        "2 files of data.unlabelled left out, because the same content is in the labelled data or "
        "occurs twice"
    ]


def test_bad_files_are_quarantined(folder):
    (folder / "others" / "bad.png").write_bytes(b"no image")
    found = read(folder)
    assert [entry.file for entry in found.quarantined] == ["bad.png"]
    assert len(found.examples) == 12


def test_a_folder_without_images_is_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"data.unlabelled: .*no readable image"):
        read(folder, unlabelled=str(folder / "empty"))


def test_rest_is_what_examples_per_class_leaves_out(folder):
    found = read(folder, unlabelled="rest", examples_per_class=3, test=0.2)
    assert len(found.examples) == 18 - 3 * 3 - 3
    with pytest.raises(ValueError, match=r"data.unlabelled: 'rest' .* leaves out none"):
        read(folder, unlabelled="rest")


def test_embedded_sources_cannot_use_a_folder(folder):
    with pytest.raises(ValueError, match=r"data.unlabelled: a folder cannot be used .* 'digits'"):
        read(folder, source="digits", path=None)
