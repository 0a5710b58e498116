#!/usr/bin/env python3
"""Whether a device answers as the model was measured. Needs what predict.py needs.

    python check.py                   # this machine, by predict.py
    python check.py ANSWERS.json      # another: {"0.png": [probabilities], "0.jpg": [...], ...}

golden/ has three images twice: as `N.png`, the pixels that go into the model, and as they were
before. The first say whether the model runs as it should, the second whether decoding and resizing
do too. Names that ANSWERS.json lacks are not checked.
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


def main():
    spec = json.loads((HERE / "spec.json").read_text(encoding="utf-8"))
    golden = json.loads((HERE / "golden" / "golden.json").read_text(encoding="utf-8"))
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:
            answers = json.load(file)
    else:
        answers = own_answers(golden, spec)
    checked = failed = 0
    for entry in golden["images"]:
        for kind in ("pixels", "file"):
            if not entry[kind] or entry[kind] not in answers:
                continue
            given, expected = np.asarray(answers[entry[kind]]), np.asarray(entry["probabilities"])
            if given.shape != expected.shape:
                sys.exit(f"{entry[kind]}: expected {len(expected)} numbers, received {given.shape}")
            difference, bound = float(np.abs(given - expected).max()), golden["tolerance"][kind]
            holds = difference <= bound and given.argmax() == expected.argmax()
            checked, failed = checked + 1, failed + (not holds)
            verdict = "ok" if holds else "DIFFERS"
            print(f"{entry[kind]:12} {verdict:8} by {difference:.4f} at most; allowed {bound:.4f}")
    if not checked:
        sys.exit("nothing to check: the answers have none of the names in golden/")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
