import os
import warnings

import numpy as np
import pytest
import tensorflow as tf
from crafted import ORIENTATION, UPRIGHT
from PIL import Image

from tl_keras.data import check_files
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import read_rgb
from tl_keras.modalities.image.device.predict import to_rgb
from tl_keras.modalities.image.prepare import Kind, decode, kind_of, prepare


def picture(height=40, width=50, seed=0):
    """Returns soft coloured shapes with noise; wrong chroma upsampling would be visible on them."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / 5 + i) + 60 * np.cos(y / 7 - i) for i in range(3)]
    noise = np.random.default_rng(seed).normal(0, 10, (height, width, 3))
    return (np.stack(waves, -1) + noise).clip(0, 255).astype(np.uint8)


RGB = picture()
GREY = RGB[..., 0]
ALPHA = np.dstack([RGB, np.linspace(0, 255, GREY.size).reshape(GREY.shape).astype(np.uint8)])


@pytest.fixture(autouse=True)
def on_the_cpu():
    """Runs on the CPU, as tf.data does, because a GPU rounds differently."""
    with tf.device("/CPU:0"):
        yield


def save(path, image, format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, format, **options)
    return path


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def decoded(*paths, size=16, fraction=False):
    """Returns pixels from eager mode; checks that Dataset.map gives the same."""
    checked = [check_files.check(path, ImageConfig()) for path in paths]
    assert not any(file.reason for file in checked)
    names = tf.constant([str(path) for path in paths])
    kinds = [
        kind_of(file.decoder, min(file.width, file.height), size)
        if fraction
        else Kind(file.decoder)
        for file in checked
    ]
    eager = [decode(name, kind).numpy() for name, kind in zip(names, kinds, strict=True)]
    for name, kind, pixels in zip(paths, kinds, eager, strict=True):
        files = tf.data.Dataset.from_tensors(str(name))
        again = next(files.map(lambda p, k=kind: decode(p, k)).as_numpy_iterator())
        np.testing.assert_array_equal(again, pixels)
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
    return eager if len(eager) > 1 else eager[0]


# Decoding.


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_pillow_exactly(tmp_path, progressive):
    # No tolerance: both use libjpeg-turbo's accurate integer DCT, which is the same on every CPU.
    # TensorFlow's default is the fast DCT, which differs by up to 25 of 255 on photographs.
    shapes = [(40, 50), (33, 17), (8, 8), (1, 1), (7, 130)]
    paths = [
        save(
            *(tmp_path / f"{i}{subsampling[2:]}.jpg", picture(*shape), "JPEG"),
            **{"subsampling": subsampling, "progressive": progressive, "quality": 80},
        )
        for i, shape in enumerate(shapes)
        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
    ]
    for path, pixels in zip(paths, decoded(*paths), strict=True):
        assert check_files.check(path, ImageConfig()).decoder == "jpeg"
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(path)), path.name)


def test_grey_jpeg(tmp_path):
    path = save(tmp_path / "x.jpg", GREY, "JPEG")
    expected = np.repeat(np.asarray(Image.open(path))[..., None], 3, -1)
    np.testing.assert_array_equal(decoded(path), expected)


def test_cmyk_jpeg(tmp_path):
    path = save(tmp_path / "x.jpg", Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    pixels = decoded(path)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")))
    # The colours are not inverted; JPEG at quality 95 loses a few levels of 255.
    assert np.abs(pixels.astype(int) - RGB).mean() < 8


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_images_are_upright(tmp_path, format):
    options = {"WEBP": {"lossless": True}}.get(format, {})
    plain = save(tmp_path / "plain", RGB, format, **options)
    turned = [save(tmp_path / f"{i}", RGB, format, exif=exif(i), **options) for i in UPRIGHT]
    upright, *images = decoded(plain, *turned)
    for image, turn in zip(images, UPRIGHT.values(), strict=True):
        np.testing.assert_array_equal(image, turn(upright))


@pytest.mark.parametrize(
    "format, options", [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})], ids=str
)
def test_lossless_formats_give_the_pixels_that_were_saved(tmp_path, format, options):
    np.testing.assert_array_equal(decoded(save(tmp_path / "x", RGB, format, **options)), RGB)
    grey = decoded(save(tmp_path / "x", GREY, format, **options))
    np.testing.assert_array_equal(grey, np.repeat(GREY[..., None], 3, -1))


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP"])
def test_palettes(tmp_path, format):
    image = Image.fromarray(RGB).quantize(16)
    pixels = decoded(save(tmp_path / "x", image, format))
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_one_bit(tmp_path):
    expected = np.repeat(255 * (GREY > 99).astype(np.uint8)[..., None], 3, -1)
    np.testing.assert_array_equal(decoded(save(tmp_path / "x", GREY > 99, "PNG")), expected)


def test_sixteen_bits_become_the_upper_eight(tmp_path):
    values = np.array([[0, 1, 255, 256, 257], [4095, 32767, 32768, 65279, 65535]], np.uint16)
    path = save(tmp_path / "x", values, "PNG")
    expected = np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1)
    np.testing.assert_array_equal(decoded(path), expected)
    # A dark image is no exception: its neighbours in the data set are not brightened either.
    dark = np.array([[7, 255]], np.uint16)
    np.testing.assert_array_equal(decoded(save(path, dark, "PNG")), np.zeros((1, 2, 3)))
    # What TensorFlow makes of the same file.
    tensor = tf.io.decode_png(save(path, values, "PNG").read_bytes(), channels=3)
    np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize(
    "format, options", [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_alpha_lies_over_white(tmp_path, format, options):
    pixels = decoded(save(tmp_path / "x", ALPHA, format, **options))
    share = ALPHA[..., 3:] / 255
    # Pillow composites in integers, so it rounds by a little more than half a level.
    np.testing.assert_allclose(pixels, share * RGB + (1 - share) * 255, atol=1)
    assert (pixels[ALPHA[..., 3] == 0] == 255).all()


def test_grey_with_alpha_lies_over_white(tmp_path):
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA[..., 3])])
    pixels = decoded(save(tmp_path / "x", image, "PNG"))
    share = ALPHA[..., 3:] / 255
    expected = np.repeat(share * GREY[..., None] + (1 - share) * 255, 3, -1)
    np.testing.assert_allclose(pixels, expected, atol=1)  # Pillow's rounding, see above.


def test_transparent_colours_become_white(tmp_path):
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    white, red, blue, mixed = [255] * 3, [200, 0, 0], [0, 0, 200], [127, 127, 227]
    pixels = decoded(save(tmp_path / "x", palette, "PNG", transparency=b"\x00\xff\x80"))
    np.testing.assert_allclose(pixels, [[white, red], [mixed, red]], atol=1)
    pixels = decoded(save(tmp_path / "x", palette, "GIF", transparency=1))
    np.testing.assert_array_equal(pixels, [[[10, 20, 30], white], [blue, white]])
    colours = np.array([[red, blue]], np.uint8)
    pixels = decoded(save(tmp_path / "x", colours, "PNG", transparency=tuple(blue)))
    np.testing.assert_array_equal(pixels, [[red, white]])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(tmp_path, format):
    first, second = (Image.new("RGB", (20, 10), colour) for colour in ("red", "blue"))
    options = {"WEBP": {"lossless": True}}.get(format, {})
    animation = {"save_all": True, "append_images": [second], **options}
    pixels = decoded(save(tmp_path / "x", first, format, **animation))
    np.testing.assert_array_equal(pixels, np.asarray(first))


def test_suffixes_are_ignored(tmp_path):
    np.testing.assert_array_equal(decoded(save(tmp_path / "x.jpg", RGB, "PNG")), RGB)
    np.testing.assert_array_equal(decoded(save(tmp_path / "x.png", RGB, "BMP")), RGB)
    path = save(tmp_path / "x.bmp", RGB, "JPEG")
    np.testing.assert_array_equal(decoded(path), np.asarray(Image.open(path)))


def test_an_image_with_broken_exif_is_read(tmp_path):
    path = save(tmp_path / "x.jpg", RGB, "JPEG", exif=b"Exif\0\0garbage")
    np.testing.assert_array_equal(decoded(path), np.asarray(Image.open(path)))


def test_an_image_whose_exif_pillow_cannot_write_is_read(tmp_path):
    # Orientation 6, and a text tag of a wrong type.
    tags = b"\x02\0" + b"\x0e\x01\x05\0\x01\0\0\0\x26\0\0\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    odd = b"Exif\0\0II*\0\x08\0\0\0" + tags + 4 * b"\0" + 8 * b"\xff"
    turned = save(tmp_path / "turned.jpg", RGB, "JPEG", exif=odd)
    plain = save(tmp_path / "plain.jpg", RGB, "JPEG")
    np.testing.assert_array_equal(decoded(turned), np.rot90(decoded(plain), -1))


def test_images_over_pillows_own_limit_are_read(tmp_path, monkeypatch):
    path = save(tmp_path / "x.gif", Image.fromarray(RGB).quantize(16), "GIF")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_rgb(path).shape == RGB.shape


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_any_name_can_be_read(tmp_path):
    names = ["two words", 'it\'s "quoted"', "<script>alert(1)<", "line\nbreak", "Bär 熊 🐻"]
    names += ["100%[x]*?", "a,b;c|d\\e", "ram:", "-rf"]
    paths = []
    for name in names:
        (tmp_path / name).mkdir()
        for format in ("PNG", "BMP"):  # Read by TensorFlow, and by Pillow.
            paths.append(save(tmp_path / name / f"{name}.{format}", RGB, format))
    for pixels in decoded(*paths):
        np.testing.assert_array_equal(pixels, RGB)


@pytest.mark.parametrize(
    "size, expected",
    [
        (16, (32, 40)),
        (17, (64, 80)),
        (32, (64, 80)),
        (33, (128, 160)),
        (64, (128, 160)),
        (65, (256, 320)),
    ],
)
def test_fraction_leaves_at_least_twice_the_size(tmp_path, size, expected):
    path = save(tmp_path / "x.jpg", picture(256, 320), "JPEG")
    assert decoded(path, size=size, fraction=True).shape[:2] == expected
    assert decoded(path, size=size, fraction=False).shape[:2] == (256, 320)


def test_fraction_depends_on_the_shorter_side(tmp_path):
    path = save(tmp_path / "x.jpg", picture(64, 512), "JPEG")
    assert decoded(path, size=16, fraction=True).shape[:2] == (32, 256)


def test_fraction_shows_the_same_picture(tmp_path):
    smooth = np.asarray(
        Image.fromarray(picture(8, 10)).resize((320, 256), Image.Resampling.BICUBIC)
    )
    path = save(tmp_path / "x.jpg", smooth, "JPEG", quality=95)
    config = ImageConfig(size=16)
    part, whole = (
        prepare(decode(tf.constant(str(path)), Kind("jpeg", ratio)), config) for ratio in (8, 1)
    )
    # Decoding at a fraction averages 8 x 8 px, of which bilinear resizing reads only 2 x 2.
    assert np.abs(part.numpy().astype(int) - whole.numpy()).mean() < 3


def test_fraction_is_for_jpegs_only(tmp_path):
    image = picture(256, 320)
    for format in ("PNG", "BMP"):
        path = save(tmp_path / "x", image, format)
        assert decoded(path, size=16, fraction=True).shape == image.shape


def test_pillow_images_of_every_mode_become_rgb():
    for mode in (
        "1",
        "L",
        "LA",
        "P",
        "PA",
        "RGB",
        "RGBA",
        "RGBX",
        "CMYK",
        "YCbCr",
        "I;16",
    ):
        pixels = to_rgb(Image.new(mode, (3, 2)))
        assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8, mode


def test_photographs_equal_pillow_exactly(real_data):
    files = sorted((real_data / "ants_bees" / "train").rglob("*.jpg"))[::10]
    assert files
    for file, pixels in zip(files, decoded(*files), strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(file).convert("RGB")))


# Preparing.


def prepared(*images, **fields):
    """Returns prepared images; checks that Dataset.map, with an unknown size, gives the same."""
    config = ImageConfig(**fields)
    images = [np.asarray(image, np.uint8) for image in images]
    eager = [prepare(tf.constant(image), config).numpy() for image in images]
    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    unknown = tf.data.Dataset.from_generator(lambda: images, output_signature=spec)
    mapped = unknown.map(lambda x: prepare(x, config), 2)
    size = config.size
    assert mapped.element_spec == tf.TensorSpec((size, size, 3), tf.uint8)
    for image, again in zip(eager, mapped.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(again, image)
    return eager if len(eager) > 1 else eager[0]


def grey(rows):
    return np.repeat(np.asarray(rows)[..., None], 3, -1)


RESIZES = ("stretch", "crop", "pad")


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("antialias", [False, True])
def test_an_image_of_the_right_size_is_not_changed(resize, antialias):
    image = picture(32, 32)
    result = prepared(image, size=32, resize=resize, antialias=antialias)
    np.testing.assert_array_equal(result, image)


def test_stretch_halves_by_the_mean_of_four():
    image = picture(32, 32).astype(int)
    blocks = image.reshape(16, 2, 16, 2, 3).mean((1, 3))
    np.testing.assert_array_equal(prepared(image, size=16), np.round(blocks))


def test_stretch_equals_tf_image_resize():
    image = picture(50, 37)
    expected = tf.round(tf.image.resize(image, (24, 24)))
    np.testing.assert_array_equal(prepared(image, size=24), expected)


def test_stretch_does_not_keep_the_shape():
    left = np.zeros((16, 64), int)
    left[:, :32] = 255
    expected = np.zeros((16, 16), int)
    expected[:, :8] = 255
    np.testing.assert_array_equal(prepared(grey(left), size=16), grey(expected))


def test_antialias_reads_every_pixel_and_bilinear_only_two_of_four():
    # From 64 to 16 px, bilinear resizing reads only columns 1 and 2 of each four.
    row = np.tile([0, 100, 100, 0], 16)
    image = grey(np.tile(row, (64, 1)))
    assert (prepared(image, size=16) == 100).all()
    smoothed = prepared(image, size=16, antialias=True)[:, 1:-1]
    # The weights are a triangle over eight columns.
    assert (smoothed >= 45).all() and (smoothed <= 60).all()


@pytest.mark.parametrize("upright", [False, True])
def test_crop_keeps_the_middle_square(upright):
    image = grey(np.repeat([10, 100, 200], 16)[None].repeat(16, 0))  # Three squares in a row.
    image = image.transpose(1, 0, 2) if upright else image
    np.testing.assert_array_equal(
        prepared(image, size=16, resize="crop"), np.full((16, 16, 3), 100)
    )


@pytest.mark.parametrize("upright", [False, True])
def test_pad_keeps_the_shape_between_black_bars(upright):
    image = np.full((32, 64, 3), 200)
    expected = np.zeros((16, 16, 3))
    expected[4:12] = 200
    if upright:
        image, expected = image.transpose(1, 0, 2), expected.transpose(1, 0, 2)
    np.testing.assert_array_equal(prepared(image, size=16, resize="pad"), expected)


def test_pad_centres_the_image():
    image = prepared(np.full((97, 101, 3), 200), size=48, resize="pad")
    assert (image[1:47] == 200).all() and (image[[0, 47]] == 0).all()  # 46 rows.


def test_pad_of_photographs_equals_tensorflow():
    images = [picture(*shape) for shape in [(500, 375), (333, 500)]]
    expected = [tf.round(tf.image.resize_with_pad(image, 48, 48)) for image in images]
    np.testing.assert_array_equal(prepared(*images, size=48, resize="pad"), expected)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("antialias", [False, True])
def test_tiny_and_very_long_images(resize, antialias):
    images = [np.full((*shape, 3), 77) for shape in [(1, 1), (1, 3000), (3000, 1), (2, 3)]]
    for result in prepared(*images, size=16, resize=resize, antialias=antialias):
        assert set(np.unique(result)) <= ({0, 77} if resize == "pad" else {77})
        assert (result == 77).any()


def test_extremes_do_not_wrap_around():
    checks = grey(255 * (np.indices((37, 53)).sum(0) % 2))
    result = prepared(checks, size=64, antialias=True)
    assert result.max() > 200 and result.min() < 55
    assert (prepared(np.full((37, 53, 3), 255), size=64, antialias=True) == 255).all()
