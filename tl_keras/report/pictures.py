"""Thumbnails of examples, from the files under the data's root or the embedded digits."""

import base64
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePath

from PIL import Image, ImageOps

from tl_keras.report.markup import escape
from tl_keras.report.read import Run

THUMBNAIL = 128  # px, longer side
PICTURE = 60_000_000  # Pixels; a larger file is not decoded for the sake of a thumbnail.
# Pillow's readers of other formats start programs (EPS) or are seldom exercised.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")


def thumbnails(run: Run, files: Sequence[str]) -> list[str]:
    """An `<img>` for each file, or nothing where the picture cannot be found or read."""
    root = run.data.get("root")
    if root is None and run.source == "digits":
        found = _digits(files)
    else:
        found = [_shrunk_file(root, file) for file in files]
    return [_image(data, file) for data, file in zip(found, files, strict=True)]


def _image(data: bytes, file: str) -> str:
    if not data:
        return ""
    encoded = base64.b64encode(data).decode()
    return f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(file)}">'


def _digits(files: Sequence[str]) -> list[bytes]:
    if not files:
        return []
    # Here, as scikit-learn is slow to import and most reports show no digits.
    from tl_keras.data import digits

    images, _ = digits.render()
    numbers = [re.fullmatch("digits/([0-9]{4})", file) for file in files]
    indices = [int(number[1]) if number else len(images) for number in numbers]
    return [_jpeg(Image.fromarray(images[i])) if i < len(images) else b"" for i in indices]


def _shrunk_file(root: str | None, file: str) -> bytes:
    # A report is passed on: a file name must not draw in what lies outside the data.
    if not root or PurePath(file).is_absolute() or ".." in PurePath(file).parts or "\0" in file:
        return b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Odd EXIF, large pictures: judged here.
            return _shrunk(Path(root) / file)
    # What Pillow raises on broken files; SyntaxError is its PNG reader's.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return b""


def _shrunk(path: Path) -> bytes:
    with Image.open(path, formats=FORMATS) as picture:
        if picture.width * picture.height > PICTURE:
            raise ValueError(f"{path}: {picture.size} is too large for a thumbnail")
        picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # JPEG decodes at a fraction of its size.
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        upright.thumbnail((THUMBNAIL, THUMBNAIL))
        return _jpeg(upright)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
