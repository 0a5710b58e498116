"""Image files made by hand; byte by byte if Pillow cannot write them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
# Functions that turn pixels upright, by EXIF orientation.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}
# 16 x 16 px, from `jpegtran -arithmetic` of libjpeg-turbo 2.1.5; no Python package can write it.
ARITHMETIC_JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000d090a0b0a080d0b0a0b0e0e0d0f13201513121213"
    "271c1e17202e2931302e292d2c333a4a3e333646372c2d405741464c4e525352323e5a615a50604a51524fffdb00"
    "43010e0e0e131113261515264f352d354f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f"
    "4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4fffc90011080010001003012200021101031101ffcc000a0010"
    "100501101105ffda000c03010002110311003f00ff003a766e1d3019c07e1b37d1f4ec3aa751f97d270e93ffd9"
)
# 8 x 8 px, all 128, with lossless coding (SOF3): Pillow can read it, TensorFlow cannot.
LOSSLESS_JPEG = bytes.fromhex(
    "ffd8ffc3000b080008000801011100ffc400140001000000000000000000000000000000000000"
    "ffda0008010100010000" + 8 * "00" + "ffd9"
)


def picture(height: int = 40, width: int = 50, seed: int = 0) -> np.ndarray:
    """Returns a picture of soft waves and a little noise, `(height, width, 3) uint8`."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / 5 + i + seed) + 60 * np.cos(y / 7 - i) for i in range(3)]
    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    return (np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, format: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(width, height, depth, colour, pixels, before=b"", after=b"", methods=(0, 0, 0)) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, *methods)
    middle = before + chunk(b"IDAT", zlib.compress(pixels)) + after
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IEND", b"")


def rows(pixels: np.ndarray) -> bytes:
    """Returns pixels `(height, width, channels)` as unfiltered rows of a PNG."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced(pixels: np.ndarray, colour: int) -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in (*passes, (0, 1, 1, 2))]
    content = b"".join(rows(part) for part in parts if part.size)
    height, width = pixels.shape[:2]
    depth = 8 * pixels.dtype.itemsize
    return png(width, height, depth, colour, content, methods=(0, 0, 1))


def bmp(width: int, height: int, bits: int, code: int, body: bytes, masks: bytes = b"") -> bytes:
    """Returns a BMP file; with up to 8 bits per pixel it has a palette of greys."""
    palette = bytes(b for i in range(1 << bits) for b in (i, i, i, 0)) if bits <= 8 else b""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, code, len(body), 0, 0, 0, 0)
    head += masks + palette
    start = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + body


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def tiff(*entries: tuple[int, int, int, bytes], order: str = "<", after: int = 0) -> bytes:
    """Returns a TIFF directory as in EXIF; an entry is (tag, type, count, value or offset)."""
    body = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    head = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[order]
    return head + struct.pack(f"{order}H", len(entries)) + body + struct.pack(f"{order}I", after)


def turned(value: int, order: str = "<") -> bytes:
    return tiff((ORIENTATION, 3, 1, struct.pack(f"{order}HH", value, 0)), order=order)


def with_exif(kind: str, content: bytes, tags: bytes) -> bytes:
    if kind == "jpeg":
        return content[:2] + segment(0xE1, b"Exif\0\0" + tags) + content[2:]
    at = content.index(b"IDAT") - 4
    return content[:at] + chunk(b"eXIf", tags) + content[at:]


def sound(seed: int = 0) -> dict[str, bytes]:
    """Returns an undamaged image of every supported format; all differ between seeds."""
    rgb = picture(seed=seed)
    colours, grey = Image.fromarray(rgb), rgb[..., 0]
    alpha = np.dstack([rgb, picture(seed=seed + 1)[..., 1]])
    palette = colours.quantize(16)
    frames = {"save_all": True, "append_images": [colours.rotate(180).quantize(16)]}
    rough = {"save_all": True, "append_images": [colours.rotate(180)]}
    lossless = Image.fromarray(rgb // 32 * 32)
    return {
        "jpeg": encoded(rgb, "JPEG"),
        "jpeg grey": encoded(grey, "JPEG"),
        "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg CMYK": encoded(colours.convert("CMYK"), "JPEG"),
        "png": encoded(rgb, "PNG"),
        "png grey": encoded(grey, "PNG"),
        "png palette": encoded(palette, "PNG"),
        "png RGBA": encoded(alpha, "PNG"),
        "png 16 bits": encoded(grey.astype(np.uint16) * 257, "PNG"),
        "png interlaced": interlaced(rgb, 2),
        "png animated": encoded(colours, "PNG", **rough),
        "gif": encoded(palette, "GIF", interlace=0),
        "gif animated": encoded(palette, "GIF", **frames),
        "bmp": encoded(rgb, "BMP"),
        "bmp palette": encoded(palette, "BMP"),
        "webp": encoded(rgb, "WEBP"),
        "webp lossless": encoded(lossless, "WEBP", lossless=True),
        "webp RGBA": encoded(alpha, "WEBP"),
        "webp animated": encoded(colours, "WEBP", **rough),
    }
