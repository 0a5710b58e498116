"""The device folder: its code prepares the same pixels as training, in each language."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

import hostile
import numpy as np
import pytest
import tensorflow as tf

from tl_keras.data import check_files
from tl_keras.modalities.image import bundle
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import quiet_pillow
from tl_keras.modalities.image.device import predict
from tl_keras.modalities.image.prepare import Kind, decode, prepare

SIZES = ((256, 256), (375, 500), (20, 31), (1, 70), (97, 96))
HOW = [(fit, antialias) for fit in ("stretch", "crop", "pad") for antialias in (False, True)]
CPP = """
#include <cstdio>
#include <cstdlib>
#include "prepare.h"
int main(int, char** given) {
  const int height = atoi(given[1]), width = atoi(given[2]);
  std::vector<uint8_t> rgb(static_cast<size_t>(height) * width * 3);
  if (fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) return 2;
  const std::vector<uint8_t> found = Prepare(rgb.data(), height, width, width * 3);
  fwrite(found.data(), 1, found.size(), stdout);
}
"""
KOTLIN = """
fun main(given: Array<String>) {
    System.out.write(prepare(System.`in`.readBytes(), given[0].toInt(), given[1].toInt()))
    System.out.flush()
}
"""


def config(fit: str, antialias: bool, size: int = 32) -> ImageConfig:
    return ImageConfig(resize=fit, antialias=antialias, size=size)


def spec(fit: str, antialias: bool) -> dict:
    return bundle.spec_of(config(fit, antialias), ["a", 'b "c"'], "int8", 0.25)


def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


@pytest.mark.parametrize(("fit", "antialias"), HOW)
@pytest.mark.parametrize("size", [32, 96])
def test_python_resizes_as_training_does(fit, antialias, size):
    for image in pictures():
        expected = prepare(tf.constant(image), config(fit, antialias, size)).numpy()
        actual = predict.prepare(image, {**spec(fit, antialias), "image_size": size})
        # TensorFlow sums a triangle's weights in another order, so a value near .5 may round
        # the other way.
        assert np.abs(actual.astype(int) - expected).max() <= int(antialias)
        assert (actual != expected).mean() < 0.02


def test_python_decodes_as_training_does(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (40, 60, 3), np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    alpha = generator.integers(0, 256, (40, 60, 4), np.uint8)
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    Image.fromarray(alpha[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(generator.integers(0, 65536, (40, 60)).astype(np.uint16)).save(
        tmp_path / "deep.png"
    )
    picture.convert("P").save(tmp_path / "palette.gif")
    for file in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(predict.decode(file), trained_on(file), str(file))


def trained_on(file: Path) -> np.ndarray | None:
    """Returns the pixels that training gets from a file; None if the audit rejects the file."""
    # Tests turn warnings on broken EXIF into errors, which would reject the file.
    with quiet_pillow():
        checked = check_files.check(file, ImageConfig())
    if checked.reason:
        return None
    return decode(tf.constant(str(file)), Kind(checked.decoder)).numpy()


@pytest.mark.parametrize("theme", ["exif", "jpeg_modes", "png_modes", "other_modes", "tiny"])
def test_python_decodes_every_file_that_training_decodes(theme, tmp_path):
    decoded, file = 0, tmp_path / "file"
    for name, content, _ in getattr(hostile, theme)():
        file.write_bytes(content)
        expected = trained_on(file)
        if expected is None:  # Quarantined, so a device need not read it.
            continue
        with quiet_pillow():
            actual = predict.decode(file)
        np.testing.assert_array_equal(actual, expected, name)
        decoded += 1
    assert decoded > 3


def filled(folder: Path, name: str, fit: str, antialias: bool) -> None:
    text = Template((bundle.FOLDER / name).read_text(encoding="utf-8"))
    (folder / name).write_text(text.safe_substitute(bundle.words(spec(fit, antialias))))


def check_program(command: list[str], fit: str, antialias: bool) -> None:
    """Fails unless a program (arguments: height, width; input: pixels) prepares as Python does."""
    for image in pictures():
        line = [*command, *map(str, image.shape[:2])]
        done = subprocess.run(line, input=image.tobytes(), stdout=subprocess.PIPE, check=True)
        actual = np.frombuffer(done.stdout, np.uint8).reshape(32, 32, 3)
        expected = predict.prepare(image, spec(fit, antialias))
        assert np.abs(actual.astype(int) - expected).max() <= int(antialias)
        assert (actual != expected).mean() < 0.02


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler on this machine")
@pytest.mark.parametrize(("fit", "antialias"), HOW)
def test_cpp_resizes_as_training_does(fit, antialias, tmp_path):
    filled(tmp_path, "prepare.h", fit, antialias)
    (tmp_path / "main.cc").write_text(CPP)
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run(["g++", *flags, "main.cc", "-o", "main"], cwd=tmp_path, check=True)
    check_program([str(tmp_path / "main")], fit, antialias)


@pytest.mark.skipif(not shutil.which("kotlinc"), reason="no Kotlin compiler on this machine")
@pytest.mark.parametrize(("fit", "antialias"), HOW)
def test_kotlin_resizes_as_training_does(fit, antialias, tmp_path):
    filled(tmp_path, "Prepare.kt", fit, antialias)
    (tmp_path / "main.kt").write_text(KOTLIN)
    line = ["kotlinc", "Prepare.kt", "main.kt", "-include-runtime", "-d", "main.jar"]
    subprocess.run(line, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    check_program(["java", "-jar", str(tmp_path / "main.jar")], fit, antialias)


def test_quotes_in_class_names_are_escaped(tmp_path):
    filled(tmp_path, "classify.cc", "stretch", False)
    assert r'    "b \"c\"",' in (tmp_path / "classify.cc").read_text()


def test_readme_says_how_to_read_the_integers_of_int8():
    sentence = "A probability is never 1, and the probabilities sum to 1 only approximately."
    for name in ("int8", "float32"):
        values = bundle.words({**spec("stretch", False), "format": name})
        assert (sentence in values["scale_words"]) == (name == "int8")


@pytest.fixture(scope="module")
def device(finished_run) -> Path:
    return finished_run.workdir / "export" / "device"


def test_all_placeholders_are_filled(device):
    for file in device.iterdir():
        if file.suffix in (".md", ".cc", ".h", ".kt"):
            assert "$" not in file.read_text(encoding="utf-8"), file


def test_golden_images_have_answers_and_files(device):
    golden = json.loads((device / "golden" / "golden.json").read_text(encoding="utf-8"))
    assert 3 <= len(golden["images"]) <= 10
    for image in golden["images"]:
        assert (device / "golden" / image["file"]).is_file()
        assert sum(image["probabilities"]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda right: right, 0, "{all} of {all} answers checked, 0 differ"),
        (lambda right: {"0.png": right["0.png"]}, 0, "1 of {all} answers checked, 0 differ"),
        (
            lambda right: {**right, "1.png": [1 - p for p in right["1.png"]]},
            1,
            "1.png        DIFFERS",
        ),
        (lambda right: {**right, "1.png": [float("nan")] * 3}, 1, "1.png        DIFFERS"),
        (lambda right: {"0.jpg": right["0.png"]}, 2, "unknown image '0.jpg'; golden/ has 0.png"),
        (lambda right: {"0.png": [0.5, 0.5]}, 2, "0.png: expected a list of 3 probabilities"),
        (lambda right: {"0.png": {"a": 1}}, 2, 'expected JSON as in {"0.png": [0.9, 0.1]}'),
        (lambda right: 3, 2, 'expected JSON as in {"0.png": [0.9, 0.1]}'),
        (lambda right: {}, 2, "0 of {all} answers checked"),
    ],
)
def test_answers_are_checked(device, tmp_path, monkeypatch, capsys, change, status, message):
    golden = json.loads((device / "golden" / "golden.json").read_text(encoding="utf-8"))
    right = {e[k]: e["probabilities"] for e in golden["images"] for k in ("pixels", "file")}
    (tmp_path / "answers.json").write_text(json.dumps(change(right)))
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.json")])
    with pytest.raises(SystemExit) as ended, monkeypatch.context() as patched:
        patched.syspath_prepend(str(device))
        for name in ("predict", "check"):
            patched.delitem(sys.modules, name, raising=False)
        importlib.import_module("check").main()
    assert ended.value.code == status
    assert message.replace("{all}", str(len(right))) in "".join(capsys.readouterr())


def test_the_device_path_is_measured_on_the_files(finished_run):
    measured = finished_run.result["shipped"]["device"]
    assert measured["identical"] == 1 and measured["agreement"] == 1
    assert measured["n"] == finished_run.result["test"]["n"]
