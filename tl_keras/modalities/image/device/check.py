#!/usr/bin/env python3
"""Checks that a device gives the expected answers. Needs ai-edge-litert, numpy and pillow.

    python check.py                   # runs the model on this machine and checks its answers
    python check.py --model=FILE      # the same with another model file, for example to time it
    python check.py ANSWERS.json      # checks answers that another device has given

Without ANSWERS.json, check.py also compares the model file with its SHA-256. It prints how many
milliseconds the model takes, and how many predict.py takes to prepare a picture for the model.

ANSWERS.json has the probabilities by image, as in {"0.png": [0.9, 0.1], "0_file.jpg": [0.8, 0.2]}.
Each picture in golden/ has a number N. `N.png` is already prepared for the model, so it tests the
model and its runtime. `N_file` is the same picture before preparation, so it also tests decoding
and resizing.

Exit status: 0 if everything that was checked agrees, 1 if something differs or the model file is
missing, 2 if nothing was checked.
"""

import argparse
import hashlib
import json
import sys
import time

import numpy as np
from PIL import Image
from predict import HERE, decode, load, model_of, prepare, read_json, run

# px, height and width of the frame for which the preparation is timed. A larger one takes longer.
FRAME = 480, 640
TIMED_RUNS = 30
# Allowed mean difference of prepared pixels, in levels of 255. Two JPEG decoders may differ by one
# level in some pixels; another way to resize differs by more.
LEVELS = 1.0


def file_verdict(model, spec):
    """Returns True if the model file is the exported one, and a sentence for the user about it."""
    content = model.read_bytes()
    digest, expected = hashlib.sha256(content).hexdigest(), spec["model_sha256"]
    if digest == expected:
        return True, "the file is the exported one"
    return False, (
        f"{model} is not the exported file: expected {spec['model_bytes']:,} bytes with SHA-256 "
        f"{expected[:12]}..., received {len(content):,} bytes with {digest[:12]}..."
    )


def local_answers(golden, spec, interpreter):
    """Runs the model on the golden images.

    Returns:
      two dicts: {file name: probabilities}, and {file name: mean difference between the pixels that
      predict.py prepares and the expected pixels, in levels of 255}.
    """
    answers, levels = {}, {}
    for entry in golden["images"]:
        with Image.open(HERE / "golden" / entry["pixels"]) as image:
            expected = np.asarray(image)
        answers[entry["pixels"]] = run(interpreter, expected)["probabilities"]
        if entry["file"]:
            pixels = prepare(decode(HERE / "golden" / entry["file"]), spec)
            answers[entry["file"]] = run(interpreter, pixels)["probabilities"]
            levels[entry["file"]] = float(np.abs(pixels.astype(int) - expected).mean())
    return answers, levels


def median_ms(function):
    """Calls a function repeatedly; returns the median milliseconds after three unmeasured calls."""
    seconds = []
    for _ in range(TIMED_RUNS + 3):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[3:]))


def print_times(spec, interpreter, threads):
    height, width = FRAME
    frame = np.zeros((height, width, 3), np.uint8)
    pixels = prepare(frame, spec)
    model, preparation = (
        median_ms(lambda: run(interpreter, pixels)),
        median_ms(lambda: prepare(frame, spec)),
    )
    print(
        f"median milliseconds: model {model:.3g} ({threads} thread{'s' * (threads > 1)}), "
        f"prepare {preparation:.3g} (for a picture of {width} x {height} px)"
    )


def read_answers(path, names, count):
    """Reads a JSON file {image name: probabilities}, and checks its names and lengths.

    The file may leave out some of the images `names`. Each image in the file must have `count`
    probabilities.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            answers = json.load(file)
        answers = {name: np.asarray(values, dtype=float) for name, values in answers.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f'{path}: expected JSON as in {{"0.png": [0.9, 0.1]}}: {error}')
    for name, values in answers.items():
        if name not in names:
            fail(f"{path}: unknown image {name!r}; golden/ has {', '.join(names)}")
        if values.shape != (count,):
            fail(f"{path}: {name}: expected a list of {count} probabilities, received {values}")
    return answers


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def compare(golden, answers, levels):
    """Prints a line for each answer; returns how many differ too much from the expected answers."""
    failed = 0
    for entry in golden["images"]:
        expected = np.asarray(entry["probabilities"])
        for kind in ("pixels", "file"):
            name = entry[kind]
            if name not in answers:
                continue
            given, bound = answers[name], entry["tolerance"][kind]
            same = given.shape == expected.shape
            difference = float(np.abs(given - expected).max()) if same else float("inf")
            agrees = difference <= bound  # False for NaN.
            text = f"largest difference {difference:.4f}; allowed {bound:.4f}"
            if levels.get(name, 0) > LEVELS:
                agrees = False
                text += (
                    f"; prepared pixels differ by {levels[name]:.1f} of 255 on average; "
                    f"allowed {LEVELS}"
                )
            failed += not agrees
            print(f"{name:12} {'ok' if agrees else 'DIFFERS':8} {text}")
    return failed


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument(
        "answers", nargs="?", metavar="ANSWERS.json", help="another device's answers"
    )
    where = "default: model.tflite in the folder of this script or in the folder above"
    parser.add_argument("--model", metavar="FILE", help=f"LiteRT model; {where}")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads; default: 1")
    flags = parser.parse_args()
    if flags.answers and flags.model:
        parser.error("expected ANSWERS.json or --model, received both")
    spec = read_json("spec.json")
    golden = read_json("golden/golden.json")
    names = [entry[k] for entry in golden["images"] for k in ("pixels", "file") if entry[k]]
    failed = checked = 0
    levels = {}
    if flags.answers:
        answers = read_answers(flags.answers, names, len(spec["labels"]))
        total, checks = len(names), "answers"
    else:
        model, threads = model_of(flags.model), max(flags.threads, 1)
        total, checks = len(names) + 1, "files and answers"
        right, sentence = file_verdict(model, spec)
        checked, failed = 1, int(not right)
        print(f"{'model':12} {'ok' if right else 'DIFFERS':8} {sentence}", flush=True)
        try:
            interpreter = load(model, threads)
            answers, levels = local_answers(golden, spec, interpreter)
        except (ValueError, RuntimeError) as error:
            print(f"{model} cannot classify the images in golden/: {error}", file=sys.stderr)
            sys.exit(1)
        print_times(spec, interpreter, threads)
    failed += compare(golden, answers, levels)
    checked += len(answers)
    if answers and not any(entry["file"] in answers for entry in golden["images"]):
        print("no golden/N_file was checked, so decoding and resizing are not checked")
    if golden["undetected"]:
        print(
            "the images in golden/ cannot show these faults of a device: "
            f"{', '.join(golden['undetected'])}"
        )
    print(f"{checked} of {total} {checks} checked, {failed} differ")
    sys.exit(2 if not checked else int(failed > 0))


if __name__ == "__main__":
    main()
