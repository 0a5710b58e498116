"""What Pillow lets pass and TensorFlow's libpng and libjpeg refuse, in the middle of an epoch.

The functions raise ValueError at such content, of which Pillow has read the header.
"""

import re
import struct
import zlib
from collections.abc import Iterator

# Between segments, and in pixels, libjpeg passes over all but 0xFF before neither 0 nor 0xFF.
MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15: how a JPEG is coded
RESTARTS, END, SCAN = range(0xD0, 0xD8), 0xD9, 0xDA
MAX_SCANS = 100  # libjpeg writes ten; each one takes time for every pixel

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by colour type
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
STEP = 1 << 16  # bytes; they become a thousand times as many at most
WHOLE = ((0, 0, 1, 1),)
# First column, first row, columns apart, rows apart; of each pass of an interlaced PNG.
ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)


def check_jpeg(content: bytes) -> int | None:
    """The marker of a JPEG's frame, if there is one; raises where the image has no end.

    Also at so many scans that they can only be there to take time.
    """
    frame, scans, at = None, 0, 2
    while found := MARKER.search(content, at):
        at, marker = found.end(), content[found.end() - 1]
        if marker == END:
            return frame
        if marker == SCAN and (scans := scans + 1) > MAX_SCANS:
            raise ValueError(f"more than {MAX_SCANS} scans")
        if marker in FRAMES:
            frame = frame or marker
        if marker not in RESTARTS:  # They stand amid pixels and have no length.
            at += int.from_bytes(content[at : at + 2], "big")
    raise ValueError("no end of the image")


def check_png(content: bytes) -> None:
    """Raises at a bad header, order or checksum, too few or many pixels, a missing end."""
    width, height, depth, colour, *methods = struct.unpack_from(">IIBBBBB", content, 16)
    if content[12:16] != b"IHDR" or methods[:2] != [0, 0] or methods[2] > 1:
        raise ValueError("unknown compression, filter or interlacing")
    expected = _size(width, height, depth * CHANNELS[colour], ADAM7 if methods[2] else WHOLE)
    inflater, found, palette = zlib.decompressobj(), 0, colour != 3
    for kind, body in _chunks(content):
        palette |= kind == b"PLTE"
        if kind != b"IDAT":
            continue
        if not palette:
            raise ValueError("no palette")
        for start in range(0, len(body), STEP):
            if found <= expected:
                # One byte more than is needed, so that the checksum at the end is read, too.
                piece = body[start : start + STEP]
                found += len(inflater.decompress(piece, expected + 1 - found))
    if found != expected or not inflater.eof:
        raise ValueError("too few or too many pixels for its size")


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """(kind, body) of each chunk of a PNG up to its end."""
    view, at, before, seen = memoryview(content), 8, b"", set()
    while before != b"IEND":
        length, kind = int.from_bytes(view[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if at > len(content):
            raise ValueError("no end of the image")
        if not kind.isalpha():
            raise ValueError(f"{kind!r} is no name of a chunk")
        body, checksum = view[at - length - 4 : at - 4], view[at - 4 : at]
        if kind[:1].isupper():  # libpng passes over others, whatever they hold.
            if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise ValueError(f"bad checksum in {kind!r}")
            again = kind in seen and (kind, before) != (b"IDAT", b"IDAT")
            if again or kind not in CRITICAL:
                raise ValueError(f"{kind!r} is out of place")
        seen.add(kind)
        before = kind
        yield kind, body


def _size(width: int, height: int, bits: int, passes: tuple[tuple[int, ...], ...]) -> int:
    """Bytes of pixels, inflated: rows of whole bytes, each with one more for its filter."""
    total = 0
    for x, y, dx, dy in passes:
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 < rows:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
