import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import crafted
import hostile
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tl_keras.config.text import from_tree
from tl_keras.data.batching.inputs import prepared_split
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.paths import printable
from tl_keras.modalities.image.prepare import Kind, decode, prepare

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such names and files")

# Lists and checks a folder, and prints the result for each file. Warnings are errors.
AUDIT = """
import json, resource, sys, warnings
from pathlib import Path
from tl_keras.config.whole import RunConfig
from tl_keras.data import check_files as audit
from tl_keras.data.sources import folders as sources
from tl_keras.modalities.image.config import ImageConfig

warnings.simplefilter("error")
root, memory = sys.argv[1:]
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
listing = sources.list_folder(RunConfig(data={"path": root}))
files = [listed.file for listed in listing.files]
checked = audit.check_all(listing.root, files, ImageConfig(), Path(memory))
print(json.dumps({
    "reasons": [(file, one.reason) for file, one in checked.items()]
    + [(entry.file, entry.reason) for entry in listing.quarantined],
    "warnings": listing.warnings,
    "grown": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start,
}))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder, and the expected result for each file."""
    root = tmp_path_factory.mktemp("hostile") / "root"
    expected = hostile.build(root)
    assert len(expected) >= 300
    return root, expected


def test_each_file_is_used_or_listed_with_the_right_reason(corpus, tmp_path):
    root, expected = corpus
    command = [sys.executable, "-c", AUDIT, str(root), str(tmp_path / "memory")]
    # Takes 2 s. Opening a pipe would never end, and decoding a bomb would take gigabytes.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    reasons = dict(said["reasons"])
    assert len(reasons) == len(said["reasons"]), "a file stands there twice"
    assert reasons.keys() == {file for file, want in expected.items() if want is not None}
    wrong = {
        file: (reason or "used", expected[file])
        for file, reason in reasons.items()
        if not re.match(expected[file], reason)
    }
    assert wrong == {} and said["warnings"] == []
    assert max(map(len, reasons.values())) <= 200
    assert said["grown"] < 300 * (1024 if sys.platform == "linux" else 1024**2)  # 300 MB


def test_every_file_in_the_folder_is_listed(corpus):
    # The other tests rely on the table, so it must name each file that was written.
    root, expected = corpus
    found = set()
    for path, folders, files in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        found |= {Path(path, name).relative_to(root).as_posix() for name in files + links}
    assert {printable(name) for name in found} == set(expected)


@pytest.fixture(scope="module")
def loaded(corpus, tmp_path_factory):
    """The data set, and its config."""
    data = {"path": str(corpus[0]), "max_bad_share": 1.0}
    cache = {"path": str(tmp_path_factory.mktemp("cache"))}
    config = from_tree({"data": data, "image": {"size": 32}, "cache": cache})
    return load(config), config


def reference(path: Path) -> tuple[np.ndarray, int]:
    """Returns the image by Pillow, `(height, width, 3) uint8`, and the tolerance, 1 or 0 levels."""
    with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
        image.load()
        try:
            turn = image.getexif().get(crafted.ORIENTATION)
        except Exception:  # The EXIF is broken.
            turn = None
        if image.mode.startswith("I"):
            return np.repeat(np.uint8(np.asarray(image) >> 8)[..., None], 3, -1), 0
        pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    pixels = crafted.UPRIGHT.get(turn, lambda x: x)(pixels)
    if pixels.shape[2] == 3:
        return pixels, 0
    share = pixels[..., 3:] / 255
    return np.uint8(np.round(share * pixels[..., :3] + (1 - share) * 255)), 1


def test_decoded_images_have_the_pixels_of_pillow(corpus, loaded):
    dataset, config = loaded
    compared = 0
    for split in SPLITS:
        images = prepared_split(dataset, split, config).array
        for example, image in zip(dataset.splits[split], images, strict=True):
            path = dataset.root / example.file
            expected, tolerance = reference(path)
            with tf.device("/CPU:0"):  # As inside tf.data.
                pixels = decode(tf.constant(str(path)), Kind(example.checked.decoder)).numpy()
                resized = prepare(tf.constant(expected), config.image).numpy()
            # Pillow blends alpha with white in integers.
            for found, wanted in ((pixels, expected), (image, resized)):
                away = np.abs(found.astype(int) - wanted).max()
                assert found.shape == wanted.shape and away <= tolerance, (example.file, away)
            compared += 1
    assert compared > 250


def test_the_data_set_has_all_files_that_pass_the_check(corpus, loaded):
    _, expected = corpus
    dataset = loaded[0]
    used = {example.file for split in SPLITS for example in dataset.splits[split]}
    listed = {entry.file for entry in dataset.quarantined}
    assert not used & listed
    assert used | listed == {file for file, want in expected.items() if want is not None}
    assert {file for file, want in expected.items() if want == hostile.USED} <= used
    for file, want in expected.items():
        assert file not in used or re.match(want, ""), file


def test_every_decoder_is_covered(loaded):
    decoders = {example.checked.decoder for split in SPLITS for example in loaded[0].splits[split]}
    assert decoders == {"jpeg", "png", "pillow"}


def test_a_second_check_gives_the_same_results(corpus, loaded):
    dataset, config = loaded
    again = load(config)
    assert again.fingerprint == dataset.fingerprint and again.quarantined == dataset.quarantined
