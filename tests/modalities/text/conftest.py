"""The folder for a device, of a small text model."""

import shutil
from pathlib import Path

import pytest
import text_devices

from tl_keras.export.description import Examples
from tl_keras.modalities.text import bundle
from tl_keras.modalities.text.config import TextConfig


@pytest.fixture(scope="session")
def text_device(tmp_path_factory) -> tuple[Path, Examples, dict]:
    """The folder for a device with the model file in it, examples, and the result of `spec_of`."""
    folder = tmp_path_factory.mktemp("text")
    settings = TextConfig(length=32, vocabulary="english")
    text_devices.model_file(folder / "model.tflite", 30522)
    examples = text_devices.examples_of(settings, folder / "texts")
    spec = bundle.spec_of(settings, text_devices.CLASSES, "float32", 0.25)
    bundle.write(
        folder / "device", folder / "model.tflite", spec, text_devices.ABOUT, examples, "- 1 ms"
    )
    shutil.copy(folder / "model.tflite", folder / "device")
    return folder / "device", examples, spec
