#!/usr/bin/env python3
"""Class probabilities of image files, by a LiteRT model. Needs ai-edge-litert, numpy, pillow.

    python predict.py IMAGE ...                  # one JSON object a line

Reads spec.json beside it, and model.tflite beside it or in the folder above.
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
# By EXIF orientation. ImageOps.exif_transpose also rewrites the EXIF, and fails where it cannot.
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
    """`(height, width, 3) uint8 RGB` of an image file: upright, transparency over white."""
    with Image.open(file, formats=FORMATS) as image:
        image.load()
        return upright_rgb(image)


def upright_rgb(image):
    """`to_rgb`, turned as its EXIF has it."""
    turn = UPRIGHT.get(orientation(image))
    return to_rgb(image if turn is None else image.transpose(turn))


def to_rgb(image):
    """`(height, width, 3) uint8 RGB` of a decoded Pillow image."""
    if image.mode.startswith("I"):
        # 16 bits to 8 by the upper byte, as TensorFlow does; Pillow itself would clip.
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def orientation(image):
    """Of a loaded image, by its EXIF, 1 to 8; 1, upright, where that is missing or broken."""
    try:
        value = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow raises anything here; the pixels are sound.
        return 1
    return value if value in range(1, 9) else 1


def prepare(image, spec):
    """`(size, size, 3) uint8` of `(height, width, 3) uint8`, as the model was trained."""
    size, height, width = spec["image_size"], *image.shape[:2]
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
    """Bilinear, half-pixel centres, in single precision; rounded half to even."""
    image = image.astype(np.float32)
    rows, columns = image.shape[0], image.shape[1]
    if antialias:
        across = np.tensordot(triangles(columns, width), image, (1, 1)).transpose(1, 0, 2)
        found = np.tensordot(triangles(rows, height), across, (1, 0))
    else:
        left, right, share = neighbours(columns, width)
        across = image[:, left] + (image[:, right] - image[:, left]) * share[:, None]
        top, bottom, share = neighbours(rows, height)
        found = across[top] + (across[bottom] - across[top]) * share[:, None, None]
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def centres(before, after):
    """Where the pixels of a line of `after` lie on one of `before`."""
    scale = np.float32(before) / np.float32(after)
    half = np.float32(0.5)
    return scale, (np.arange(after, dtype=np.float32) + half) * scale - half


def neighbours(before, after):
    """The two nearest pixels of each, and how much of it is the second."""
    places = centres(before, after)[1]
    first = np.floor(places)
    lower, upper = np.maximum(first, 0), np.minimum(np.ceil(places), before - 1)
    return lower.astype(int), upper.astype(int), places - first


def triangles(before, after):
    """`(after, before)`: how much of each pixel goes into each, as wide as the reduction."""
    scale, places = centres(before, after)
    distance = np.abs(np.arange(before, dtype=np.float32)[None] - places[:, None])
    weights = np.maximum(np.float32(0), 1 - distance / max(scale, np.float32(1)))
    return weights / weights.sum(1, keepdims=True)


def load(model, threads=1):
    """An interpreter of the file, ready."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter, pixels):
    """`{name: values}` of `(size, size, 3) uint8` pixels; probabilities are floats in 0..1."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    found = {}
    for output in interpreter.get_output_details():
        values = interpreter.get_tensor(output["index"])[0]
        scale, zero = output["quantization"]
        found[output["name"]] = (values.astype(np.float32) - zero) * scale if scale else values
    return found


def predict(interpreter, file, spec):
    """What a file shows: `prediction`, `probabilities` by class, and maybe `abstain`."""
    found = run(interpreter, prepare(decode(file), spec))
    probabilities = {
        label: round(float(found["probabilities"][i]), 6) for i, label in enumerate(spec["labels"])
    }
    best = int(np.argmax(found["probabilities"]))
    row = {"file": str(file), "prediction": spec["labels"][best]}
    if "abstain" in found:
        row["abstain"] = bool(found["abstain"] > 0.5)
    return {**row, "probabilities": probabilities}


def model_of(given):
    """The file that was asked for, or that stands beside this script or above it."""
    places = [Path(given)] if given else [HERE / "model.tflite", HERE.parent / "model.tflite"]
    for place in places:
        if place.is_file():
            return place
    sys.exit(f"no model: {places[0]} does not exist; name it with --model")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    spec = json.loads((HERE / "spec.json").read_text(encoding="utf-8"))
    model = model_of(chosen.model)
    try:
        interpreter, failed = load(model, max(chosen.threads, 1)), False
    except (ValueError, RuntimeError) as error:
        sys.exit(f"{model}: no LiteRT model: {error}")
    for file in chosen.images:
        try:
            row = predict(interpreter, file, spec)
        except Exception as error:  # Pillow raises anything of a damaged file.
            row, failed = {"file": file, "error": str(error) or type(error).__name__}, True
        print(json.dumps(row, ensure_ascii=False))
    sys.exit(2 if failed else 0)


if __name__ == "__main__":
    main()
