"""Exported files work in programs other than this package."""

import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

import tl_keras
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import parity

LITERT = ["float32", "float16", "dynamic", "int8"]


@pytest.fixture(scope="module")
def device_python() -> str:
    """The Python of an environment without TensorFlow, see tests/device_requirements.txt."""
    if not os.environ.get("TL_KERAS_TEST_DEVICE_PYTHON"):
        pytest.skip("TL_KERAS_TEST_DEVICE_PYTHON is not set: no device environment to test in")
    return os.environ["TL_KERAS_TEST_DEVICE_PYTHON"]


def answers(*line: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONWARNINGS")}
    done = subprocess.run(line, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_device_scripts_run_without_tensorflow(device_python, finished_run, pictures):
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow') is not None)"
    answers(device_python, "-c", script)
    folder = finished_run.workdir / "export" / "device"
    files = sorted(str(file) for file in pictures.rglob("*.png"))[::10]
    said = answers(device_python, str(folder / "predict.py"), *files).splitlines()
    here = {row["file"]: row for row in tl_keras.predict(finished_run, files)}
    for row in map(json.loads, said):
        ours = list(here[row["file"]]["probabilities"].values())
        assert np.abs(np.array(list(row["probabilities"].values())) - ours).max() < 0.15
    checked = answers(device_python, str(folder / "check.py"))
    assert " DIFFERS " not in checked and checked.endswith(" checked, 0 differ\n")


MEDIAPIPE = """
import json, sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageClassifier.create_from_options(options) as classifier:
    for file in sys.argv[2:]:
        found = classifier.classify(mp.Image.create_from_file(file)).classifications[0]
        print(json.dumps({own.category_name: own.score for own in found.categories}))
"""


@pytest.mark.parametrize("name", LITERT)
def test_mediapipe_reads_labels_and_computes_equal_probabilities(device_python, finished_run, name):
    """The images have the model's size, so MediaPipe does not resize them."""
    script = "import importlib.util as u, sys; sys.exit(u.find_spec('mediapipe') is None)"
    if subprocess.run([device_python, "-c", script]).returncode:
        pytest.skip("mediapipe is not installed in the device environment")
    folder = finished_run.workdir / "export"
    files = [str(folder / "device" / "golden" / f"{i}.png") for i in range(3)]
    file = folder / f"model_{name}.tflite"
    runner = parity.load_litert(file)
    pixels = np.stack([np.asarray(Image.open(image)) for image in files])
    expected = runner(Inputs(np.zeros(3, int), pixels))["probabilities"]
    said = answers(device_python, "-c", MEDIAPIPE, str(file), *files).splitlines()
    for row, probabilities in zip(map(json.loads, said), expected, strict=True):
        scores = [row[label] for label in ("cross", "disc", "square")]
        np.testing.assert_allclose(scores, probabilities, atol=2e-3)
