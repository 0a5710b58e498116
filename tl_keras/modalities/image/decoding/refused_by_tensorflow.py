"""Finds damaged image files that Pillow accepts but TensorFlow's libpng and libjpeg reject.

Without these checks, such a file would stop training in the middle of an epoch. The functions
raise ValueError for it. They expect content whose header Pillow has already read.
"""

import re
import struct
import zlib
from collections.abc import Iterator

# Between segments and within pixel data, libjpeg skips everything up to the next marker: 0xFF
# followed by a byte other than 0 and 0xFF.
MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15: the coding of a JPEG
RESTARTS, END, SCAN = range(0xD0, 0xD8), 0xD9, 0xDA
MAX_SCANS = 100  # libjpeg writes ten; decoding one scan takes time for every pixel

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # number of channels by colour type of a PNG
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
STEP = 1 << 16  # bytes to inflate at once; they grow by a factor of a thousand at most
WHOLE = ((0, 0, 1, 1),)
# (first column, first row, column step, row step) of each pass of an interlaced PNG.
ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)


def check_jpeg(content: bytes) -> int | None:
    """Returns the frame marker of a JPEG, which says how pixels are coded; None if there is none.

    Raises:
      ValueError: the end of the image is missing, or the image has more than `MAX_SCANS` scans.
        Only a file that was made to waste time has so many scans.
    """
    frame, scans, at = None, 0, 2
    while found := MARKER.search(content, at):
        at, marker = found.end(), content[found.end() - 1]
        if marker == END:
            return frame
        if marker == SCAN and (scans := scans + 1) > MAX_SCANS:
            raise ValueError(f"the JPEG has more than {MAX_SCANS} scans, which take long to decode")
        if marker in FRAMES:
            frame = frame or marker
        if marker not in RESTARTS:  # Restart markers lie within pixel data and have no length.
            at += int.from_bytes(content[at : at + 2], "big")
    raise ValueError("the end of the image is missing")


def check_png(content: bytes) -> None:
    """Checks the chunks and the amount of pixel data of a PNG.

    Raises:
      ValueError: the header, the order of chunks or a checksum is wrong, the palette or the end is
        missing, or the amount of pixel data does not match the image size.
    """
    width, height, depth, colour, *methods = struct.unpack_from(">IIBBBBB", content, 16)
    if content[12:16] != b"IHDR" or methods[:2] != [0, 0] or methods[2] > 1:
        raise ValueError("the PNG header names an unknown compression, filter or interlace method")
    expected = _size(width, height, depth * CHANNELS[colour], ADAM7 if methods[2] else WHOLE)
    inflater, inflated, palette = zlib.decompressobj(), 0, colour != 3
    for kind, body in _chunks(content):
        palette |= kind == b"PLTE"
        if kind != b"IDAT":
            continue
        if not palette:
            raise ValueError("the palette is missing")
        for start in range(0, len(body), STEP):
            if inflated <= expected:
                # One byte more than expected, so that zlib also reads the checksum at the end.
                piece = body[start : start + STEP]
                inflated += len(inflater.decompress(piece, expected + 1 - inflated))
    if inflated != expected or not inflater.eof:
        raise ValueError("the file has too few or too many pixels for the size in its header")


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields (kind, body) of each chunk of a PNG, up to and including the end chunk."""
    view, at, before, seen = memoryview(content), 8, b"", set()
    while before != b"IEND":
        length, kind = int.from_bytes(view[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if at > len(content):
            raise ValueError("the end of the image is missing")
        if not kind.isalpha():
            raise ValueError(f"{kind!r} is not the name of a PNG chunk")
        body, checksum = view[at - length - 4 : at - 4], view[at - 4 : at]
        if kind[:1].isupper():  # libpng ignores damage in all other chunks.
            if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise ValueError(f"PNG chunk {kind!r} has a wrong checksum")
            repeated = kind in seen and (kind, before) != (b"IDAT", b"IDAT")
            if repeated or kind not in CRITICAL:
                raise ValueError(f"PNG chunk {kind!r} is unknown, repeated or misplaced")
        seen.add(kind)
        before = kind
        yield kind, body


def _size(width: int, height: int, bits: int, passes: tuple[tuple[int, ...], ...]) -> int:
    """Returns how many bytes the pixel data of a PNG must have after decompression.

    Each row is padded to whole bytes, and has one more byte that names its filter.

    Args:
      bits: bits of a pixel.
      passes: `ADAM7` for an interlaced PNG, else `WHOLE`.
    """
    total = 0
    for x, y, dx, dy in passes:
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 < rows:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
