"""The data set `glyphs` for pre-training: printed letters and symbols, made to look handwritten.

The set is endless. An image depends only on a seed and its index, and is rendered by TensorFlow ops
inside `Dataset.map`. Each epoch continues with the index at which the previous one stopped, so no
image is repeated.
"""

import functools

import tensorflow as tf

from tl_keras.modalities.image.drawn.glyph_masks import (
    BOX,
    CLASSES,
    REACH,
    SIDE,
    GlyphMasks,
    glyph_masks,
)

__all__ = ["CLASSES", "render"]

_GRIDS = (4, 6)  # px of a mask for one cell: glyphs look as if enlarged from 11 or 7 cells
_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601


def render(seed: int, indices: tf.Tensor, size: int = 64) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images `(batch, size, size, 3) uint8` RGB and labels, indices into `CLASSES`.

    An image depends only on `seed` and its index, not on the rest of its batch.

    Args:
      indices: index of each image in the endless set, `(batch,) int64`, each 0 or more.
      size: px, height = width.
    """
    # On the CPU, as in `Dataset.map`, because a GPU rounds differently.
    with tf.device("/CPU:0"):
        # Each aspect of an image has its own key, so that an additional random number in one aspect
        # does not change the others.
        keys = [_fold(_image_keys(seed, indices), aspect) for aspect in range(7)]
        tables = _tables()
        labels, masks = _choose(keys[0], tables)
        coverage = _place(keys[2], _pen(keys[1], masks, tables), size)
        ground, ink, contrast = _tones(keys[3])
        canvas = _clutter(keys[4], ground, contrast, tables, size)
        canvas = _paint(canvas, coverage, _colour(keys[5], ink))
        canvas = tf.clip_by_value(_add_noise(keys[6], canvas), 0.0, 1.0)
        # Channels move last only here, since an innermost axis of 3 slows down every op.
        images = tf.transpose(tf.round(canvas * 255.0), [0, 2, 3, 1])
        return tf.cast(images, tf.uint8), tf.cast(labels, tf.int64)


@functools.cache
def _tables() -> GlyphMasks:
    # The tensors are created outside any graph, so that graphs refer to these 7 MB instead of
    # copying them. They are on the CPU, where tf.data runs, even if there is a GPU.
    masks = glyph_masks()
    with tf.init_scope(), tf.device("/CPU:0"):
        return GlyphMasks(
            distances=tf.constant(masks.distances),
            half_strokes=tf.constant(masks.half_strokes),
            first=tf.constant(masks.first),
            count=tf.constant(masks.count),
        )


# Random numbers are hashes of a counter. TensorFlow's stateless ops take one seed for a whole call,
# so a number would depend on the position in the batch.


def _mix(x: tf.Tensor) -> tf.Tensor:
    # "lowbias32", https://nullprogram.com/blog/2018/07/31/
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, 16)) * 0x7FEB352D
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, 15)) * 0x846CA68B
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, 16))


def _fold(key: tf.Tensor, number: int) -> tf.Tensor:
    return _mix(key + tf.constant((number * 0x9E3779B9 + 1) % 2**32, tf.uint32))


def _image_keys(seed: int, indices: tf.Tensor) -> tf.Tensor:
    # (batch,) uint32, from both 32-bit halves of an index.
    indices = tf.cast(indices, tf.int64)
    low = tf.cast(tf.bitwise.bitwise_and(indices, 0xFFFFFFFF), tf.uint32)
    high = tf.cast(tf.bitwise.right_shift(indices, 32), tf.uint32)
    seed_key = _mix(tf.cast(tf.cast(seed, tf.int64) & 0xFFFFFFFF, tf.uint32) + 0x632BE5AB)
    return _mix(low ^ _mix(high ^ seed_key))


def _uniform(key: tf.Tensor, *ranges: tuple[float, float]) -> list[tf.Tensor]:
    # For each range, uniform numbers (batch, 1, 1, 1) float32 in low..high.
    values = []
    for number, (low, high) in enumerate(ranges):
        bits = tf.bitwise.right_shift(_fold(key, number), 8)  # A float32 holds 24 bits.
        unit = tf.cast(bits, tf.float32)[:, None, None, None] * 2.0**-24
        values.append(low + (high - low) * unit)
    return values


def _choose(key: tf.Tensor, tables: GlyphMasks) -> tuple[tf.Tensor, tf.Tensor]:
    # Labels and masks, (batch,) int32 each. All classes are equally likely, and so are all masks of
    # a class.
    which_class, which_mask = (u[:, 0, 0, 0] for u in _uniform(key, (0.0, 1.0), (0.0, 1.0)))
    labels = tf.cast(which_class * len(CLASSES), tf.int32)
    labels = tf.minimum(labels, len(CLASSES) - 1)
    count = tf.gather(tables.count, labels)
    offset = tf.cast(which_mask * tf.cast(count, tf.float32), tf.int32)
    return labels, tf.gather(tables.first, labels) + tf.minimum(offset, count - 1)


def _pen(key: tf.Tensor, masks: tf.Tensor, tables: GlyphMasks) -> tf.Tensor:
    # The glyph as drawn by a random pen, from hairline to marker, from crisp to 7 cells high.
    half_stroke = tf.gather(tables.half_strokes, masks)[:, None, None, None]
    wanted, ramp, gain, grid = _uniform(key, (0.03, 0.13), (1.0, 6.0), (1.0, 1.6), (0.0, 1.0))
    # At most 4 px bolder, or the counters fill in; at most a third thinner, or hairlines vanish.
    bolder = tf.clip_by_value(wanted * BOX - half_stroke, -0.33 * half_stroke, 4.0)
    sharp = tf.clip_by_value((_distances(masks, tables) + bolder) / ramp + 0.5, 0.0, 1.0)
    coarse = [_through_grid(sharp, cell) for cell in _GRIDS]
    alpha = tf.where(grid < 0.35, sharp, tf.where(grid < 0.65, coarse[0], coarse[1]))
    return tf.clip_by_value(alpha * gain, 0.0, 1.0)


def _distances(masks: tf.Tensor, tables: GlyphMasks) -> tf.Tensor:
    # Distances (batch, SIDE, SIDE, 1) in px.
    fields = tf.cast(tf.gather(tables.distances, masks), tf.float32)
    return (fields * (2 * REACH / 255) - REACH)[..., None]


def _through_grid(alpha: tf.Tensor, cell: int) -> tf.Tensor:
    small = tf.nn.avg_pool2d(alpha, cell, cell, "VALID")
    return tf.image.resize(small, (SIDE, SIDE), "bicubic")


def _place(key: tf.Tensor, alpha: tf.Tensor, size: int) -> tf.Tensor:
    # The coverage of each pixel by the glyph, (batch, 1, size, size) in 0..1.
    x, y = _grid(size)
    height, left, top = _uniform(_fold(key, 0), (20 / 64, 56 / 64), (-1.0, 1.0), (-1.0, 1.0))
    room = 0.5 - 0.48 * height
    off_x, off_y = x - room * left, y - room * top
    wave_x, wave_y = _waves(_fold(key, 1), x, y), _waves(_fold(key, 2), x, y)
    off_x, off_y = off_x + height * wave_x, off_y + height * wave_y
    # tan(angle / 2) for angles within 25 degrees. It gives cosine and sine without tf.sin, whose
    # last bit depends on an element's position in the batch.
    half, shear, stretch, tilt_x, tilt_y = _uniform(
        _fold(key, 3), (-0.2217, 0.2217), (-0.3, 0.3), (0.8, 1.25), (-0.25, 0.25), (-0.25, 0.25)
    )
    cosine, sine = (1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)
    depth = 1.0 + tilt_x * off_x + tilt_y * off_y
    across = stretch * (cosine * off_x + sine * off_y) / depth
    down = (cosine * off_y - sine * off_x) / depth
    middle = (SIDE - 1) / 2
    scale = BOX / height
    return _sample(alpha, scale * down + middle, scale * (across + shear * down) + middle)


def _grid(size: int) -> tuple[tf.Tensor, tf.Tensor]:
    # Coordinates of pixel centres; the frame is -0.5..0.5.
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size - 0.5
    return centres[None, None, None, :], centres[None, None, :, None]


def _waves(key: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    # Imitates a trembling hand: a shift, as a share of the glyph's height, that is smooth in x and
    # y.
    phases = ((0.0, 1.0),) * 3
    frequencies = ((0.5, 2.0),) * 3
    p, q, r, f, g, h, a, b = _uniform(key, *phases, *frequencies, (0.0, 0.06), (0.0, 0.06))
    return a * _wave(f * x + p) * _wave(g * y + q) + b * _wave(h * (x + y) + r)


def _wave(turns: tf.Tensor) -> tf.Tensor:
    # Parabolas instead of a sine: they are cheaper, and equal at every position in a batch.
    turn = turns - tf.floor(turns) - 0.5
    return 8.0 * turn * (1.0 - 2.0 * tf.abs(turn))


def _sample(alpha: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    # Bilinear sampling, (batch, 1, height, width). Coordinates outside a mask read its blank
    # border.
    row = tf.clip_by_value(row, 0.0, SIDE - 1.001)
    column = tf.clip_by_value(column, 0.0, SIDE - 1.001)
    top, left = tf.floor(row), tf.floor(column)
    down, right = row - top, column - left
    # The four neighbours are stored side by side, so that each pixel costs one look-up, not four.
    first = alpha[:, :-1, :-1], alpha[:, :-1, 1:], alpha[:, 1:, :-1], alpha[:, 1:, 1:]
    quads = tf.reshape(tf.concat(first, axis=-1), [-1, (SIDE - 1) ** 2, 4])
    index = tf.cast(top * (SIDE - 1) + left, tf.int32)
    corners = tf.gather(quads, index[:, 0], batch_dims=1)[:, None]
    a, b, c, d = tf.unstack(corners, axis=-1)
    above, below = a + right * (b - a), c + right * (d - c)
    return above + down * (below - above)


def _tones(key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    # Luminances of ground and ink, and their contrast. Either of the two may be the lighter one.
    dark, contrast, polarity = _uniform(key, (0.03, 0.38), (0.35, 0.6), (-1.0, 1.0))
    light = dark + contrast
    swap = polarity < 0.0
    return tf.where(swap, light, dark), tf.where(swap, dark, light), contrast


def _colour(key: tf.Tensor, luminance: tf.Tensor) -> tf.Tensor:
    # A random colour with exactly this luminance, (batch, 3, 1, 1). The saturation is limited so
    # that no channel leaves 0..1.
    red, blue = _uniform(key, (-1.0, 1.0), (-1.0, 1.0))
    green = -(red * _LUMINANCE[0] + blue * _LUMINANCE[2]) / _LUMINANCE[1]
    room = tf.minimum(luminance, 1.0 - luminance)
    return luminance + room * tf.concat([red, green, blue], axis=1)


def _near(key: tf.Tensor, ground: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    # A colour whose luminance is at most 0.45 of the contrast away from the ground's.
    (offset,) = _uniform(_fold(key, 0), (-0.45, 0.45))
    return _colour(_fold(key, 1), tf.clip_by_value(ground + offset * contrast, 0.02, 0.98))


def _paint(canvas: tf.Tensor, coverage: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    return canvas + coverage * (colour - canvas)


def _clutter(
    key: tf.Tensor, ground: tf.Tensor, contrast: tf.Tensor, tables: GlyphMasks, size: int
) -> tf.Tensor:
    # A gradient, four shapes and pieces of two other glyphs, (batch, 3, size, size). Each is
    # painted over the previous ones, never added to them, so that the ink keeps half of its
    # contrast.
    x, y = _grid(size)
    slope_x, slope_y = _uniform(_fold(key, 0), (-1.0, 1.0), (-1.0, 1.0))
    ramp = tf.clip_by_value(slope_x * x + slope_y * y + 0.5, 0.0, 1.0)
    start, end = (_near(_fold(key, number), ground, contrast) for number in (1, 2))
    canvas = _paint(start, ramp, end)
    layers = [_corner(_fold(key, 3), x, y, size), _capsule(_fold(key, 4), x, y, 0.25, size)]
    layers += [_fragment(_fold(key, number), tables, size) for number in (5, 6)]
    layers += [_capsule(_fold(key, number), x, y, 0.03, size) for number in (7, 8)]
    for number, coverage in enumerate(layers):
        layer_key = _fold(key, 20 + number)
        # Left out in three of ten images, so that the amount of clutter differs from image to
        # image.
        presence, opacity = _uniform(_fold(layer_key, 0), (0.0, 1.0), (0.3, 1.0))
        opacity = tf.where(presence < 0.7, opacity, 0.0)
        colour = _near(_fold(layer_key, 1), ground, contrast)
        canvas = _paint(canvas, coverage * opacity, colour)
    return canvas


def _corner(key: tf.Tensor, x: tf.Tensor, y: tf.Tensor, size: int) -> tf.Tensor:
    # The intersection of two half-planes.
    inside = 1.0
    for number in range(2):
        limits = (-1.0, 1.0), (-1.0, 1.0), (-0.15, 0.3)
        slope_x, slope_y, reach = _uniform(_fold(key, number), *limits)
        inside = tf.minimum(inside, slope_x * x + slope_y * y + reach)
    return tf.clip_by_value(inside * size + 0.5, 0.0, 1.0)


def _capsule(key: tf.Tensor, x: tf.Tensor, y: tf.Tensor, width: float, size: int) -> tf.Tensor:
    # The stroke of a round brush of at most this half width: a line, a blob, or its outline.
    ends = _uniform(_fold(key, 0), *((-0.6, 0.6),) * 4)
    radius, outline, soft = _uniform(_fold(key, 1), (0.006, width), (0.0, 1.0), (0.3, 1.0))
    x0, y0, x1, y1 = ends
    dx, dy = x1 - x0, y1 - y0
    off_x, off_y = x - x0, y - y0
    along = (off_x * dx + off_y * dy) / (dx * dx + dy * dy + 1e-6)
    along = tf.clip_by_value(along, 0.0, 1.0)
    off_x, off_y = off_x - along * dx, off_y - along * dy
    inside = radius - tf.sqrt(off_x * off_x + off_y * off_y)
    inside = tf.where(outline < 0.25, 0.015 - tf.abs(inside), inside)
    return tf.clip_by_value(inside * soft * size + 0.5, 0.0, 1.0)


def _fragment(key: tf.Tensor, tables: GlyphMasks, size: int) -> tf.Tensor:
    # Part of a random glyph, upright, mirrored or turned. It is faint, since it is not the label.
    _, masks = _choose(_fold(key, 0), tables)
    ink = tf.clip_by_value(_distances(masks, tables) * 0.5 + 0.5, 0.0, 1.0)
    a, b, c, d = (u[:, 0, 0, 0] for u in _uniform(_fold(key, 1), *((-1.2, 1.2),) * 4))
    left, top = (u[:, 0, 0, 0] for u in _uniform(_fold(key, 2), *((-0.6, 0.6),) * 2))
    zoom = SIDE / size
    shift_x = SIDE / 2 - zoom * size * (a * (left + 0.5) + b * (top + 0.5))
    shift_y = SIDE / 2 - zoom * size * (c * (left + 0.5) + d * (top + 0.5))
    blank = tf.zeros_like(a)
    rows = [a * zoom, b * zoom, shift_x, c * zoom, d * zoom, shift_y, blank, blank]
    placed = tf.raw_ops.ImageProjectiveTransformV3(
        images=ink,
        transforms=tf.stack(rows, axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return 0.7 * tf.reshape(placed, [-1, 1, size, size])


def _add_noise(key: tf.Tensor, canvas: tf.Tensor) -> tf.Tensor:
    size = canvas.shape[-1]
    (strength,) = _uniform(_fold(key, 0), (0.03, 0.15))
    counter = tf.cast(tf.range(size * size), tf.uint32) * tf.constant(0x9E3779B9, tf.uint32)
    bits = _mix(_fold(key, 1)[:, None] + counter)
    # One hash serves the three channels of a pixel; each channel takes one of its four bytes.
    noise = tf.cast(tf.bitcast(bits, tf.uint8)[..., :3], tf.float32) * (1 / 255) - 0.5
    planes = tf.reshape(tf.transpose(noise, [0, 2, 1]), [-1, 3, size, size])
    return canvas + planes * strength
