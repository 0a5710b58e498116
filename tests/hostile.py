"""A folder of damaged, unusual and foreign files in place of images, with the expected reason each.

The expectations state what a user needs, not what the code currently says.
"""

import contextlib
import io
import os
import socket
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from crafted import (
    ARITHMETIC_JPEG,
    LOSSLESS_JPEG,
    ORIENTATION,
    bmp,
    chunk,
    encoded,
    interlaced,
    picture,
    png,
    rows,
    segment,
    sound,
    tiff,
    turned,
    with_exif,
)
from PIL import Image

# Regular expressions that match the beginning of reasons.
USED = "$"
DAMAGED = "truncated or damaged: "
HEADER = "truncated or damaged: the header of this (JPEG|PNG|GIF|BMP|WEBP) cannot be read"
FOREIGN = "not an image: expected JPEG, PNG, GIF, BMP or WEBP$"
TOO_LARGE = r"\d+ x \d+ px is over image.max_pixels, 64000000$"
TOO_LONG = r"\d+ x \d+ px is over TensorFlow's limits: 536870911 px in all and 1000000 px a side$"
SPECIAL = "not a regular file$"
EITHER = f"{USED}|{DAMAGED}"  # Random damage may be noticeable or not.
PASSED_OVER = None  # Ignored without a reason: hidden files and files of operating systems.

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "gif": ".gif", "bmp": ".bmp", "webp": ".webp"}

# Each theme becomes a class folder; a case is (file name, content, expected reason).
Cases = Iterator[tuple[str, bytes, str | None]]


def cut() -> Cases:
    signatures = {"jpeg": 3, "png": 8, "gif": 6, "bmp": 10, "webp": 12}
    whole = {**sound(1), "jpeg arithmetic": ARITHMETIC_JPEG}
    for kind, content in whole.items():
        family, size = kind.split()[0], len(content)
        for left in (1, 5, 14, 31, size // 8, size // 4, size // 2, size - 40, size - 2, size - 1):
            expected = DAMAGED if left >= signatures[family] else FOREIGN
            if family in ("png", "jpeg") and left >= signatures[family]:
                expected = f"{HEADER}|{DAMAGED}(the end of the|Truncated|image file is trunc)"
            if family == "gif" and left >= size - 2:
                expected = USED  # The end marker is missing, but all pixels are there.
            if family == "bmp" and left >= size - 2:
                expected = USED  # Only the padding of the last row is missing.
            if kind == "gif animated" and left >= size // 2:
                expected = USED  # Only the first frame is read, and that frame is complete.
            yield f"{kind} {left}{SUFFIXES[family]}", content[:left], expected


def bombs() -> Cases:
    whole, side = sound(2), 50_000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    at = whole["png"].index(b"IHDR")
    yield "png.png", whole["png"][: at - 4] + chunk(b"IHDR", header) + whole["png"][33:], TOO_LARGE
    at = whole["jpeg"].index(b"\xff\xc0") + 5
    declared = struct.pack(">HH", side, side)
    yield "jpeg.jpg", whole["jpeg"][:at] + declared + whole["jpeg"][at + 4 :], TOO_LARGE
    for name in ("gif", "gif animated"):
        declared = struct.pack("<HH", side, side)
        yield f"{name}.gif", whole[name][:6] + declared + whole[name][10:], TOO_LARGE
    at = whole["gif"].index(b",\0\0\0\0") + 5  # A frame larger than its screen.
    yield "frame.gif", whole["gif"][:at] + declared + whole["gif"][at + 4 :], TOO_LARGE
    for name, height in (("bmp", side), ("top-down", -side), ("lowest", -(1 << 31))):
        declared = struct.pack("<ii", side, height)
        yield f"{name}.bmp", whole["bmp"][:18] + declared + whole["bmp"][26:], TOO_LARGE
    yield "webp.webp", whole["webp"][:26] + b"\xff\x3f\xff\x3f" + whole["webp"][30:], TOO_LARGE
    for name, canvas in (("square", b"\xfe\xff\0\xfe\xff\0"), ("wide", b"\xff\xff\xff\xfe\0\0")):
        content = whole["webp animated"]
        yield f"canvas {name}.webp", content[:24] + canvas + content[30:], TOO_LARGE
    big = zlib.compress(bytes(50_000_000), 9)
    texts = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}
    for kind, before in texts.items():
        bomb = chunk(kind, before + big)
        yield f"{kind.decode()}.png", png(1, 1, 8, 0, b"\0\1", before=bomb), DAMAGED + ".*too large"
    behind = png(1, 1, 8, 0, b"\0\2", after=chunk(b"zTXt", b"a\0\0" + big))
    yield "zTXt behind.png", behind, DAMAGED + ".*too large"
    many = 70 * chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    yield "many texts.png", png(1, 1, 8, 0, b"\0\3", before=many), DAMAGED + ".*Too much memory"
    yield "pixels.png", png(1, 1, 8, 0, bytes(50_000_000)), DAMAGED + ".*too many pixels"
    yield "long.png", png(2_000_000, 1, 8, 0, bytes(2_000_001)), TOO_LONG
    yield "high.png", png(1, 2_000_000, 8, 0, bytes(4_000_000)), TOO_LONG
    yield "skips.bmp", bmp(60_000_000, 1, 8, 1, b"\0\2\xff\xff\0\1"), TOO_LONG
    tags = whole["jpeg progressive"]
    at = tags.rindex(b"\xff\xda")
    scans = tags[:at] + 200 * tags[at:-2] + b"\xff\xd9"
    yield "scans.jpg", scans, DAMAGED + ".*more than 100 scans"
    yield "runs.bmp", bmp(1000, 1000, 8, 1, b"\0\0" * 1000 + b"\0\1"), DAMAGED
    yield "lines.bmp", bmp(1000, 1000, 8, 1, b"\1\1\0\0" * 1000 + b"\0\1"), USED


def suffixes() -> Cases:
    whole = sound(3)
    for kind in SUFFIXES:
        for suffix in (*SUFFIXES.values(), ".JPEG", ".tiff", ".txt", ".exe", ""):
            yield f"{kind}{suffix}", whole[kind], USED


def _plain_modes(*families: str) -> Cases:
    for kind, content in sound(4).items():
        if kind.split()[0] in families:
            yield f"{kind}{SUFFIXES[kind.split()[0]]}", content, USED


def jpeg_modes() -> Cases:
    rgb = picture(seed=4)
    colours = Image.fromarray(rgb)
    yield from _plain_modes("jpeg")
    yield "arithmetic.jpg", ARITHMETIC_JPEG, USED
    yield "lossless.jpg", LOSSLESS_JPEG, USED
    for i, chroma in enumerate(("4:4:4", "4:2:2", "4:2:0", "4:1:1")):
        yield f"chroma {i}.jpg", encoded(rgb, "JPEG", subsampling=chroma, quality=81), USED
    yield "restarts.jpg", encoded(rgb, "JPEG", restart_marker_blocks=1), USED
    yield "restarted rows.jpg", encoded(rgb, "JPEG", restart_marker_rows=1, progressive=True), USED
    yield "RGB.jpg", encoded(rgb, "JPEG", keep_rgb=True), USED
    yield "YCbCr.jpg", encoded(colours.convert("YCbCr").rotate(180), "JPEG"), USED
    yield "worst.jpg", encoded(rgb, "JPEG", quality=1), USED
    yield "best.jpg", encoded(rgb, "JPEG", quality=100, optimize=True), USED
    pair = encoded(rgb, "MPO", save_all=True, append_images=[colours.rotate(180)])
    yield "pair.jpg", pair, USED
    yield "pair, second cut.jpg", pair[:-300], USED
    yield "YCCK.jpg", _ycck(colours), USED


def png_modes() -> Cases:
    rgb = picture(seed=4)
    grey, palette = rgb[..., 0], Image.fromarray(rgb).quantize(16)
    alpha = np.dstack([rgb, np.tile(np.arange(50, dtype=np.uint8) * 5, (40, 1))])
    yield from _plain_modes("png")
    for mode in ("1", "L", "LA"):
        converted = Image.fromarray(grey).convert(mode)
        yield f"mode {mode}.png", encoded(converted, "PNG", compress_level=1), USED
    for bits in (1, 2, 4):
        packed = encoded(palette.quantize(1 << bits), "PNG", bits=bits)
        yield f"palette {bits}.png", packed, USED
        yield f"grey {bits}.png", png(8, 2, bits, 0, 2 * (b"\0" + bytes(range(bits)))), USED
    for i, clear in enumerate((b"\0", b"\0\x80", bytes(range(0, 256, 16)), 3)):
        yield f"palette clear {i}.png", encoded(palette, "PNG", transparency=clear), USED
    yield "clear.png", encoded(rgb, "PNG", transparency=tuple(map(int, rgb[0, 0]))), USED
    yield "clear grey.png", encoded(grey, "PNG", transparency=int(grey[0, 0])), USED
    deep = rgb.astype(">u2") * 251
    for colour, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        source = np.dstack([deep, deep[::-1, :, :1]])[..., :channels].astype(">u2")
        yield f"deep {colour}.png", png(50, 40, 16, colour, rows(source)), USED
        yield f"deep interlaced {colour}.png", interlaced(source, colour), USED
        flat = np.ascontiguousarray(alpha[..., :channels])
        yield f"interlaced {colour}.png", interlaced(flat, colour), USED
    yield "interlaced small.png", interlaced(rgb[:3, :1], 2), USED


def other_modes() -> Cases:
    rgb = picture(seed=4)
    colours, grey = Image.fromarray(rgb), rgb[..., 0]
    palette, alpha = colours.quantize(16), np.dstack([rgb, grey])
    yield from _plain_modes("gif", "bmp", "webp")
    yield "interlaced.gif", encoded(palette, "GIF", interlace=1, comment=b"interlaced"), USED
    yield "grey.gif", encoded(grey, "GIF"), USED
    yield "clear.gif", encoded(palette, "GIF", transparency=2), USED
    yield "87a.gif", b"GIF87a" + encoded(palette.rotate(90), "GIF")[6:], USED
    yield "corner.gif", _corner(encoded(palette.crop((0, 0, 20, 20)), "GIF")), USED
    yield "1.bmp", encoded(colours.convert("1"), "BMP"), USED
    yield "grey.bmp", encoded(grey, "BMP"), USED
    yield "alpha.bmp", encoded(alpha, "BMP"), USED
    yield "top-down.bmp", bmp(4, -2, 24, 0, bytes(range(24))), USED
    yield "555.bmp", bmp(4, 2, 16, 0, bytes(range(16))), USED
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    yield "565.bmp", bmp(4, 2, 16, 3, bytes(range(16)), masks), USED
    yield "runs 8.bmp", bmp(4, 2, 8, 1, b"\4\1\0\0\0\4\1\2\3\4\0\1"), USED
    yield "runs 4.bmp", bmp(4, 2, 4, 2, b"\4\x12\0\0\4\x34\0\1"), USED
    old = struct.pack("<IHHHH", 12, 2, 1, 1, 24) + bytes(range(8))
    yield "OS 2.bmp", b"BM" + struct.pack("<IHHI", 14 + len(old), 0, 0, 26) + old, USED


def _ycck(colours: Image.Image) -> bytes:
    """Returns a JPEG in Adobe's YCCK coding of CMYK, which the transform of its marker declares."""
    content = encoded(colours.convert("CMYK").rotate(180), "JPEG")
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\2" + content[at + 1 :]


def _corner(content: bytes) -> bytes:
    """Returns a GIF whose first frame covers only a corner of the screen."""
    return content[:6] + struct.pack("<HH", 50, 40) + content[10:]


def exif() -> Cases:
    offset = struct.pack("<I", 0xFFFFFFF0)
    looped = tiff((ORIENTATION, 3, 1, b"\6\0\0\0"), (0x8769, 4, 1, b"\x08\0\0\0"), after=8)
    odd = {
        "nothing": b"",
        "garbage": b"garbage",
        "byte order": b"II",
        "cut": turned(6)[:15],
        "cut value": turned(6)[:-7],
        "no folder": b"II*\0" + offset,
        "far value": tiff((ORIENTATION, 3, 9, offset)),
        "huge count": tiff((ORIENTATION, 3, 0xFFFFFFFF, offset)),
        "no count": tiff((ORIENTATION, 3, 0, b"\6\0\0\0")),
        "loop": looped,
        "loop alone": tiff(after=8),
        "many entries": b"II*\0\x08\0\0\0\xff\xff",
        "text": tiff((ORIENTATION, 2, 4, b"six\0")),
        "two numbers": tiff((ORIENTATION, 3, 2, b"\6\0\3\0")),
        "long": tiff((ORIENTATION, 4, 1, b"\6\0\0\0")),
        "fraction by 0": tiff((ORIENTATION, 5, 1, b"\x1a\0\0\0")) + b"\6\0\0\0\0\0\0\0",
        "unknown type": tiff((ORIENTATION, 99, 1, b"\6\0\0\0")),
        "wrong type beside": tiff((0x010E, 5, 1, b"\x26\0\0\0"), (ORIENTATION, 3, 1, b"\6\0\0\0")),
        "twice": tiff((ORIENTATION, 3, 1, b"\6\0\0\0"), (ORIENTATION, 3, 1, b"\3\0\0\0")),
        "far thumbnail": tiff((0x0201, 4, 1, offset), (0x0202, 4, 1, offset)),
        "big TIFF": b"II+\0\x08\0\0\0" + bytes(12),
    }
    for value in (*range(10), 255, 65535):
        odd[f"orientation {value}"] = turned(value)
    odd |= {f"orientation {value}, big end": turned(value, ">") for value in (3, 6, 9)}
    whole = sound(5)
    for name, tags in odd.items():
        for kind in ("jpeg", "png"):
            yield f"{name}{SUFFIXES[kind]}", with_exif(kind, whole[kind], tags), USED
    twice = with_exif("jpeg", with_exif("jpeg", whole["jpeg"], turned(6)), turned(3))
    yield "two EXIFs.jpg", twice, USED
    behind = whole["png"][:-12] + chunk(b"eXIf", turned(8)) + whole["png"][-12:]
    yield "EXIF behind.png", behind, USED
    for value in (0, 6, 9):
        tags = Image.Exif()
        tags[ORIENTATION] = value
        yield f"{value}.webp", encoded(picture(seed=5), "WEBP", exif=tags), USED
    yield "broken.webp", encoded(picture(seed=5), "WEBP", exif=b"Exif\0\0II*\0garbage"), USED
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    yield "XMP.jpg", whole["jpeg"][:2] + segment(0xE1, xmp) + whole["jpeg"][2:], USED
    index = b"MPF\0" + tiff((0xB001, 4, 1, b"\xff\xff\xff\xff"), (0xB002, 7, 0xFFFFFFFF, offset))
    yield "index.jpg", whole["jpeg"][:2] + segment(0xE2, index) + whole["jpeg"][2:], USED


def tiny() -> Cases:
    starts = {"jpeg": b"\xff\xd8", "png": b"\x89PNG", "gif": b"GIF", "bmp": b"BM", "webp": b"RIFF"}
    rgb = picture(seed=6)
    for kind, suffix in SUFFIXES.items():
        yield f"nothing{suffix}", b"", "empty file$"
        yield f"a byte{suffix}", starts[kind][:1], FOREIGN
        yield f"a start{suffix}", starts[kind], FOREIGN
        options = {"lossless": True} if kind == "webp" else {}
        for height, width in ((1, 1), (1, 2), (2, 1), (1, 5000), (5000, 1), (16000, 1)):
            shape = rgb[:1, :1] + np.zeros((height, width, 1), np.uint8)
            content = encoded(shape + np.uint8(height % 7), kind.upper(), **options)
            yield f"{width} x {height}{suffix}", content, USED
    yield "1 x 900000.png", png(1, 900_000, 8, 0, bytes(1_800_000)), USED
    yield "0 x 1.png", png(0, 1, 8, 0, b"\0"), DAMAGED
    yield "0 x 0.bmp", bmp(0, 0, 24, 0, b""), HEADER
    yield "0 x 0.gif", b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\2\0;", HEADER
    at = sound(6)["jpeg"].index(b"\xff\xc0") + 5
    yield "50 x 0.jpg", sound(6)["jpeg"][:at] + b"\0\0" + sound(6)["jpeg"][at + 2 :], DAMAGED
    yield "zeros.png", bytes(99), "a file that begins with zeros, probably"
    yield "line.jpg", b"\n", FOREIGN


TEXT, CONVERT, UNPACK = "not an image but text$", ": convert it to JPEG or PNG$", ": unpack it$"
CALLED = {  # Expected reasons for well-known formats, by the names in `foreign`.
    "text": TEXT,
    "page": "a web page, probably left by a failed download: download it again$",
    "drawing": f"an SVG drawing{CONVERT}",
    "archive": f"a ZIP archive{UNPACK}",
    "tape": "a file that begins with zeros",
    "document": "a PDF: save its pages as pictures$",
    "postscript": f"a PostScript drawing{CONVERT}",
    "layers": f"a Photoshop picture{CONVERT}",
    "heic": f"a HEIC picture, as iPhones take{CONVERT}",
    "avif header": f"an AVIF picture{CONVERT}",
    "avif": f"an AVIF picture{CONVERT}",
    "jpeg 2000": f"a JPEG 2000 picture{CONVERT}",
    "tiff": f"a TIFF or raw camera picture{CONVERT}",
    "tiff, big end": f"a TIFF or raw camera picture{CONVERT}",
    "icon": rf"an icon \(ICO\){CONVERT}",
    "ppm": f"a PNM picture{CONVERT}",
    "sound": r"a sound \(WAV\): remove it$",
    "film": r"a video \(MP4 or QuickTime\): save its frames as pictures$",
    "gzip": f"an archive{UNPACK}",
    "program": "a program: remove it$",
    "model": "an HDF5 file: save its pictures as PNG$",
    "BM in text": TEXT,
    "behind a page": "a web page followed by other data",
    "document with a picture": "a PDF: save its pages as pictures$",
}


def foreign() -> Cases:
    whole, archive = sound(7), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.png", b"x")
    tape = io.BytesIO()
    tarfile.open(fileobj=tape, mode="w").close()
    image = Image.fromarray(picture(seed=7))
    other = {
        "text": b"just text",
        "page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "archive": archive.getvalue(),
        "tape": tape.getvalue(),
        "document": b"%PDF-1.7\n1 0 obj\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "layers": b"8BPS\0\1" + bytes(20),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "avif header": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
        "avif": encoded(image, "AVIF"),
        "jpeg 2000": encoded(image, "JPEG2000"),
        "tiff": encoded(image, "TIFF"),
        "tiff, big end": b"MM\0*" + bytes(40),
        "icon": encoded(image.resize((16, 16)), "ICO"),
        "bitmap without a head": encoded(image, "DIB"),
        "ppm": encoded(image, "PPM"),
        "tga": encoded(image, "TGA"),
        "sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(24),
        "film": b"\0\0\0\x18ftypmp42" + bytes(20),
        "program": b"\x7fELF" + bytes(60),
        "pickle": b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.",
        "gzip": b"\x1f\x8b\x08" + bytes(20),
        "model": b"\x89HDF\r\n\x1a\n" + bytes(30),
        "BM in text": b"BMW is a car maker; this is a line of text",
        "behind a line.jpg": b"\n" + whole["jpeg"],
        "behind a page": b"<html>" + whole["png"],
        "document with a picture": b"%PDF-1.7\n" + whole["jpeg"],
    }
    for i, (name, content) in enumerate(other.items()):
        yield f"{name}{list(SUFFIXES.values())[i % 5]}", content, CALLED.get(name, FOREIGN)
    for kind in ("jpeg", "png", "gif", "bmp", "webp"):
        yield f"{kind} and archive{SUFFIXES[kind]}", whole[kind] + archive.getvalue(), USED
    yield "png in jpeg.png", whole["jpeg grey"] + whole["png"], USED
    yield "jpeg in png.jpg", whole["png grey"] + whole["jpeg"], USED
    script = segment(0xFE, b"<script>alert(1)</script><?php exit(1) ?>")
    yield "script.jpg", whole["jpeg"][:2] + script + whole["jpeg"][2:], USED
    yield "script.gif", encoded(image.quantize(8), "GIF", comment=b"*/=1;alert(1)//"), USED


def png_chunks() -> Cases:
    content = sound(8)["png"]
    end, at = content[-12:], content.index(b"IDAT") - 4
    head, pixels = content[:at], content[at:-12]
    yield "no end.png", head + pixels, DAMAGED + "the end of the image is"
    yield "no pixels.png", head + end, DAMAGED
    yield "no header.png", content[:8] + pixels + end, DAMAGED
    yield "checksum of header.png", head[:-1] + b"x" + pixels + end, DAMAGED
    yield "checksum of pixels.png", head + pixels[:-1] + b"x" + end, DAMAGED + ".*checksum"
    yield "checksum of end.png", head + pixels + end[:-1] + b"x", DAMAGED + ".*checksum"
    note = chunk(b"tEXt", b"Comment\0hello")
    yield "checksum of a note.png", head + pixels + note[:-1] + b"x" + end, USED
    for length in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1"):
        yield f"length {length.hex()}.png", head + length + pixels[4:] + end, DAMAGED
    yield "unknown, needed.png", head + chunk(b"ABCD", b"x") + pixels + end, DAMAGED
    yield "unknown.png", head + chunk(b"abCd", b"x") + pixels + end, USED
    yield "no name.png", head + chunk(b"a1cd", b"x") + pixels + end, DAMAGED
    yield "two headers.png", head + head[8:] + pixels + end, DAMAGED
    yield "two pixels.png", head + pixels + pixels + end, USED
    yield "pixels apart.png", head + _split(pixels, chunk(b"abCd", b"x")) + end, DAMAGED
    yield "pixels in parts.png", head + _split(pixels, chunk(b"IDAT", b"")) + end, USED
    yield "two ends.png", content + end, USED
    yield "pixels behind.png", head + end + pixels, DAMAGED
    for name, at, value in (("compression", 26, 1), ("filter", 27, 64), ("interlacing", 28, 2)):
        header = bytearray(head[16:29])
        header[at - 16] = value
        changed = head[:8] + chunk(b"IHDR", bytes(header))
        yield f"{name}.png", changed + pixels + end, DAMAGED
    for name, depth, colour in (("3 bits", 3, 0), ("4 bits RGB", 4, 2), ("colour 5", 8, 5)):
        yield f"{name}.png", png(1, 1, depth, colour, bytes(9)), DAMAGED
    yield "too few rows.png", png(2, 9, 8, 0, bytes(6)), DAMAGED + ".*too few"
    yield "too many rows.png", png(2, 1, 8, 0, bytes(30)), DAMAGED + ".*too many"
    yield "unknown filter.png", png(1, 1, 8, 0, b"\x09\1"), DAMAGED
    yield "no palette.png", png(1, 1, 8, 3, b"\0\1"), DAMAGED + "the palette is missing"
    yield "short palette.png", png(1, 1, 8, 3, b"\0\x09", before=chunk(b"PLTE", b"abc")), USED
    yield "late palette.png", png(1, 1, 8, 2, b"\0abc", after=chunk(b"PLTE", b"abc")), USED
    late = chunk(b"tRNS", b"\0\0\0a\0\0")
    yield "late clear colour.png", png(1, 1, 8, 2, b"\0\0a\0", after=late), USED
    yield "grey with a palette.png", png(1, 1, 8, 0, b"\0\x33", before=chunk(b"PLTE", b"abc")), USED
    yield "bad profile.png", png(1, 1, 8, 0, b"\0\x34", before=chunk(b"iCCP", b"a\0\0xxxx")), USED
    long = chunk(b"tEXt", b"a\0" + bytes(9_000_000))  # Over libpng's limit for other chunks.
    yield "long note.png", png(1, 1, 8, 0, b"\0\x35", before=long), USED
    yield "many notes.png", png(1, 1, 8, 0, b"\0\x36", before=2000 * chunk(b"tEXt", b"a\0x")), USED
    for kind in (b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"tRNS", b"acTL"):
        short = chunk(kind, b"a" if kind != b"sRGB" else b"")
        yield f"short {kind.decode()}.png", png(1, 1, 8, 2, b"\0xyz", before=short), EITHER
    unread = zlib.compressobj()
    body = unread.compress(rows(picture(seed=8))) + unread.flush(zlib.Z_SYNC_FLUSH)
    yield "no checksum.png", head + chunk(b"IDAT", body) + end, DAMAGED


def _split(pixels: bytes, between: bytes) -> bytes:
    body = pixels[8:-4]
    half = len(body) // 2
    return chunk(b"IDAT", body[:half]) + between + chunk(b"IDAT", body[half:])


def jpeg_segments() -> Cases:
    content = sound(9)["jpeg"]
    frame, scan = content.index(b"\xff\xc0"), content.index(b"\xff\xda")
    tables, codes = content.index(b"\xff\xdb"), content.index(b"\xff\xc4")
    yield "no end.jpg", content[:-2], DAMAGED
    yield "no end, but a tail.jpg", content[:-2] + b"tail" * 20, DAMAGED
    yield "end for the pixels.jpg", content[: scan + 14] + b"\xff\xd9", DAMAGED + "|$"
    yield "no scan.jpg", content[:scan] + b"\xff\xd9", DAMAGED
    yield "no frame.jpg", content[:frame] + content[frame + 19 :], DAMAGED
    yield "no quantisation.jpg", content[:tables] + content[frame:], DAMAGED
    yield "no codes.jpg", content[:codes] + content[scan:], EITHER
    yield "two frames.jpg", content[:scan] + content[frame : frame + 19] + content[scan:], DAMAGED
    yield "two starts.jpg", content[:2] + content, DAMAGED
    yield "padding.jpg", content[:frame] + 9 * b"\xff" + content[frame:], USED
    yield "stray bytes.jpg", content[:-2] + b"stray" + content[-2:], USED
    for i, length in enumerate((b"\0\0", b"\0\1", b"\xff\xff")):
        changed = content[: frame + 2] + length + content[frame + 4 :]
        yield f"length {i}.jpg", changed, DAMAGED
    yield "long note.jpg", content[:2] + segment(0xFE, bytes(65533)) + content[2:], USED
    yield "many notes.jpg", content[:2] + 500 * segment(0xFE, b"x") + content[2:], USED
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7):
        changed = content[: frame + 1] + bytes([marker]) + content[frame + 2 :]
        yield f"coding {marker:X}.jpg", changed, DAMAGED
    yield "12 bits.jpg", content[: frame + 4] + b"\x0c" + content[frame + 5 :], DAMAGED
    yield "2 channels.jpg", content[: frame + 9] + b"\2" + content[frame + 10 :], DAMAGED
    yield "sampling.jpg", content[: frame + 11] + b"\xff" + content[frame + 12 :], DAMAGED
    yield "profile.jpg", content[:2] + segment(0xE2, b"ICC_PROFILE\0\1\xffx") + content[2:], USED
    yield "Adobe.jpg", content[:2] + segment(0xEE, b"Adobe\0d\0\0\0\0\7") + content[2:], USED
    yield "short Adobe.jpg", content[:2] + segment(0xEE, b"Adobe") + content[2:], HEADER
    cut = segment(0xED, b"Photoshop 3.0\x008BIM\4")
    yield "Photoshop.jpg", content[:2] + cut + content[2:], USED
    yield "short JFIF.jpg", content[:2] + segment(0xE0, b"JFIF\0") + content[20:], HEADER


def noise() -> Cases:
    for kind, content in sound(10).items():
        generator = np.random.default_rng(len(kind))
        for i in range(5):
            damaged = bytearray(content)
            for at in generator.integers(30, len(damaged), 1 + 3 * i):
                damaged[at] ^= 1 << int(generator.integers(8))
            sure = kind.startswith("png") and kind != "png animated"
            expected = DAMAGED if sure else EITHER
            yield f"{kind} {i}{SUFFIXES[kind.split()[0]]}", bytes(damaged), expected
    for i in range(5):
        yield f"random {i}.png", np.random.default_rng(i).bytes(500), FOREIGN
    for kind, start in {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}.items():
        content = start + np.random.default_rng(9).bytes(500)
        yield f"random {kind}{SUFFIXES[kind]}", content, HEADER


def plain(seed: int) -> bytes:
    return encoded(picture(12, 12, seed), "PNG")


ODD_NAMES = (
    *("two words.png", " before.png", "after.png ", "it's.png", 'quo"ted.png', "-rf.png", "--x"),
    *("line\nbreak.png", "return\r.png", "tab\t.png", "bell\a.png", "escape\x1b[31m.png"),
    *("$HOME.png", "`id`.png", "$(id).png", "%s%n.png", "*.png", "?.png", "[x].png", "a|b.png"),
    *("a,b.png", "a;b.png", "a&b.png", "<b>.png", "a=b.png", "#.png", "~.png", "back\\slash.png"),
    *("x..", "a..b.png", "file:.png", "C:.png", "ram:", "NUL", "con.png", "png", "UPPER.PNG"),
    *("عربي.png", "\u202egnp.exe", "e\u0301.png", "\u200b.png", "\ufeff.png"),
    *("🐻.png", "熊.png", "x" * 251 + ".png", "熊" * 83 + ".png", "deep/x.jpg/y"),
)
HIDDEN_NAMES = (
    *(".hidden.png", "...png", "..x", "...", "._resource.png", ".DS_Store", ".git/x.png"),
    *("Thumbs.db", "deep/THUMBS.DB", "desktop.ini", "$RECYCLE.BIN/x.png", "__MACOSX/x.png"),
    "deep/.x/y.png",
)


def names() -> Cases:
    for i, name in enumerate(ODD_NAMES):
        yield name, plain(1000 + i), USED
    for i, name in enumerate(HIDDEN_NAMES):
        yield name, plain(2000 + i), PASSED_OVER


THEMES = {
    "aspect and size": tiny,
    "bombs": bombs,
    "cut": cut,
    "exif": exif,
    "foreign": foreign,
    "jpeg segments": jpeg_segments,
    "jpeg modes": jpeg_modes,
    "names": names,
    "noise": noise,
    "other modes": other_modes,
    "png chunks": png_chunks,
    "png modes": png_modes,
    "suffixes": suffixes,
}


def build(root: Path) -> dict[str, str | None]:
    """Writes the folder; returns the expected reason of each file, by its name in reports."""
    expected = {}
    for label, cases in THEMES.items():
        for name, content, reason in cases():
            path = root / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert not path.exists(), path
            path.write_bytes(content)
            expected[f"{label}/{name}"] = reason
    expected |= _odd_entries(root / "links")
    for i, label in enumerate(sorted({name.split("/")[0] for name in expected})):
        for j in range(8):  # Enough plain images to split every class.
            (root / label / f"plain {j}.png").write_bytes(plain(100 * (i + 30) + j))
            expected[f"{label}/plain {j}.png"] = USED
    return expected


def _odd_entries(folder: Path) -> dict[str, str | None]:
    """Writes links, devices, sockets and other special entries of a file system."""
    (folder / "x.jpg").mkdir(parents=True)
    (folder / "x.jpg" / "inside.png").write_bytes(plain(1))
    (folder / "file.png").write_bytes(plain(2))
    (folder / "empty.png").mkdir()
    os.link(folder / "file.png", folder / "hard.png")
    with (folder / "huge.jpg").open("wb") as stream:
        stream.write(sound(11)["jpeg"])
        stream.truncate(1 << 31)  # A sparse file takes no space on the disk.
    outside = folder.parent.parent / "outside.png"
    outside.write_bytes(plain(3))
    targets = {
        "good": ("file.png", USED),
        "nothing": ("none.png", "a broken link$"),
        "itself": ("itself.png", "a broken link$"),
        "outside": (outside, "a link to a place outside of the data folder$"),
        "zero": ("/dev/zero", "a link to a place outside of the data folder$"),
        "loop": (folder, "a link to a folder; links are not followed$"),
        "pipe link": ("pipe.png", SPECIAL),
    }
    expected = {}
    os.mkfifo(folder / "pipe.png")
    for name, (target, reason) in targets.items():
        (folder / f"{name}.png").symlink_to(target)
        expected[f"links/{name}.png"] = reason
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(folder):
        server.bind("socket.png")  # A relative path, because the length of the path is limited.
    (folder / "closed.png").write_bytes(plain(4))
    (folder / "closed.png").chmod(0)
    # The file systems of macOS refuse names that are not valid UTF-8.
    if sys.platform == "linux":
        with open(os.fsencode(folder) + b"/\xff\xfe.png", "wb") as stream:
            stream.write(plain(5))
        expected["links/\\udcff\\udcfe.png"] = (
            "the name is not valid UTF-8; rename the file or folder$"
        )
    return expected | {
        "links/x.jpg/inside.png": USED,
        "links/file.png": USED,
        "links/hard.png": USED,
        "links/huge.jpg": "too large: 2147483648 bytes; the limit is 1073741824$",
        "links/pipe.png": SPECIAL,
        "links/socket.png": SPECIAL,
        "links/closed.png": USED if os.geteuid() == 0 else "cannot be read: Permission denied$",
        **_device(folder),
    }


def _device(folder: Path) -> dict[str, str]:
    """Makes a device that returns endless zeros, if this user is allowed to."""
    try:
        os.mknod(folder / "device.png", 0o20666, os.makedev(1, 5))
    except PermissionError:
        return {}
    return {"links/device.png": SPECIAL}
