"""The golden images: `check.py` finds planted faults, and accepts a device without faults."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from device_check import runner
from PIL import Image

from tl_keras.data import run_data
from tl_keras.data.batching.batches import examples_of
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import step
from tl_keras.export.description import Examples
from tl_keras.modalities.image import golden
from tl_keras.modalities.image.device import predict
from tl_keras.run import folder as runs


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory) -> Path:
    """A copy of the device folder that has the model file too."""
    folder = tmp_path_factory.mktemp("board") / "classifier"
    shutil.copytree(finished_run.workdir / "export" / "device", folder)
    shutil.copy(finished_run.workdir / "export" / "model.tflite", folder)
    return folder


@pytest.fixture(scope="module")
def examples(finished_run, tmp_path_factory) -> Examples:
    """The examples of the test split, with their original files."""
    workdir = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(finished_run.workdir, workdir)
    return step._examples(run_data.read(runs.load(workdir)), "test")


@pytest.fixture
def check(monkeypatch, capsys):
    """Runs `check.py` of a folder; returns its exit status and what it printed."""
    return runner(monkeypatch, capsys, ("predict", "check"))


def differs(said: str, name: str) -> bool:
    """Returns whether a line of `check.py` says that something with this name differs."""
    return re.search(rf"^{name} +DIFFERS", said, re.MULTILINE) is not None


def entries(folder: Path) -> list[dict]:
    return json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))["images"]


def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "board"))


def regolden(exported: Path, tmp_path: Path, examples: Examples) -> Path:
    """Returns a copy of the device folder with golden images of other examples."""
    folder = copied(exported, tmp_path)
    shutil.rmtree(folder / "golden")
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    file = folder / "model.tflite"
    golden.write(folder / "golden", file, spec, examples, "classification")
    return folder


def accept_any_file(folder: Path) -> None:
    """Changes the SHA-256 in `spec.json` to that of the model file, so that only answers differ."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    spec["model_sha256"] = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def test_a_device_without_faults_passes(exported, check):
    status, said = check(exported)
    total = 2 * len(entries(exported)) + 1
    all_agree = f"{total} of {total} files and answers checked, 0 differ"
    assert (status, all_agree in said) == (0, True), said
    assert "not checked" not in said and "cannot show" not in said
    assert re.search(r"median milliseconds: model [\d.e-]+ \(1 thread\), prepare [\d.e-]+ \(", said)


@pytest.mark.parametrize("name", ["float32", "dynamic", "int8"])
def test_a_device_with_other_kernels_passes(
    exported, finished_run, examples, check, tmp_path, name
):
    board = copied(exported, tmp_path)
    shutil.copy(finished_run.workdir / "export" / f"model_{name}.tflite", board / "model.tflite")
    folder = regolden(board, tmp_path / "again", examples)
    accept_any_file(folder)
    options = {"experimental_op_resolver_type": OpResolverType.BUILTIN_REF}

    def load(_):
        def slow(model, threads=1):
            interpreter = Interpreter(str(model), num_threads=threads, **options)
            interpreter.allocate_tensors()
            return interpreter

        return slow

    status, said = check(folder, load=load)
    assert status == 0, said
    assert check(folder, load=load, run=faulty(FAULTS["BGR"]))[0] == 1


FAULTS = {
    "BGR": lambda pixels: pixels[..., ::-1],
    "inverted": lambda pixels: 255 - pixels,
    "dark": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "shifted right": lambda pixels: np.roll(pixels, 3, axis=1),
    "shifted down": lambda pixels: np.roll(pixels, 3, axis=0),
}


def faulty(fault):
    """Returns a patch of `run` that changes the pixels before the model."""
    return lambda run: lambda model, pixels: run(model, np.ascontiguousarray(fault(pixels)))


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_pixels_are_found(exported, check, fault):
    status, said = check(exported, run=faulty(FAULTS[fault]))
    assert status == 1
    assert differs(said, r"\d\.png"), said


def test_the_model_of_another_run_is_found(exported, quick_run, check, tmp_path):
    folder = copied(exported, tmp_path)
    shutil.copy(quick_run.workdir / "export" / "model.tflite", folder)
    status, said = check(folder)
    assert status == 1 and differs(said, "model") and "is not the exported file" in said
    accept_any_file(folder)
    status, said = check(folder)
    assert status == 1 and differs(said, r"\d\.png"), said


def test_one_flipped_bit_in_the_weights_is_found(exported, check, tmp_path):
    folder = copied(exported, tmp_path)
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)
    status, said = check(folder)
    assert status == 1 and differs(said, "model") and "is not the exported file" in said


@pytest.mark.parametrize("name", ["spec.json", "golden/golden.json"])
def test_a_folder_that_was_copied_in_part_is_found(exported, tmp_path, name):
    folder = copied(exported, tmp_path)
    (folder / name).write_text("{")
    command = [sys.executable, str(folder / "check.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{name} is missing or damaged; copy the whole folder" in said


def test_a_model_file_cut_short_is_found(exported, check, tmp_path):
    folder = copied(exported, tmp_path)
    content = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").write_bytes(content[:1000])
    status, said = check(folder)
    assert status == 1 and "cannot classify the images in golden/" in said


def test_a_named_model_is_timed_and_compared(exported, finished_run, check):
    for name in ("dynamic", "float32", "int8"):
        status, said = check(exported, f"--model={finished_run.workdir}/export/model_{name}.tflite")
        same = name == finished_run.result["shipped"]["format"]
        assert (status, "is not the exported file" in said) == (int(not same), not same)
        assert "median milliseconds: model" in said
    assert check(exported, "answers.json", "--model=a.tflite")[0] == 2


def pillow_resizes(_):
    def prepare(image, spec):
        size = spec["image_size"], spec["image_size"]
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))

    return prepare


def crops(prepare):
    return lambda image, spec: prepare(image, {**spec, "resize": "crop"})


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("fault", [pillow_resizes, crops])
def test_wrong_resizing_is_found(exported, examples, check, tmp_path, fault, embedded):
    if embedded:
        examples = Examples(examples.inputs, None, "test")
    folder = regolden(exported, tmp_path, examples)
    assert check(folder)[0] == 0
    status, said = check(folder, prepare=fault)
    assert status == 1
    assert differs(said, r"\d_file\.png") and "prepared pixels differ" in said
    assert not differs(said, r"\d\.png")


def test_cropping_is_found_if_all_original_files_are_square(exported, examples, check, tmp_path):
    paths, pixels = [], []
    spec = json.loads((exported / "spec.json").read_text(encoding="utf-8"))
    for number, path in enumerate(examples.paths):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(predict.decode(path)).resize((50, 50)).save(paths[-1])
        pixels.append(predict.prepare(predict.decode(paths[-1]), spec))
    inputs = Inputs(examples.inputs.labels, np.stack(pixels))
    folder = regolden(exported, tmp_path, Examples(inputs, paths, "test"))
    assert check(folder)[0] == 0
    status, said = check(folder, prepare=crops)
    assert status == 1 and differs(said, r"\d_file\.png"), said


def test_embedded_examples_have_larger_pictures_that_are_not_square(exported, examples, tmp_path):
    folder = regolden(exported, tmp_path, Examples(examples.inputs, None, "test"))
    for entry in entries(folder):
        picture = predict.decode(folder / "golden" / entry["file"])
        assert picture.shape[0] != picture.shape[1] and min(picture.shape[:2]) > 32


def test_large_originals_are_not_copied(exported, examples, check, tmp_path, monkeypatch):
    sizes = [path.stat().st_size for path in examples.paths]
    monkeypatch.setattr(golden, "FILE_BYTES", max(sizes))
    folder = regolden(exported, tmp_path, examples)
    files = [entry["file"] for entry in entries(folder)]
    assert None in files and any(files)
    assert check(folder)[0] == 0
    monkeypatch.setattr(golden, "FILE_BYTES", min(sizes) - 1)
    folder = regolden(exported, tmp_path / "made", examples)
    assert all(entry["file"] for entry in entries(folder))
    assert check(folder)[0] == 0


def test_blends_show_faults_if_the_model_is_sure_of_all_examples(
    exported, examples, check, tmp_path
):
    interpreter = predict.load(exported / "model.tflite")
    pixels = examples_of(examples.inputs)
    tops = [predict.run(interpreter, image)["probabilities"].max() for image in pixels]
    sure = np.argsort(tops)[-8:]
    part = Examples(examples.inputs.part(sure), [examples.paths[i] for i in sure], "test")
    folder = regolden(exported, tmp_path, part)
    assert check(folder)[0] == 0
    for name, fault in FAULTS.items():
        assert check(folder, run=faulty(fault))[0] == 1, name
    assert (folder / "golden" / "0_file.png").read_bytes() in [p.read_bytes() for p in part.paths]


def test_check_says_what_it_cannot_show(exported, check, tmp_path):
    folder = copied(exported, tmp_path)
    file = folder / "golden" / "golden.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    images = [{**image, "file": None} for image in content["images"]]
    file.write_text(json.dumps({"images": images, "undetected": ["inverted colours"]}))
    status, said = check(folder)
    assert status == 0
    assert "no golden/N_file was checked, so decoding and resizing are not checked" in said
    assert "golden/ cannot show these faults of a device: inverted colours" in said


def test_grey_images_cannot_show_swapped_channels(exported, examples, tmp_path):
    grey = np.repeat(examples_of(examples.inputs)[..., :1], 3, axis=-1)
    inputs = Inputs(examples.inputs.labels, grey)
    folder = regolden(exported, tmp_path, Examples(inputs, None, "test"))
    content = json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))
    assert "red and blue swapped" in content["undetected"]


def test_each_fault_chooses_the_image_that_shows_it_best():
    changes = np.array([[0.1, 0.2], [5.0, 0.1], [0.3, 9.0], [4.0, 8.0], [3.0, 7.0]])
    nowhere = np.zeros(5, bool)
    assert golden.most_changed(changes, nowhere, 4) == [1, 2, 3, 4]
    real = np.array([True, False, False, False, True])
    assert golden.most_changed(changes, real, 3) == [4, 0, 1]
    assert sorted(golden.most_changed(changes, nowhere, 10)) == [0, 1, 2, 3, 4]


def test_the_pool_has_each_class_and_is_spread_evenly():
    assert list(golden.pool(np.array([1, 1, 0, 0, 2]))) == [0, 2, 4, 1, 3]
    many = golden.pool(np.repeat([0, 1], 1000))
    assert len(many) <= golden.POOL and {0, 1000} <= set(many)
    assert abs((many < 1000).mean() - 0.5) < 0.05


def test_the_folder_stays_small(exported):
    sizes = [file.stat().st_size for file in (exported / "golden").iterdir()]
    assert len(entries(exported)) <= golden.IMAGES
    assert sum(sizes) < golden.PIXEL_BYTES + golden.FILE_BYTES


@pytest.mark.parametrize(
    ("frame", "received"),
    [
        (np.zeros((4, 5, 3), np.float32), r"\(4, 5, 3\) float32"),
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\) uint8"),
        (np.zeros((4, 5), np.uint8), r"\(4, 5\) uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\) uint8"),
        ([[[1, 2, 3]]], r"\(1, 1, 3\) list"),
        (None, r"\(\) NoneType"),
    ],
)
def test_prepare_rejects_frames_that_are_not_rgb(frame, received):
    spec = {"image_size": 8, "resize": "stretch", "antialias": False}
    expected = rf"expected \(height, width, 3\) uint8 RGB, received {received}"
    with pytest.raises(ValueError, match=expected):
        predict.prepare(frame, spec)
