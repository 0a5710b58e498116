"""Images as HTML, and sentences about images, for the report."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tl_keras.modalities.image.decoding.pillow import FORMATS, quiet_pillow, upright_rgb
from tl_keras.report.drawings.markup import escape
from tl_keras.report.drawings.words import NOTHING, count, is_number, number, percent
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.findings import SHOWN, measured
from tl_keras.run.result.exports import OnFiles

THUMBNAIL = 160  # px, longer side
PICTURE = 60_000_000  # px; larger files get no thumbnail, since decoding takes too long
WRITTEN = 200_000  # bytes; all pictures that a run writes are far smaller
ODD = {"sizes": "size", "brightness": "brightness or colour"}
WHY_ODD = (
    "Such images may be crops, scans or camera faults, unlike the pictures that the model will see."
)
EXPLAINED = (
    "Warm colours show the areas that most support the prediction (Grad-CAM). If they are beside "
    "the object, the model relies on the background."
)
NOT_EXPLAINED = (
    "There are no heat maps, because this model has no feature map, or because no area of these "
    "images supports the predictions."
)
NOT_EXPLAINED_IN_FOLDS = (
    "There are no heat maps, because each of these answers comes from the model of a fold. Heat "
    "maps are made with the final model, which was trained on these images and may answer "
    "differently."
)
SOME_NOT_EXPLAINED = "An image without a heat map has no area that supports the prediction."
AS_ON_DEVICE = "files are decoded as on a device"
LARGER = "Try larger pictures."
BACKBONES = ("EfficientNetV2B0", "MobileNetV2")
SHIFTS = "other cameras, places, populations or times"


@dataclass(frozen=True)
class Picture:
    """A JPEG that is embedded in the report's HTML."""

    data: bytes
    width: int  # px
    height: int  # px


def thumbnails(run: RunFiles, files: Sequence[str]) -> list[Picture | None]:
    """Returns a thumbnail of each file; None for a file that is missing or unreadable."""
    root = run.data.get("root")
    if root is None and run.source == "digits":
        return _digits(files)
    return [_shrunk_file(root, file) for file in files]


def written(run: RunFiles, name: object) -> Picture | None:
    """Returns the content and size of a JPEG in `pictures/` of the run; None if unreadable."""
    # Only plain file names, so that a manipulated index cannot pull other files into the report.
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
    """Returns an `<img>` element that shows a picture.

    Args:
      alt: alternative text.
      shape: another picture, whose width and height the element gets; None to use the width and
        height of `picture`.
    """
    encoded = base64.b64encode(picture.data).decode()
    like = shape or picture
    return (
        f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(alt)}" '
        f'width="{like.width}" height="{like.height}">'
    )


def explained(
    run: RunFiles, heat: Picture, original: Picture | None, file: str, answer: str
) -> list[str]:
    """Returns an `<img>` of the original image, if there is one, and one of the heat map."""
    # If the model sees a stretched picture, show it in the proportions of the original.
    stretched = (run.tree.get("image") or {}).get("resize", "stretch") == "stretch"
    alt = f"Heat map of {file}: where the model saw {answer}"
    shown = [image(original, file)] if original else []
    return [*shown, image(heat, alt, original if stretched else None)]


def _digits(files: Sequence[str]) -> list[Picture | None]:
    if not files:
        return []
    # Imported here because scikit-learn is slow to import and most reports show no digits.
    from tl_keras.modalities.image.drawn import digits

    images, _ = digits.render()
    matches = [re.fullmatch("digits/([0-9]{4})", file) for file in files]
    indices = [int(match[1]) if match else len(images) for match in matches]
    return [_jpeg(Image.fromarray(images[i])) if i < len(images) else None for i in indices]


def _shrunk_file(root: str | None, file: str) -> Picture | None:
    if not root or "\0" in file:
        return None
    try:
        path = (Path(root) / file).resolve()
        # Reports are shared: a file name or a link must not pull in files outside the data folder.
        return _shrunk(path) if path.is_relative_to(Path(root).resolve()) else None
    # Pillow may raise any exception on damaged files. A report does without such a thumbnail.
    except Exception:
        return None


def _shrunk(path: Path) -> Picture:
    with quiet_pillow(), Image.open(path, formats=FORMATS) as picture:
        if picture.width * picture.height > PICTURE:
            raise ValueError(f"{path}: {picture.size} is too large for a thumbnail")
        picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # Decodes JPEGs faster, at a reduced size.
        picture.load()
        # As the model sees the picture: transparency over white, 16 bits cut to the upper byte.
        shown = Image.fromarray(upright_rgb(picture))
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
        return _jpeg(shown)


def _jpeg(picture: Image.Image) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return Picture(buffer.getvalue(), *picture.size)


def prepared(settings: Mapping[str, Any]) -> str:
    """Describes the model's input in a few words, as in "input: uint8 RGB, 160 px, ...".

    Returns "" if the config does not have `image.size`.

    Args:
      settings: the section `image` of a config, as read from a file and not validated.
    """
    if not settings.get("size"):
        return ""
    how = f"{settings['size']} px, {settings.get('resize', 'stretch')}, bilinear"
    return f"input: uint8 RGB, {how}; normalisation is inside the model"


def more_detail(settings: Mapping[str, Any], examined: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns a change of the config by which the model sees more detail, and a reason.

    The change is a setting such as "image.size=224". Returns None if the images are hardly larger
    than what the model sees, or if their sizes are unknown.

    Args:
      settings: the section `image` of a config, as read from a file and not validated.
      examined: the result of `examine`.
    """
    sizes, size = examined.get("sizes") or {}, settings.get("size")
    medians = [(list(sizes.get(side) or []) + [None] * 3)[1] for side in ("width", "height")]
    if not is_number(size) or not all(map(is_number, medians)):
        return None
    # Twice the pixels take about twice the time. Backbones halve the sides five times.
    larger = 32 * round(size * 2**0.5 / 32)
    if min(medians) < larger:
        return None
    why = (
        f"The median size of the images is {number(medians[0])} × {number(medians[1])} pixels, but "
        f"the model sees {number(size)} × {number(size)}. At {larger} × {larger} it sees more "
        f"detail and takes about {(larger / size) ** 2:.1f} times as long."
    )
    return f"image.size={larger}", why


def on_device(device: OnFiles, right: str) -> str:
    """Returns sentences on the scores of the shipped file on the original image files.

    Args:
      device: the field `shipped.device` of result.json.
      right: the words about the accuracy that follow "the shipped file" in the first sentence, as
        in "is right on 90%, and "; "" if the accuracy was not measured.
    """
    return (
        "If export/device/predict.py decodes and resizes the original image files, the shipped "
        f"file {right}gives, for {percent(device.agreement)} of {count(device.n)} images, the same "
        f"answer as after preparation by the training code. {percent(device.identical)} of the "
        "images have exactly the same pixels after both preparations."
    )


def findings(examined: Mapping[str, Any]) -> dict[str, str]:
    """Returns `{title of a section: HTML}` about the sizes and the brightness of images.

    The HTML is "" if nothing was measured.

    Args:
      examined: the result of `examine`.
    """
    return {
        "Sizes": _sizes(examined.get("sizes") or {}),
        "Brightness and colour": _brightness(examined.get("brightness") or {}),
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
    columns = ["File", "Pixels", "Why"]
    return measured(sizes, named, columns, rows, "image with unusual size", (1,))


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
    columns = ["File", "Mean, 0 to 255", "Why"]
    unusual = "image with unusual brightness or colour"
    return measured(brightness, named, columns, rows, unusual, (1,))


def _range(values: Any) -> str:
    low, median, high = map(number, (list(values) + [None] * 3)[:3])
    return f"{median} (from {low} to {high})"
