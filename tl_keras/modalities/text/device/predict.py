#!/usr/bin/env python3
"""Classifies texts with a LiteRT model. Needs ai-edge-litert and numpy.

    python predict.py "A text" ...     # prints a line for each text: the answer as a JSON object
    python predict.py < texts.txt      # the same for each line of the standard input, in UTF-8

Reads spec.json and the vocabulary from the folder of this script, and model.tflite from that folder
or, if it is not there, from the folder above.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def tokeniser(spec, folder=HERE, encoder=None):
    """Returns a function from a text to the inputs of the model, see `windows`.

    Args:
      folder: the folder that contains the vocabulary.
      encoder: the function `encoder` of wordpiece.py; None to import it.
    """
    if spec["tokeniser"] == "wordpiece":
        if encoder is None:
            from wordpiece import encoder
        # Not `read_text`, which would take other characters for line ends, too.
        tokens = existing(folder / "vocab.txt").read_bytes().decode("utf-8").split("\n")[:-1]
        how = (spec["lowercase"], spec["strip_accents"], spec["split_chinese"])
        encode = encoder(tokens, spec["unknown"], *how)
    else:
        encode = with_tokenizers(spec, folder)
    return lambda text: windows(encode(text), spec)


def existing(file):
    """Returns a path. Exits with a message if there is no such file."""
    if not file.is_file():
        sys.exit(f"{file} is missing; copy the whole folder {file.parent.name}/ again")
    return file


def windows(ids, spec):
    """Divides a text into windows that the model can take: token ids, `(length,) int32` each.

    A text has as few windows as possible. They have about the same length, and do not overlap.

    Args:
      ids: the token ids of the text, without start and end.
    """
    start = [spec["start"]] if spec["start"] is not None else []
    end = [spec["end"]] if spec["end"] is not None else []
    count = 1
    if spec["length"] is not None:  # else the model takes texts of any length
        room = spec["length"] - len(start) - len(end)
        count = max(-(-len(ids) // room), 1)
    parts = np.array_split(np.array(ids, np.int32), count)
    return [np.array([*start, *part, *end], np.int32) for part in parts]


def with_tokenizers(spec, folder):
    """Returns a function from a text to its token ids, by the package `tokenizers`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(existing(folder / "tokenizer.json")))
    tokenizer.encode_special_tokens = True  # A text may mention a special token.
    padding = spec["padding_row"]
    ids = {0: padding, padding: 0}  # The model has padding at 0, in exchange for the other token.

    def encode(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        rows = tokenizer.encode(text, add_special_tokens=False).ids
        return [ids.get(row, row) for row in rows]

    return encode


def load(model, threads=1):
    """Returns a LiteRT interpreter of the model file, ready to run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter, inputs):
    """Runs the model on each window of a text.

    Returns:
      the mean of the model's outputs, `{name of output: floats}`.
    """
    outputs = [run_once(interpreter, ids) for ids in inputs]
    return {name: np.mean([output[name] for output in outputs], 0) for name in outputs[0]}


def run_once(interpreter, ids):
    """Runs the model on token ids, `(length,) int32`, and returns `{name of output: floats}`."""
    entrance = interpreter.get_input_details()[0]
    fixed = entrance["shape_signature"][1]  # -1 if the model takes any length
    padded = np.zeros((1, max(len(ids), 1) if fixed < 0 else fixed), np.int32)
    padded[0, : len(ids)] = ids
    if tuple(entrance["shape"]) != padded.shape:
        interpreter.resize_tensor_input(entrance["index"], padded.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(entrance["index"], padded)
    interpreter.invoke()
    outputs = {}
    for output in interpreter.get_output_details():
        values = interpreter.get_tensor(output["index"])[0]
        scale, zero = output["quantization"]
        outputs[output["name"]] = (values.astype(np.float32) - zero) * scale if scale else values
    return outputs


def predict(interpreter, text, spec, encode):
    """Classifies a text.

    Args:
      encode: the result of `tokeniser`.

    Returns:
      `text`, `prediction` and `probabilities`, and `abstain` (whether the model abstains) if the
      model has this output.
    """
    outputs = run(interpreter, encode(text))
    probabilities = {
        label: round(float(outputs["probabilities"][i]), 6)
        for i, label in enumerate(spec["labels"])
    }
    best = int(np.argmax(outputs["probabilities"]))
    row = {"text": text, "prediction": spec["labels"][best]}
    if "abstain" in outputs:
        row["abstain"] = bool(outputs["abstain"] >= 0.5)
    return {**row, "probabilities": probabilities}


def model_of(path):
    """Returns the path of the model file. Exits with a message if there is no such file.

    Args:
      path: the path given by the user; None to look for model.tflite in the folder of this script
        and in the folder above.
    """
    places = [Path(path)] if path else [HERE / "model.tflite", HERE.parent / "model.tflite"]
    for place in places:
        if place.is_file():
            return place
    sys.exit(f"no model: {places[0]} does not exist; copy it there or give its path with --model")


def read_json(name):
    """Returns the content of a JSON file in the folder of this script.

    Exits with a message if the file is missing or damaged.
    """
    try:
        return json.loads((HERE / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        sys.exit(f"{HERE / name} is missing or damaged; copy the whole folder {HERE.name}/ again")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = "default: model.tflite in the folder of this script or in the folder above"
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="text to classify; default: lines of the input"
    )
    parser.add_argument("--model", metavar="FILE", help=f"LiteRT model; {where}")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads; default: 1")
    flags = parser.parse_args()
    spec = read_json("spec.json")
    model = model_of(flags.model)
    try:
        interpreter = load(model, max(flags.threads, 1))
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{model} is not a LiteRT model: {error}")
    encode = tokeniser(spec)
    # A terminal or a file may have bytes that are not UTF-8.
    sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    for text in flags.texts or (line.rstrip("\r\n") for line in sys.stdin):
        row = predict(interpreter, text, spec, encode)
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
