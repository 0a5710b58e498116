"""Letters and symbols of matplotlib's fonts, as distance fields. Imports no TensorFlow.

Digits are left out, and so are characters that look like one (O, o, I, l, |, /, theta, infinity,
the Cyrillic Ze and Che), so that a model pre-trained on glyphs has seen no digits before it is
tested on them.
"""

import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

# Lower-case letters only if their shape differs from upper case, since all glyphs are scaled.
CHARACTERS = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ"
    "abdefghijmnqrty"
    "ΓΔΛΞΠΣΦΨΩαβγδεζηλμξπφψω"
    "БДЖИЦШЪЫЭЮЯ"
    "@#$%&?!+=<>~*{}[]±÷≠√∫§¶€£¥≈∈∀∂∇©→↓"
)
CLASSES = tuple(unicodedata.name(c).lower().replace(" ", "_") for c in CHARACTERS)

SIDE = 60  # px, height = width of a mask
BOX = 44  # px, the longer side of the ink; the margin leaves room for bolder strokes
REACH = 10.0  # px, larger distances are clipped

# Without cmsy10, cmex10, cmmi10 and STIXNonUni, whose code points are not those of Unicode.
_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)
_LETTER_FONTS = ("cmr10", "cmb10", "cmss10", "cmtt10")  # Only their ASCII letters follow Unicode.
_OVERSAMPLING = 2
_DRAW_SIZE = 150  # px


@dataclass(frozen=True)
class GlyphMasks:
    """Shapes of glyphs, sorted by class. Class c has `count[c]` masks, from index `first[c]` on."""

    distances: np.ndarray  # (masks, SIDE, SIDE) uint8: 0..255 is -REACH..REACH px, ink positive
    half_strokes: np.ndarray  # (masks,) float32, px: half the width of a typical stroke
    first: np.ndarray  # (classes,) int32
    count: np.ndarray  # (classes,) int32


@functools.cache
def glyph_masks() -> GlyphMasks:
    """Returns the shapes of all classes: for each character, one mask per font that has it.

    The masks are distance fields (Green 2007, "Improved Alpha-Tested Magnification"): a pixel holds
    its distance to the nearest edge of the glyph. Grey values would fix stroke weight and blur.
    Here, a threshold on the distance sets the weight of the strokes, and a ramp around the
    threshold sets the blur.
    """
    fonts = [_open(name) for name in _FONTS]
    letter_fonts = [_open(name) for name in _LETTER_FONTS]
    fields, counts = [], []
    for character in CHARACTERS:
        extra = letter_fonts if character.isascii() and character.isalpha() else []
        inks = [_ink(font, character) for font, codes in fonts + extra if ord(character) in codes]
        class_fields = [_distances(ink) for ink in inks if ink is not None]
        fields.extend(class_fields)
        counts.append(len(class_fields))
    count = np.array(counts, np.int32)
    stacked = np.stack(fields)
    return GlyphMasks(
        distances=np.round((np.clip(stacked / REACH, -1, 1) + 1) * 127.5).astype(np.uint8),
        # The distances of a stroke's pixels to its edge are spread evenly from 0 to half its width,
        # so twice their median is half the width.
        half_strokes=np.array([2 * np.median(f[f > 0]) for f in fields], np.float32),
        first=(np.cumsum(count) - count).astype(np.int32),
        count=count,
    )


def _open(name: str) -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    # The code points tell which characters exist; a missing one would be rendered as an empty box.
    codes = frozenset(FT2Font(str(path)).get_charmap())
    return ImageFont.truetype(str(path), _DRAW_SIZE), codes


def _ink(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    canvas = Image.new("L", (3 * _DRAW_SIZE, 3 * _DRAW_SIZE))
    ImageDraw.Draw(canvas).text((_DRAW_SIZE, _DRAW_SIZE // 2), character, fill=255, font=font)
    box = canvas.getbbox()
    return canvas.crop(box) if box else None


def _distances(ink: Image.Image) -> np.ndarray:
    # Distances (SIDE, SIDE) in px to the nearest edge, positive inside the centred ink.
    scale = BOX * _OVERSAMPLING / max(ink.size)
    width, height = (max(1, round(length * scale)) for length in ink.size)
    large = SIDE * _OVERSAMPLING
    canvas = Image.new("L", (large, large))
    canvas.paste(ink.resize((width, height)), ((large - width) // 2, (large - height) // 2))
    inked = np.asarray(canvas) >= 128
    field = distance_transform_edt(inked) - distance_transform_edt(~inked)
    shape = (SIDE, _OVERSAMPLING, SIDE, _OVERSAMPLING)
    return field.reshape(shape).mean(axis=(1, 3)) / _OVERSAMPLING
