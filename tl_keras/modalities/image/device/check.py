#!/usr/bin/env python3
"""Checks that a device gives the expected answers. Needs ai-edge-litert, numpy and pillow.

    python check.py                   # checks this machine, with predict.py
    python check.py ANSWERS.json      # checks the answers of another device

ANSWERS.json has the probabilities by image, as in {"0.png": [0.9, 0.1], "0_file.jpg": [0.8, 0.2]}.
golden/ has each image twice: `N.png` has the pixels that go into the model, and `N_file` is the
original file. `N.png` tests the model and its runtime; `N_file` also tests decoding and resizing.
Exit status: 0 if all checked answers agree, 1 if an answer differs, 2 if nothing was checked.
"""

import json
import sys

import numpy as np
from PIL import Image
from predict import HERE, decode, load, model_of, prepare, run


def local_answers(golden, spec):
    """Returns this machine's probabilities for each golden image, by file name."""
    interpreter, answers = load(model_of(None)), {}
    for entry in golden["images"]:
        with Image.open(HERE / "golden" / entry["pixels"]) as image:
            answers[entry["pixels"]] = run(interpreter, np.asarray(image))["probabilities"]
        if entry["file"]:
            pixels = prepare(decode(HERE / "golden" / entry["file"]), spec)
            answers[entry["file"]] = run(interpreter, pixels)["probabilities"]
    return answers


def read_answers(path, names, count):
    """Reads and checks a JSON file of answers, `count` probabilities for some of the `names`."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            answers = json.load(file)
        answers = {name: np.asarray(values, dtype=float) for name, values in answers.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f"{path}: expected JSON as in {{'0.png': [0.9, 0.1]}}: {error}")
    for name, values in answers.items():
        if name not in names:
            fail(f"{path}: unknown image {name!r}; golden/ has {', '.join(names)}")
        if values.shape != (count,):
            fail(f"{path}: {name}: expected a list of {count} probabilities, received {values}")
    return answers


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def main():
    if "--help" in sys.argv or len(sys.argv) > 2:
        fail(__doc__)
    spec = json.loads((HERE / "spec.json").read_text(encoding="utf-8"))
    golden = json.loads((HERE / "golden" / "golden.json").read_text(encoding="utf-8"))
    kinds = {entry[k]: k for entry in golden["images"] for k in ("pixels", "file") if entry[k]}
    expected = {e[k]: e["probabilities"] for e in golden["images"] for k in ("pixels", "file")}
    if len(sys.argv) > 1:
        answers = read_answers(sys.argv[1], list(kinds), len(spec["labels"]))
    else:
        answers = local_answers(golden, spec)
    failed = 0
    for name, given in answers.items():
        difference = float(np.abs(given - np.asarray(expected[name])).max())
        bound = golden["tolerance"][kinds[name]]
        agrees = difference <= bound  # False for NaN.
        failed += not agrees
        verdict = "ok" if agrees else "DIFFERS"
        print(f"{name:12} {verdict:8} largest difference {difference:.4f}; allowed {bound:.4f}")
    print(f"{len(answers)} of {len(kinds)} checked, {failed} differ")
    sys.exit(2 if not answers else int(failed > 0))


if __name__ == "__main__":
    main()
