"""Audits and decodes randomly damaged images of every format.

Runs only on request and takes some minutes on one core:

    python -m pytest -n 0 tests/fuzz_audit.py

The environment variable FUZZ_EXAMPLES sets the number of damaged files. Each failure that it finds
becomes a case of hostile.py.
"""

import os
import signal
import struct
import zlib
from pathlib import Path

import crafted
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tl_keras.data import check_files
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import quiet_pillow, read_rgb
from tl_keras.modalities.image.prepare import Kind, decode

SECONDS = 10  # limit of CPU time per file; most take milliseconds
SOUND = {
    **crafted.sound(),
    "jpeg arithmetic": crafted.ARITHMETIC_JPEG,
    "jpeg lossless": crafted.LOSSLESS_JPEG,
    "jpeg turned": crafted.with_exif("jpeg", crafted.sound()["jpeg"], crafted.turned(6)),
    "png turned": crafted.with_exif("png", crafted.sound()["png"], crafted.turned(6)),
    "png tiny": crafted.png(4, 2, 2, 0, b"\0\x1b\0\xe4"),
    "png clear": crafted.png(2, 1, 8, 0, b"\0ab", before=crafted.chunk(b"tRNS", b"\0a")),
    "bmp runs": crafted.bmp(4, 2, 8, 1, b"\4\1\0\0\0\4\1\2\3\4\0\1"),
    "bmp small runs": crafted.bmp(4, 2, 4, 2, b"\4\x12\0\0\4\x34\0\1"),
}
# Half of the damage is in the header, where one byte matters most.
places = st.integers(0, 200) | st.integers(0, 10_000)
lengths = st.sampled_from([1, 2, 4, 12, 16, 64, 500])
edits = st.one_of(
    st.tuples(st.just("flip"), places, st.integers(0, 7)),
    st.tuples(st.just("set"), places, st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255)),
    st.tuples(st.just("drop"), places, lengths),
    st.tuples(st.just("repeat"), places, lengths),
    st.tuples(st.just("cut"), places, st.just(0)),
    st.tuples(
        st.just("splice"), places, st.tuples(st.sampled_from(sorted(SOUND)), places, lengths)
    ),
)


def damaged(content: bytes, edits: list) -> bytes:
    content = bytearray(content)
    for kind, at, value in edits:
        at %= len(content) or 1
        if kind in ("flip", "set") and content:
            content[at] = content[at] ^ 1 << value if kind == "flip" else value
        elif kind == "drop":
            del content[at : at + value]
        elif kind == "repeat":
            content[at:at] = content[at : at + value]
        elif kind == "cut":
            del content[at:]
        elif kind == "splice":
            name, start, length = value
            start %= len(SOUND[name])
            content[at : at + length] = SOUND[name][start : start + length]
    return bytes(content)


def with_valid_checksums(content: bytes) -> bytes:
    """Returns a PNG with corrected checksums; with wrong ones, most files are refused early."""
    whole, at = content[:8], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if at + 12 + length > len(content):
            break
        body = content[at + 4 : at + 8 + length]
        whole += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return whole + content[at:]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x"


def stop(*_):
    # `pytest.fail` raises no Exception, which the audit would take for a damaged file.
    pytest.fail(f"the audit or decoding took over {SECONDS} s")


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "30000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from(sorted(SOUND)), st.lists(edits, min_size=1, max_size=6), st.booleans())
def test_files_that_pass_the_audit_can_be_decoded(path, kind, edits, mend):
    content = damaged(SOUND[kind], edits)
    path.write_bytes(with_valid_checksums(content) if mend and kind.startswith("png") else content)
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with quiet_pillow():
            checked = check_files.check(path, ImageConfig(max_pixels=4_000_000))
        if checked.reason:
            # Without a digest, the audit could not remember the file and would read it each time.
            assert checked.digest or checked.reason == "empty file"
            assert len(checked.reason) <= 200
            return
        for ratio in (1, 2, 8) if checked.decoder == "jpeg" else (1,):
            with tf.device("/CPU:0"):
                pixels = decode(tf.constant(str(path)), Kind(checked.decoder, ratio))
            sides = (-(-checked.height // ratio), -(-checked.width // ratio), 3)
            turned = (sides[1], sides[0], 3)
            assert pixels.shape in (sides, turned if checked.decoder == "pillow" else sides)
        # Damaged JPEGs may differ, because versions of libjpeg guess missing data differently.
        if checked.decoder == "png":
            np.testing.assert_array_equal(pixels, read_rgb(path))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
