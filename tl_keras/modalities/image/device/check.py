#!/usr/bin/env python3
"""Whether a device answers as the model was measured. Needs what predict.py needs.

    python check.py                   # this machine, by predict.py
    python check.py ANSWERS.json      # another: {"0.png": [0.9, 0.1], "0_file.jpg": ..., ...}

golden/ has three images twice: `N.png`, the pixels that go into the model, and `N_file`, as they
were before. The first say whether the model runs as it should, the second whether decoding and
resizing do too. Exit status: 0 all that was checked holds, 1 something differs, 2 nothing was
checked.
"""

import json
import sys

import numpy as np
from PIL import Image
from predict import HERE, decode, load, model_of, prepare, run


def own_answers(golden, spec):
    """What this machine makes of each file."""
    interpreter, found = load(model_of(None)), {}
    for entry in golden["images"]:
        with Image.open(HERE / "golden" / entry["pixels"]) as image:
            found[entry["pixels"]] = run(interpreter, np.asarray(image))["probabilities"]
        if entry["file"]:
            pixels = prepare(decode(HERE / "golden" / entry["file"]), spec)
            found[entry["file"]] = run(interpreter, pixels)["probabilities"]
    return found


def read_answers(path, names, count):
    """The answers of a file, checked."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            answers = json.load(file)
        answers = {name: np.asarray(own, dtype=float) for name, own in answers.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f"{path}: expected JSON as in {{'0.png': [0.9, 0.1]}}: {error}")
    for name, own in answers.items():
        if name not in names:
            fail(f"{path}: golden/ has no {name!r}; expected some of {', '.join(names)}")
        if own.shape != (count,):
            fail(f"{path}: {name}: expected a list of {count} probabilities, received {own}")
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
        answers = own_answers(golden, spec)
    failed = 0
    for name, given in answers.items():
        difference = float(np.abs(given - np.asarray(expected[name])).max())
        bound = golden["tolerance"][kinds[name]]
        holds = difference <= bound  # False of NaN.
        failed += not holds
        verdict = "ok" if holds else "DIFFERS"
        print(f"{name:12} {verdict:8} by {difference:.4f} at most; allowed {bound:.4f}")
    print(f"{len(answers)} of {len(kinds)} checked, {failed} differ")
    sys.exit(2 if not answers else int(failed > 0))


if __name__ == "__main__":
    main()
