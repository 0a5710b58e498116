import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tl_keras.modalities.image.drawn import digits

# Rec. 601, as in the module.
LUMINANCE = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def rendered():
    return digits.render()


def test_images_never_change(rendered):
    # Published scores refer to these images. If this fails, the code is wrong, not the checksum.
    images, labels = rendered
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "76dae1ca761b64c2ed17ec6a3497aa8b5550f90845d1a68c6db1da04b2ced81b"
    )
    assert images.shape == (1797, 64, 64, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int64


def test_labels_equal_scikit_learn(rendered):
    np.testing.assert_array_equal(rendered[1], load_digits().target)
    assert digits.CLASSES == tuple(str(digit) for digit in range(10))


def test_images_depend_on_the_seed():
    first, _ = digits.render(seed=1, size=16)
    again, _ = digits.render(seed=1, size=16)
    other, _ = digits.render(seed=2, size=16)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=(1, 2, 3)).all()


def test_global_random_state_is_not_changed():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    digits.render(size=8)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_enlargement_agrees_with_pillow():
    bitmap = load_digits().images[0]
    padded = Image.fromarray(np.pad(bitmap / 16, 2).astype(np.float32))
    expected = np.asarray(padded.resize((96, 96), Image.Resampling.BICUBIC))
    # Pillow's weights differ at the border; elsewhere, both round to float32.
    inside = slice(12, -12)
    enlarged = digits._enlarge(bitmap[None])[0]
    np.testing.assert_allclose(enlarged[inside, inside], expected[inside, inside], atol=1e-5)


def test_digit_stands_out_and_stays_inside():
    # The digit without clutter covers some pixels and leaves most of the border blank.
    random = np.random.RandomState(0)
    x, y = digits._grid(64)
    coverage = digits._digit(random, digits._enlarge(load_digits().images), x, y)[:, 0]
    assert (coverage.max(axis=(1, 2)) > 0.9).all()
    border = np.concatenate([coverage[:, 0], coverage[:, -1], coverage[:, :, 0]], axis=1)
    assert border.mean() < 0.01


def test_colours_have_the_luminance_asked_for():
    random = np.random.RandomState(0)
    wanted = np.linspace(0.0, 1.0, 200, dtype=np.float32).reshape(-1, 1, 1, 1)
    colours = digits._colour(random, wanted)[:, :, 0, 0]
    np.testing.assert_allclose(colours @ LUMINANCE, wanted.ravel(), atol=1e-6)  # float32
    assert colours.min() >= 0.0 and colours.max() <= 1.0


def test_imports_no_tensorflow():
    code = (
        "import sys, tl_keras.modalities.image.drawn.digits; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
