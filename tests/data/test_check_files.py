import json
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from crafted import ARITHMETIC_JPEG, LOSSLESS_JPEG, ORIENTATION, chunk, encoded, png
from PIL import Image, ImageFile

from tl_keras.data import check_files
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import quiet_pillow

MAX_PIXELS = 64_000_000


def picture(height=40, width=50, channels=3):
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / 5 + i) + 60 * np.cos(y / 7 + i) for i in range(channels)]
    return np.stack(waves, -1).clip(0, 255).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


@pytest.fixture
def check(tmp_path):
    """Checks the bytes of one file, without a cache."""

    def check(content, name="x.img", max_pixels=MAX_PIXELS):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
        memory = tmp_path / f"memory{len(list(tmp_path.iterdir()))}"
        return check_files.check_all(root, [name], ImageConfig(max_pixels=max_pixels), memory)[name]

    return check


RGB, GREY = picture(), picture(channels=1)[..., 0]
ALPHA = np.dstack([RGB, GREY])
PALETTE = Image.fromarray(RGB).quantize(16)
SOUND = {
    "jpeg": (encoded(RGB, "JPEG"), "jpeg"),
    "jpeg grey": (encoded(GREY, "JPEG"), "jpeg"),
    "jpeg progressive": (encoded(RGB, "JPEG", progressive=True), "jpeg"),
    "jpeg CMYK": (encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "pillow"),
    "jpeg arithmetic": (ARITHMETIC_JPEG, "pillow"),
    "jpeg lossless": (LOSSLESS_JPEG, "pillow"),
    "jpeg turned": (encoded(RGB, "JPEG", exif=exif(6)), "pillow"),
    "jpeg upright": (encoded(RGB, "JPEG", exif=exif(1)), "jpeg"),
    "jpeg with a broken EXIF": (
        encoded(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12"),
        "jpeg",
    ),
    "jpeg with a tail": (encoded(RGB, "JPEG") + b"tail" * 9, "jpeg"),
    "png": (encoded(RGB, "PNG"), "png"),
    "png grey": (encoded(GREY, "PNG"), "png"),
    "png 1 bit": (encoded(Image.fromarray(GREY > 99), "PNG"), "pillow"),
    "png 2 bits": (png(4, 2, 2, 0, b"\0\x1b\0\xe4"), "png"),
    "png 16 bits": (encoded(GREY.astype(np.uint16) * 257, "PNG"), "pillow"),
    "png 16 bits RGB": (png(1, 1, 16, 2, b"\0\x12\x34\x56\x78\x9a\xbc"), "png"),
    "png palette": (encoded(PALETTE, "PNG"), "pillow"),
    "png palette, transparent": (encoded(PALETTE, "PNG", transparency=b"\0\x80"), "pillow"),
    "png RGB, transparent": (encoded(RGB, "PNG", transparency=(0, 0, 0)), "pillow"),
    "png RGBA": (encoded(ALPHA, "PNG"), "pillow"),
    "png grey, alpha": (encoded(Image.fromarray(ALPHA).convert("LA"), "PNG"), "pillow"),
    "png turned": (encoded(RGB, "PNG", exif=exif(3)), "pillow"),
    "gif": (encoded(PALETTE, "GIF"), "pillow"),
    "gif animated": (
        encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
        "pillow",
    ),
    "bmp": (encoded(RGB, "BMP"), "pillow"),
    "webp": (encoded(RGB, "WEBP"), "pillow"),
    "webp RGBA": (encoded(ALPHA, "WEBP"), "pillow"),
    "webp animated": (
        encoded(Image.fromarray(RGB), "WEBP", save_all=True, append_images=[PALETTE]),
        "pillow",
    ),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_images_and_their_decoders(check, kind):
    content, decoder = SOUND[kind]
    checked = check(content)
    assert (checked.reason, checked.decoder) == ("", decoder)
    sizes = {"jpeg arithmetic": (16, 16), "jpeg lossless": (8, 8), "png 2 bits": (4, 2)}
    size = (1, 1) if kind == "png 16 bits RGB" else sizes.get(kind, (50, 40))
    assert (checked.width, checked.height) == size


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.txt", "x", "x.gif"])
def test_the_content_decides_and_not_the_suffix(check, name):
    assert check(SOUND["jpeg"][0], name).decoder == "jpeg"
    assert check(SOUND["png"][0], name).decoder == "png"


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "gif", "bmp", "webp"])
@pytest.mark.parametrize("left", [0.3, 0.6, 0.97])
def test_truncated_images(check, kind, left):
    content = SOUND[kind][0]
    reason = check(content[: int(left * len(content))]).reason
    assert reason.startswith(("truncated or damaged: ", "not an image: "))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_truncated_by_a_few_bytes(check, kind):
    # Pillow reads a PNG without its end, but TensorFlow would fail on it during an epoch.
    content = SOUND[kind][0]
    for cut in range(1, 30):
        assert check(content[:-cut]).reason.startswith("truncated or damaged: "), cut


def test_damaged_png_pixels(check):
    content = bytearray(SOUND["png"][0])
    for at in range(content.index(b"IDAT") + 4, len(content) - 16, 97):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        assert check(damaged).reason.startswith("truncated or damaged: "), at


def test_damage_outside_of_the_pixels_is_accepted(check):
    # A comment after the pixels has a bad checksum, which libpng also ignores.
    comment = chunk(b"tEXt", b"Comment\0hello")
    content = png(1, 1, 8, 0, b"\0\x7f", after=comment[:-1] + b"x")
    assert check(content).decoder == "png"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"just text", b"\x89PNG", b"\xff\xd8", b"GIF", b"BM"],
)
def test_other_files_are_not_images(check, content):
    named = {b"": "empty file", b"just text": "not an image but text"}
    expected = named.get(content, "not an image: expected JPEG, PNG, GIF, BMP or WEBP")
    assert check(content, "x.png").reason == expected


@pytest.mark.parametrize(
    "kind, content", [("PNG", b"\x89PNG\r\n\x1a\n"), ("JPEG", b"\xff\xd8\xff"), ("GIF", b"GIF89a")]
)
def test_an_image_that_ends_in_its_header_is_named(check, kind, content):
    reason = f"truncated or damaged: the header of this {kind} cannot be read"
    assert check(content, "x.png").reason == reason


def test_reasons_are_short_text_for_any_bytes(check):
    generator = np.random.default_rng(0)
    for kind in ("jpeg", "png", "gif", "bmp", "webp"):
        for _ in range(20):
            damaged = bytearray(SOUND[kind][0])
            for at in generator.integers(0, len(damaged), 30):
                damaged[at] = generator.integers(256)
            assert len(check(damaged).reason) <= 200


@pytest.fixture
def no_decoding(monkeypatch):
    def fail(self):
        raise AssertionError("decoded before its size was checked")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)


def bomb(kind):
    """A small file whose header says 30,000 x 30,000 px."""
    side = 30_000
    if kind == "png":  # A complete file.
        deflate = zlib.compressobj(9)
        row = bytes(1 + side // 8)
        pixels = b"".join(deflate.compress(100 * row) for _ in range(side // 100)) + deflate.flush()
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    content = bytearray(SOUND[kind][0])
    if kind == "jpeg":
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    elif kind == "gif":
        content[6:10] = struct.pack("<HH", side, side)
    else:
        content[18:26] = struct.pack("<ii", side, side)
    return bytes(content)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp"])
def test_decompression_bombs_are_found_by_their_header(check, no_decoding, kind):
    content = bomb(kind)
    assert len(content) < 200_000
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # The limit of Pillow would give a warning.
        checked = check(content)
    assert checked.reason == "30000 x 30000 px is over image.max_pixels, 64000000"
    assert time.monotonic() - started < 1  # 0.01 s; decoding takes seconds.


def test_images_too_large_for_tensorflow_are_refused_for_any_max_pixels(check, no_decoding):
    reason = check(bomb("png"), max_pixels=10**12).reason
    limits = "536870911 px in all and 1000000 px a side"
    assert reason == f"30000 x 30000 px is over TensorFlow's limits: {limits}"


def test_max_pixels_is_inclusive(check):
    assert check(SOUND["png"][0], max_pixels=2000).reason == ""
    assert check(SOUND["png"][0], max_pixels=1999).reason.endswith("over image.max_pixels, 1999")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing"])
def test_files_that_are_not_regular_are_refused(tmp_path, kind):
    path = tmp_path / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)  # Opening it would block forever.
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    checked = check_files.check_all(tmp_path, ["x.jpg"], ImageConfig(), tmp_path / "memory")[
        "x.jpg"
    ]
    expected = (
        "cannot be read: No such file or directory" if kind == "nothing" else "not a regular file"
    )
    assert checked.reason == expected


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_read_when_permissions_allow_it(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(SOUND["jpeg"][0])
    path.chmod(0)
    checked = check_files.check_all(tmp_path, ["x.jpg"], ImageConfig(), tmp_path / "memory")[
        "x.jpg"
    ]
    assert checked.reason == "cannot be read: Permission denied"
    path.chmod(0o600)
    checked = check_files.check_all(tmp_path, ["x.jpg"], ImageConfig(), tmp_path / "memory")[
        "x.jpg"
    ]
    assert checked.reason == ""


def test_failure_to_read_is_not_cached(tmp_path, monkeypatch):
    # As with a network file system, or with too many open files.
    (tmp_path / "x.jpg").write_bytes(SOUND["jpeg"][0])

    def fail(path):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(check_files, "_digest", fail)
        first = check_files.check_all(tmp_path, ["x.jpg"], ImageConfig(), tmp_path / "memory")
    assert first["x.jpg"].reason == "cannot be read: Too many open files"
    again = check_files.check_all(tmp_path, ["x.jpg"], ImageConfig(), tmp_path / "memory")
    assert again["x.jpg"].reason == ""


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
        (MemoryError(), "does not fit into memory"),
    ],
)
def test_failure_to_decode_for_lack_of_resources_is_not_cached(
    tmp_path, monkeypatch, error, reason
):
    (tmp_path / "x.gif").write_bytes(SOUND["gif"][0])

    def fail(self):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", fail)
        first = check_files.check_all(tmp_path, ["x.gif"], ImageConfig(), tmp_path / "memory")
    assert first["x.gif"].reason == reason
    again = check_files.check_all(tmp_path, ["x.gif"], ImageConfig(), tmp_path / "memory")
    assert again["x.gif"].reason == ""


# The cache of checks.


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for kind in ("jpeg", "png"):
        (root / kind).write_bytes(SOUND[kind][0])
    (root / "bad").write_bytes(b"no image")
    return root


@pytest.fixture
def read(monkeypatch):
    """A list of the names of the files that are read."""
    names, check = [], check_files.check
    monkeypatch.setattr(
        check_files, "check", lambda path, *rest: names.append(path.name) or check(path, *rest)
    )
    return names


FILES = ["jpeg", "png", "bad"]


def recheck(root, max_pixels=MAX_PIXELS, files=FILES):
    return check_files.check_all(
        root, files, ImageConfig(max_pixels=max_pixels), root.parent / "memory"
    )


def test_second_audit_opens_no_file(root, read):
    first = recheck(root)
    assert sorted(read) == sorted(FILES) and list(first) == FILES
    read.clear()
    assert recheck(root) == first and read == []
    assert recheck(root, files=["png"]) == {"png": first["png"]} and read == []


def test_hashes_for_near_duplicates_are_computed_only_on_request(root, read):
    def looks():
        memory = root.parent / "memory"
        return check_files.check_all(root, FILES, ImageConfig(), memory, with_hashes=True)

    assert {own.looks for own in recheck(root).values()} == {""}
    read.clear()
    first = looks()
    assert sorted(read) == ["jpeg", "png"]  # A bad file has no hash for near-duplicates.
    assert all(len(first[name].looks) == 32 for name in read)
    read.clear()
    assert looks() == recheck(root) == first and read == []


def test_changed_file_is_read_again(root, read):
    recheck(root)
    read.clear()
    (root / "bad").write_bytes(SOUND["gif"][0])
    assert recheck(root)["bad"].reason == "" and read == ["bad"]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not keep the time of a change")
def test_changed_file_of_the_same_size_and_time_is_read_again(root, read):
    # As after `cp -p` or `rsync -t`.
    recheck(root)
    read.clear()
    before = (root / "png").stat()
    (root / "png").write_bytes(SOUND["png"][0][:-1] + b"x")
    os.utime(root / "png", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert recheck(root)["png"].reason and read == ["png"]


def test_another_limit_reads_files_again(root, read):
    recheck(root)
    read.clear()
    assert recheck(root, max_pixels=10)["png"].reason.endswith("over image.max_pixels, 10")
    assert sorted(read) == sorted(FILES)


def test_another_version_reads_files_again(root, read, monkeypatch):
    recheck(root)
    read.clear()
    monkeypatch.setattr(check_files, "VERSION", "another version")
    recheck(root)
    assert sorted(read) == sorted(FILES)


def test_another_folder_has_another_cache(root, read):
    first = recheck(root)
    other = root.parent / "other"
    root.rename(other)
    read.clear()
    assert recheck(other) == first and sorted(read) == sorted(FILES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "null",
        lambda text: text.replace('"digest"', '"dijest"'),
        lambda text: json.dumps({**json.loads(text), "files": []}),
        lambda text: json.dumps({**json.loads(text), "files": {"png": None}}),
        lambda text: json.dumps({**json.loads(text), "files": {"png": [[], {"a": 1}]}}),
    ],
)
def test_damaged_cache_is_ignored(root, read, damage):
    first = recheck(root)
    (memory,) = (root.parent / "memory").iterdir()
    memory.write_text(damage(memory.read_text()))
    read.clear()
    assert recheck(root) == first and sorted(read) == sorted(FILES)
    read.clear()
    recheck(root)
    assert read == []


def test_digest_is_of_the_content(root):
    checked = recheck(root)
    (root / "copy").write_bytes(SOUND["png"][0])
    assert recheck(root, files=["copy"])["copy"].digest == checked["png"].digest
    assert checked["jpeg"].digest != checked["png"].digest


def test_limit_and_warnings_of_pillow_are_restored_in_any_order_of_threads():
    bound, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)

    def hold(i):
        with quiet_pillow():
            time.sleep(0.001 * (i % 3))
            return Image.MAX_IMAGE_PIXELS

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(hold, range(100))) == {None}
    assert bound == Image.MAX_IMAGE_PIXELS is not None
    assert filters == warnings.filters


def test_imports_no_tensorflow():
    code = "import sys, tl_keras.data.check_files; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
