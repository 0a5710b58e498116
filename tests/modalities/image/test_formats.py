"""A file in a well-known format that is not supported is named in the reason for its rejection."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from tl_keras.data import check_files
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding import formats


def archived(kind) -> bytes:
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a.txt", "a")
    else:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.txt"))
    return stream.getvalue()


def saved(kind) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(stream, kind)
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FILES = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom",
    "MP4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2",
    "TIFF": saved("TIFF"),
    "JPEG 2000": saved("JPEG2000"),
    "ICO": saved("ICO"),
    "PNM": saved("PPM"),
    "PDF": saved("PDF"),
    "Photoshop": b"8BPS\0\1" + bytes(20),
    "DICOM": bytes(128) + b"DICM" + bytes(100),
    "NumPy": array(),
    "ZIP": archived("zip"),
    "TAR": archived("tar"),
    "Git LFS": LFS,
    "git-annex": b"/annex/objects/SHA256E-s12345--abc.jpg\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "web page": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>",
    "text": "path,label\nKäfer.png,1\n".encode() * 40,
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", FILES)
def test_the_reason_names_the_format(name, tmp_path):
    (tmp_path / "x.jpg").write_bytes(FILES[name])
    for checked in (
        check_files.check(tmp_path / "x.jpg", ImageConfig(max_pixels=10**6)),
        check_files.check_content(FILES[name], ImageConfig(max_pixels=10**6)),
    ):
        assert name in checked.reason and "not an image: expected" not in checked.reason


def test_an_unknown_format_is_called_not_an_image(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(200, 256)) * 4)
    reason = check_files.check(tmp_path / "x", ImageConfig(max_pixels=10**6)).reason
    assert reason == "not an image: expected JPEG, PNG, GIF, BMP or WEBP"


def test_damaged_images_are_called_damaged(tmp_path):
    (tmp_path / "x.png").write_bytes(saved("PNG")[:-30])
    assert check_files.check(tmp_path / "x.png", ImageConfig(max_pixels=10**6)).reason.startswith(
        "truncated or damaged"
    )


@pytest.mark.parametrize(
    "text", ["p1 is the first", "MZ is a name", "dds files", "ID3 tags", "P3 and more"]
)
def test_text_that_begins_like_another_format_is_called_text(text):
    assert formats.named(text.encode()) == "not an image but text"


def test_text_in_utf16_is_called_text():
    assert formats.named("path,label\n".encode("utf-16")) == "not an image but text"


def test_text_cut_within_a_character_is_called_text():
    text = ("a" * (check_files.NUM_BYTES - 1) + "é").encode()[: check_files.NUM_BYTES]
    assert formats.named(text) == "not an image but text"
