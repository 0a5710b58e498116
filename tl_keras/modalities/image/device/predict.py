#!/usr/bin/env python3
"""Classifies image files with a LiteRT model. Needs ai-edge-litert, numpy and pillow.

    python predict.py IMAGE ...        # prints a line for each image: the answer as a JSON object

Reads spec.json from the folder of this script, and model.tflite from that folder or, if it is not
there, from the folder above.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
ORIENTATION = 0x0112  # EXIF tag; 1 is upright
# How to turn an image upright, by EXIF orientation. ImageOps.exif_transpose is not used because it
# also rewrites the EXIF data, and fails if it cannot.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file):
    """Reads an image file as `(height, width, 3) uint8 RGB`, upright and on a white background."""
    with Image.open(file, formats=FORMATS) as image:
        image.load()
        return upright_rgb(image)


def upright_rgb(image):
    """Turns an image upright by its EXIF orientation, and converts it as `to_rgb` does."""
    turn = UPRIGHT.get(orientation(image))
    return to_rgb(image if turn is None else image.transpose(turn))


def to_rgb(image):
    """Converts a Pillow image to `(height, width, 3) uint8 RGB`, on white where transparent."""
    if image.mode.startswith("I"):
        # 16 bits become 8 by taking the upper byte, as TensorFlow does; Pillow itself would clip.
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def orientation(image):
    """Returns the EXIF orientation of a decoded image, 1 to 8; 1 (upright) if missing or broken."""
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow may raise any exception here, although the pixels are intact.
        return 1
    return value if value in range(1, 9) else 1


def prepare(image, spec):
    """Resizes `(height, width, 3) uint8 RGB` to the model's input, `(size, size, 3) uint8`."""
    shape, dtype = np.shape(image), getattr(image, "dtype", type(image).__name__)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"expected (height, width, 3) uint8 RGB, received {shape} {dtype}")
    size, (height, width) = spec["image_size"], image.shape[:2]
    inside = size, size
    if spec["resize"] == "crop":
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        image = image[top : top + short, left : left + short]
    elif spec["resize"] == "pad":
        long = max(height, width)
        inside = max(height * size // long, 1), max(width * size // long, 1)
    resized = resize(image, *inside, spec["antialias"])
    whole = np.zeros((size, size, 3), np.uint8)
    top, left = (size - inside[0]) // 2, (size - inside[1]) // 2
    whole[top : top + inside[0], left : left + inside[1]] = resized
    return whole


def resize(image, height, width, antialias):
    """Resizes an image bilinearly, with half-pixel centres; returns `(height, width, 3) uint8`.

    Computes in single precision and rounds half to even, as TensorFlow does.
    """
    image = image.astype(np.float32)
    rows, columns = image.shape[0], image.shape[1]
    if antialias:
        across = np.tensordot(triangles(columns, width), image, (1, 1)).transpose(1, 0, 2)
        resized = np.tensordot(triangles(rows, height), across, (1, 0))
    else:
        left, right, share = neighbours(columns, width)
        across = image[:, left] + (image[:, right] - image[:, left]) * share[:, None]
        top, bottom, share = neighbours(rows, height)
        resized = across[top] + (across[bottom] - across[top]) * share[:, None, None]
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def centres(before, after):
    """Returns where each pixel of a resized row or column lies in the original row or column.

    Args:
      before: number of original pixels.
      after: number of resized pixels.

    Returns:
      the ratio `before / after`, and the position of the centre of each resized pixel, in original
      pixels.
    """
    scale = np.float32(before) / np.float32(after)
    half = np.float32(0.5)
    return scale, (np.arange(after, dtype=np.float32) + half) * scale - half


def neighbours(before, after):
    """Returns the two original pixels between which each resized pixel is interpolated.

    Returns:
      for each resized pixel of a row or column: the index of the original pixel before it, the
      index of the original pixel after it, and the weight of the pixel after it, 0..1.
    """
    places = centres(before, after)[1]
    first = np.floor(places)
    lower, upper = np.maximum(first, 0), np.minimum(np.ceil(places), before - 1)
    return lower.astype(int), upper.astype(int), places - first


def triangles(before, after):
    """Returns the weight of each original pixel in each resized pixel, `(after, before)`.

    The weights fall linearly with the distance. They reach 0 at a distance of `before / after`
    original pixels, or of 1 pixel if the image is enlarged.
    """
    scale, places = centres(before, after)
    distance = np.abs(np.arange(before, dtype=np.float32)[None] - places[:, None])
    weights = np.maximum(np.float32(0), 1 - distance / max(scale, np.float32(1)))
    return weights / weights.sum(1, keepdims=True)


def load(model, threads=1):
    """Returns a LiteRT interpreter of the model file, ready to run."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter, pixels):
    """Runs the model on `(size, size, 3) uint8` pixels and returns `{name of output: floats}`."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    outputs = {}
    for output in interpreter.get_output_details():
        values = interpreter.get_tensor(output["index"])[0]
        scale, zero = output["quantization"]
        outputs[output["name"]] = (values.astype(np.float32) - zero) * scale if scale else values
    return outputs


def predict(interpreter, file, spec):
    """Classifies an image file.

    Returns:
      `file`, `prediction` and `probabilities`, and `abstain` (whether the model abstains) if the
      model has this output.
    """
    outputs = run(interpreter, prepare(decode(file), spec))
    probabilities = {
        label: round(float(outputs["probabilities"][i]), 6)
        for i, label in enumerate(spec["labels"])
    }
    best = int(np.argmax(outputs["probabilities"]))
    row = {"file": str(file), "prediction": spec["labels"][best]}
    if "abstain" in outputs:
        row["abstain"] = bool(outputs["abstain"] > 0.5)
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
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file to classify")
    parser.add_argument("--model", metavar="FILE", help=f"LiteRT model; {where}")
    parser.add_argument("--threads", type=int, default=1, help="number of CPU threads; default: 1")
    flags = parser.parse_args()
    spec = read_json("spec.json")
    model = model_of(flags.model)
    try:
        interpreter, failed = load(model, max(flags.threads, 1)), False
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{model} is not a LiteRT model: {error}")
    for file in flags.images:
        try:
            row = predict(interpreter, file, spec)
        except Exception as error:  # Pillow may raise any exception on a damaged file.
            row, failed = {"file": file, "error": str(error) or type(error).__name__}, True
        print(json.dumps(row, ensure_ascii=False))
    sys.exit(2 if failed else 0)


if __name__ == "__main__":
    main()
