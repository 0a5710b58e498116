"""The arguments of `predict`: paths, arrays and PIL images, and errors for everything else."""

import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tl_keras
from tl_keras.approaches import predict
from tl_keras.modalities.image.predict_inputs import as_given

PIXELS = np.zeros((4, 5, 3), np.uint8)


@pytest.fixture
def file(pictures, tmp_path) -> Path:
    return Path(shutil.copyfile(pictures / "disc" / "0.png", tmp_path / "a.png"))


def test_one_path_is_one_picture(quick_run, file, monkeypatch):
    monkeypatch.setattr(os, "walk", lambda *_, **__: pytest.fail("a folder is searched"))
    expected = tl_keras.predict(quick_run, [file])
    assert len(expected) == 1 and expected[0]["file"] == str(file)
    assert tl_keras.predict(quick_run, file) == expected
    assert tl_keras.predict(quick_run, str(file)) == expected
    assert tl_keras.predict(str(quick_run.workdir), (str(f) for f in [file])) == expected
    assert tl_keras.predict(quick_run, np.array([str(file)])) == expected
    assert tl_keras.predict(quick_run, np.array(str(file))) == expected


def test_arrays_and_pil_images_give_the_predictions_of_their_files(quick_run, file):
    (expected,) = tl_keras.predict(quick_run, file)
    image = Image.open(file)
    pixels = np.asarray(image)
    for one in (pixels, [pixels], pixels[None], image, image.copy()):
        (row,) = tl_keras.predict(quick_run, one)
        assert row["probabilities"] == expected["probabilities"]
    assert tl_keras.predict(quick_run, pixels)[0]["file"] == "#0"
    assert tl_keras.predict(quick_run, image)[0]["file"] == str(file)


def test_rows_are_in_the_order_of_the_inputs(quick_run, file, pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    rows = tl_keras.predict(
        quick_run, [PIXELS, file, tmp_path / "bad.png", PIXELS, pictures / "disc"]
    )
    names = [row["file"] for row in rows]
    assert names[:4] == ["#0", str(file), str(tmp_path / "bad.png"), "#3"]
    assert len(rows) == 4 + 24
    assert rows[2]["error"] == "empty file"
    assert rows[0]["probabilities"] == rows[3]["probabilities"]


def test_a_pil_image_is_turned_upright(quick_run, file, tmp_path):
    image = Image.open(file)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    (expected,) = tl_keras.predict(quick_run, tmp_path / "turned.png")
    (row,) = tl_keras.predict(quick_run, Image.open(tmp_path / "turned.png"))
    assert row["probabilities"] == expected["probabilities"]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
def test_a_name_that_is_not_utf8_is_an_error_of_its_own_row(quick_run, file, tmp_path):
    bad = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    shutil.copyfile(file, bad)
    rows = tl_keras.predict(quick_run, [os.fsdecode(bad), file])
    assert rows[0]["error"] == "the name is not valid UTF-8; rename the file or folder"
    assert "prediction" in rows[1]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_symbolic_link_is_followed(quick_run, file, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.png").symlink_to(file)
    (row,) = tl_keras.predict(quick_run, tmp_path / "elsewhere" / "link.png")
    assert "prediction" in row


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        (None, "NoneType"),
        ("", "an empty path as value #0"),
        (np.array(5), "int as value #0"),
        (memoryview(b"x"), "memoryview"),
        (io.BytesIO(b"x"), "BytesIO"),
        (Image.new("RGB", (0, 5)), r"an array \(5, 0, 3\) uint8 as value #0"),
        (5, "int"),
        (b"a.png", "bytes"),
        ({"a.png": 1}, "dict"),
        ([b"a.png"], "bytes as value #0"),
        (["a.png", None], "NoneType as value #1"),
        ([["a.png"]], "list as value #0"),
        (PIXELS.astype(np.float32), r"an array \(4, 5, 3\) float32 as value #0"),
        (PIXELS[..., 0], r"an array \(4, 5\) uint8 as value #0"),
        ([PIXELS[..., :1]], r"an array \(4, 5, 1\) uint8 as value #0"),
        ([PIXELS[:0]], r"an array \(0, 5, 3\) uint8 as value #0"),
    ],
)
def test_other_inputs_are_a_type_error(wrong, received):
    with pytest.raises(
        TypeError, match=f"predict: expected an image file, .*; received {received}$"
    ):
        as_given(wrong)


def test_an_unreadable_pil_image_is_named(file):
    image = Image.open(file)
    image.close()
    with pytest.raises(
        ValueError, match="value #1, a PIL image, cannot be read: Operation on closed"
    ):
        as_given([PIXELS, image])


def test_no_images_is_an_error(quick_run, tmp_path):
    with pytest.raises(ValueError, match="predict: expected images, but found none in the list"):
        tl_keras.predict(quick_run, [])
    with pytest.raises(ValueError, match="expected images, but found none in '.*'"):
        tl_keras.predict(quick_run, tmp_path)
    with pytest.raises(ValueError, match="lost.png' does not exist"):
        tl_keras.predict(quick_run, "lost.png")
    for name in (300 * "x", "~nobody-of-this-name/x.png"):
        with pytest.raises(ValueError, match=f"{name}' does not exist"):
            tl_keras.predict(quick_run, name)


def test_batches_are_joined(quick_run, file, monkeypatch):
    expected = tl_keras.predict(quick_run, [file, PIXELS, file])
    monkeypatch.setattr(predict.features, "BATCH_SIZE", 2)
    actual = tl_keras.predict(quick_run, [file, PIXELS, file])
    assert [row["file"] for row in actual] == [row["file"] for row in expected]
    for one, other in zip(actual, expected, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
