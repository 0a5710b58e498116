"""Pictures for the page: of files under the data's root, embedded digits, the run's own JPEGs."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tl_keras.modalities.image.pillow import FORMATS, quiet_pillow, upright_rgb
from tl_keras.report.drawings.markup import escape
from tl_keras.report.drawings.words import count, percent
from tl_keras.report.read import RunFiles

THUMBNAIL = 160  # px, longer side
PICTURE = 60_000_000  # Pixels; a larger file is not decoded for the sake of a thumbnail.
WRITTEN = 200_000  # Bytes; no picture that a run writes comes near.


@dataclass(frozen=True)
class Picture:
    """A JPEG to embed. px"""

    data: bytes
    width: int
    height: int


def thumbnails(run: RunFiles, files: Sequence[str]) -> list[Picture | None]:
    """A thumbnail of each file; None where the picture cannot be found or read."""
    root = run.data.get("root")
    if root is None and run.source == "digits":
        return _digits(files)
    return [_shrunk_file(root, file) for file in files]


def written(run: RunFiles, name: object) -> Picture | None:
    """A JPEG that the run wrote to `pictures/`; None if there is none of that name."""
    # A plain name: an index must not draw in what lies elsewhere.
    if not isinstance(name, str) or not re.fullmatch(r"\w+\.jpg", name, re.ASCII):
        return None
    path = run.folder / "pictures" / name
    try:
        if path.stat().st_size > WRITTEN:
            return None
        with Image.open(path, formats=("JPEG",)) as picture:
            return Picture(path.read_bytes(), *picture.size)
    except (OSError, ValueError, SyntaxError, EOFError):
        return None


def image(picture: Picture, alt: str, shape: Picture | None = None) -> str:
    """An `<img>`; in the proportions of another picture where one is given."""
    encoded = base64.b64encode(picture.data).decode()
    like = shape or picture
    return (
        f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(alt)}" '
        f'width="{like.width}" height="{like.height}">'
    )


def explained(run: RunFiles, heat: Picture, alt: str, original: Picture | None) -> str:
    """An `<img>` of what spoke for an answer, beside the image of which it was."""
    # The model sees a stretched picture: shown in the proportions of the original.
    stretched = (run.tree.get("image") or {}).get("resize", "stretch") == "stretch"
    return image(heat, alt, original if stretched else None)


def _digits(files: Sequence[str]) -> list[Picture | None]:
    if not files:
        return []
    # Here, as scikit-learn is slow to import and most reports show no digits.
    from tl_keras.modalities.image.drawn import digits

    images, _ = digits.render()
    numbers = [re.fullmatch("digits/([0-9]{4})", file) for file in files]
    indices = [int(number[1]) if number else len(images) for number in numbers]
    return [_jpeg(Image.fromarray(images[i])) if i < len(images) else None for i in indices]


def _shrunk_file(root: str | None, file: str) -> Picture | None:
    if not root or "\0" in file:
        return None
    try:
        path = (Path(root) / file).resolve()
        # A report is passed on: a file name, or a link, must not draw in what lies outside.
        return _shrunk(path) if path.is_relative_to(Path(root).resolve()) else None
    except Exception:  # Pillow raises anything on hostile bytes; no thumbnail is worth a report.
        return None


def _shrunk(path: Path) -> Picture:
    with quiet_pillow(), Image.open(path, formats=FORMATS) as picture:
        if picture.width * picture.height > PICTURE:
            raise ValueError(f"{path}: {picture.size} is too large for a thumbnail")
        picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # JPEG decodes at a fraction of its size.
        picture.load()
        # As the model sees it: alpha over white, 16 bits by the upper byte.
        shown = Image.fromarray(upright_rgb(picture))
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
        return _jpeg(shown)


def _jpeg(picture: Image.Image) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return Picture(buffer.getvalue(), *picture.size)


def prepared(settings: Mapping[str, Any]) -> str:
    """What a model takes, in words; empty where a config does not say it.

    Args:
      settings: the section `image` of a config as it was read, unchecked.
    """
    if not settings.get("size"):
        return ""
    how = f"{settings['size']} px, {settings.get('resize', 'stretch')}, bilinear"
    return f"input: uint8 RGB, {how}; normalisation is inside the model"


def on_device(device: Mapping[str, Any], right: str) -> str:
    """How the shipped file does from files as they are, in words.

    Args:
      device: `shipped.device` of a result.
      right: its accuracy, in words.
    """
    return (
        "From the image files as they are, decoded and resized by export/device/predict.py, it "
        f"{right}answers as on prepared pixels on {percent(device['agreement'])} of "
        f"{count(device['n'])}; {percent(device['identical'])} of the images are the same to the "
        "last pixel."
    )
