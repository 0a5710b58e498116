#!/usr/bin/env python3
"""Checks that a device gives the expected answers. Needs ai-edge-litert and numpy.

    python check.py                   # runs the model on this machine and checks its answers
    python check.py --model=FILE      # the same with another model file, for example to time it
    python check.py ANSWERS.json      # checks answers that another device has given

Without ANSWERS.json, check.py also compares the model file with its SHA-256. It prints how many
milliseconds the model takes, and how many the tokeniser takes.

golden/texts.txt has a text on each line. The lines are numbered from 0. ANSWERS.json has an answer
for each number: the token ids of each window of the text, the probabilities, or both, as in
{"0": {"windows": [[101, 2204, 102]], "probabilities": [0.9, 0.1]}}.
A text is one window, unless it is longer than the model takes; see README.md.

Exit status: 0 if everything that was checked agrees, 1 if something differs or the model file is
missing, 2 if nothing was checked.
"""

import argparse
import hashlib
import json
import sys
import time

import numpy as np
from predict import load, model_of, read_json, run, tokeniser

TIMED_RUNS = 30


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


def local_answers(golden, interpreter, encode):
    """Encodes the golden texts and runs the model on them.

    Returns:
      {number: {"windows": token ids of each window, "probabilities": probabilities}}.
    """
    answers = {}
    for number, entry in enumerate(golden["texts"]):
        windows = [ids.tolist() for ids in encode(entry["text"])]
        # The model always gets the right ids, since wrong ids could hide its own faults.
        outputs = run(interpreter, expected_windows(entry))
        answers[str(number)] = {"windows": windows, "probabilities": outputs["probabilities"]}
    return answers


def expected_windows(entry):
    """Returns the token ids of each window of a golden text, as inputs of the model."""
    return [np.array(ids, np.int32) for ids in entry["windows"]]


def median_ms(function):
    """Calls a function repeatedly; returns the median milliseconds after three unmeasured calls."""
    seconds = []
    for _ in range(TIMED_RUNS + 3):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds[3:]))


def print_times(golden, interpreter, encode, threads):
    entries = sorted(golden["texts"], key=lambda entry: sum(map(len, entry["windows"])))
    entry = entries[len(entries) // 2]
    windows = expected_windows(entry)
    model = median_ms(lambda: run(interpreter, windows))
    tokens = median_ms(lambda: encode(entry["text"]))
    print(
        f"median milliseconds: model {model:.3g} ({threads} thread{'s' * (threads > 1)}), "
        f"tokeniser {tokens:.3g} (for a text of {sum(map(len, windows))} tokens)"
    )


def read_answers(path, golden, count):
    """Reads a JSON file {number: {"windows": ids, "probabilities": floats}}, and checks it.

    The file may leave out some of the texts, and the windows or the probabilities of a text.
    """
    example = '{"0": {"windows": [[101, 102]], "probabilities": [0.9, 0.1]}}'
    try:
        with open(path, encoding="utf-8-sig") as file:
            answers = {
                number: {name: numbers_of(name, values) for name, values in answer.items()}
                for number, answer in json.load(file).items()
            }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fail(f"{path}: expected JSON as in {example}: {error}")
    numbers = [str(number) for number in range(len(golden["texts"]))]
    for number, answer in answers.items():
        if number not in numbers:
            fail(f"{path}: unknown text {number!r}; golden/texts.txt has 0 to {numbers[-1]}")
        if not answer or not set(answer) <= {"windows", "probabilities"}:
            fail(f"{path}: {number}: expected windows or probabilities, received {sorted(answer)}")
        probabilities = answer.get("probabilities")
        if probabilities is not None and probabilities.shape != (count,):
            fail(
                f"{path}: {number}: expected a list of {count} probabilities, received "
                f"{probabilities}"
            )
        if any(ids.ndim != 1 for ids in answer.get("windows", [])):
            fail(f"{path}: {number}: expected a list of token ids for each window of the text")
    return answers


def numbers_of(name, values):
    """Returns the numbers in a list; for windows, those of each list in a list."""
    if name == "windows":
        return [np.asarray(window, dtype=float) for window in values]
    return np.asarray(values, dtype=float)


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(2)


def windows_verdict(expected, given):
    """Returns True if token ids are the expected ones, and a sentence for the user about them."""
    if len(expected) != len(given):
        return False, f"expected {len(expected)} windows, received {len(given)}"
    verdicts = [ids_verdict(*pair) for pair in zip(expected, given, strict=True)]
    for window, (agrees, text) in enumerate(verdicts):
        if not agrees:
            return False, f"window {window}, {text}" if len(expected) > 1 else text
    in_windows = f" in {len(expected)} windows" * (len(expected) > 1)
    return True, f"{sum(map(len, expected))} token ids{in_windows}"


def ids_verdict(expected, given):
    """Returns True if the token ids of a window are the expected ones, and what differs first."""
    given = [int(i) if float(i).is_integer() else float(i) for i in given]  # 0.5, NaN: not ids
    if list(expected) == given:
        return True, ""
    shorter = min(len(expected), len(given))
    place = next((i for i in range(shorter) if expected[i] != given[i]), shorter)
    words = [str(ids[place]) if place < len(ids) else "the end" for ids in (expected, given)]
    return False, f"token {place}: expected {words[0]}, received {words[1]}"


def compare(golden, answers):
    """Prints a line for each checked answer; returns the number of lines, and how many differ."""
    checked = failed = 0
    for number, entry in enumerate(golden["texts"]):
        answer, verdicts = answers.get(str(number), {}), {}
        if "windows" in answer:
            verdicts["ids"] = windows_verdict(entry["windows"], answer["windows"])
        if "probabilities" in answer:
            difference = np.abs(answer["probabilities"] - np.asarray(entry["probabilities"])).max()
            bound = entry["tolerance"]
            verdicts["answer"] = (  # False for NaN.
                bool(difference <= bound),
                f"largest difference {difference:.4f}; allowed {bound:.4f}",
            )
        for name, (agrees, text) in verdicts.items():
            checked, failed = checked + 1, failed + (not agrees)
            print(f"{number:2} {name:9} {'ok' if agrees else 'DIFFERS':8} {text}")
    return checked, failed


def check_here(flags, spec, golden):
    """Checks the model file, runs the model on this machine and prints its times.

    Returns:
      True if the file is the exported one; and the answers, as `local_answers` returns them.
    """
    model, threads = model_of(flags.model), max(flags.threads, 1)
    is_exported, sentence = file_verdict(model, spec)
    print(f"model        {'ok' if is_exported else 'DIFFERS':8} {sentence}", flush=True)
    encode = tokeniser(spec)
    try:
        interpreter = load(model, threads)
        answers = local_answers(golden, interpreter, encode)
    except (ValueError, RuntimeError) as error:
        print(f"{model} cannot classify the texts in golden/: {error}", file=sys.stderr)
        sys.exit(1)
    print_times(golden, interpreter, encode, threads)
    return is_exported, answers


def read_flags():
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
    return flags


def main():
    flags = read_flags()
    spec = read_json("spec.json")
    golden = read_json("golden/golden.json")
    if flags.answers:
        files, wrong_files, checks = 0, 0, "answers"
        answers = read_answers(flags.answers, golden, len(spec["labels"]))
    else:
        is_exported, answers = check_here(flags, spec, golden)
        files, wrong_files, checks = 1, int(not is_exported), "files and answers"
    checked, failed = compare(golden, answers)
    if answers and not any("windows" in answer for answer in answers.values()):
        print("no token ids were checked, so the tokeniser is checked by its effect alone")
        if golden["undetected"]:
            print(
                "the probabilities in golden/ cannot show these faults of a device: "
                f"{', '.join(golden['undetected'])}"
            )
    checked, failed = checked + files, failed + wrong_files
    total = 2 * len(golden["texts"]) + files  # ids and probabilities of each text
    print(f"{checked} of {total} {checks} checked, {failed} differ")
    sys.exit(2 if not checked else int(failed > 0))


if __name__ == "__main__":
    main()
