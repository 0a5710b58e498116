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
from tl_keras.report.drawings.markup import escape, facts, note, table
from tl_keras.report.drawings.words import NOTHING, count, counted, is_number, number, percent
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.findings import SHOWN, cut
from tl_keras.run.result.exports import OnFiles

THUMBNAIL = 160  # px, longer side
PICTURE = 60_000_000  # Pixels; a larger file is not decoded for the sake of a thumbnail.
WRITTEN = 200_000  # Bytes; no picture that a run writes comes near.
ODD = {"sizes": "size", "brightness": "brightness or colour"}
WHY_ODD = "They may be crops, scans or camera faults, which new pictures will not have."
EXPLAINED = (
    "Warm colours show the areas that spoke most for the prediction (Grad-CAM). If they are beside "
    "the object, the model relies on the background."
)
NOT_EXPLAINED = (
    "There are no heat maps, because this model has no feature map or nothing in it stood out."
)
SHIFTS = "other cameras, places, populations or times"


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
    found = [re.fullmatch("digits/([0-9]{4})", file) for file in files]
    indices = [int(match[1]) if match else len(images) for match in found]
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


def on_device(device: OnFiles, right: str) -> str:
    """How the shipped file does from files as they are, in words.

    Args:
      device: `shipped.device` of a result.
      right: its accuracy, in words.
    """
    return (
        "Given the original image files, decoded and resized by export/device/predict.py, it "
        f"{right}gives the same answers as on pixels prepared for training on "
        f"{percent(device.agreement)} of {count(device.n)} images. {percent(device.identical)} of "
        "the images are identical to the last pixel."
    )


def findings(found: Mapping[str, Any]) -> dict[str, str]:
    """What is unusual in sizes and brightness: HTML under a title, empty where nothing is."""
    return {
        "Sizes": _sizes(found.get("sizes") or {}),
        "Brightness and colour": _brightness(found.get("brightness") or {}),
    }


def _sizes(sizes: dict) -> str:
    named = [
        (word, _range(sizes[word])) for word in ("width", "height", "aspect") if sizes.get(word)
    ]
    odd = sizes.get("odd") or []
    rows = [
        [
            escape(entry.get("file")),
            f"{count(entry.get('width'))} × {count(entry.get('height'))}",
            escape(entry.get("why") or NOTHING),
        ]
        for entry in odd[:SHOWN]
    ]
    return _measured(sizes, named, odd, ["File", "Pixels", "Why"], rows)


def _brightness(brightness: dict) -> str:
    median = brightness.get("median")
    named = [("median brightness, 0 to 255", number(median))] if median else []
    odd = brightness.get("odd") or []
    rows = [
        [
            escape(entry.get("file")),
            number(entry.get("mean")),
            escape(entry.get("why") or NOTHING),
        ]
        for entry in odd[:SHOWN]
    ]
    return _measured(brightness, named, odd, ["File", "Mean, 0 to 255", "Why"], rows)


def _measured(
    of: dict, named: list, odd: Sequence[dict], columns: Sequence[str], rows: list[list[str]]
) -> str:
    if not named and not odd:
        return ""
    on = note(f"Measured on {counted(of['n'], 'image')}.") if is_number(of.get("n")) else ""
    if not odd:
        return on + facts(named)
    of_what = "brightness or colour" if columns[1].startswith("Mean") else "size"
    above = f"{counted(len(odd), 'image')} with unusual {of_what}{cut(odd)}."
    return on + facts(named) + table(above, columns, rows, numeric=(1,))


def _range(values: Any) -> str:
    low, median, high = map(number, (list(values) + [None] * 3)[:3])
    return f"{median} (from {low} to {high})"
