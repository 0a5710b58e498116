"""Functions that all modalities need to write a folder `export/device/`."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tl_keras.run.files import write_text

COPIED = ("predict.py", "check.py")  # Files without placeholders.


def fill(
    folder: Path, source: Traversable, names: Iterable[str], values: Mapping[str, Any]
) -> None:
    """Copies the files `COPIED` into a device folder, and fills the placeholders of templates.

    Args:
      source: the folder with these files and the templates.
      names: names of the templates.
      values: `{placeholder: value}`.
    """
    for name in COPIED:
        shutil.copyfile(str(source / name), folder / name)
    for name in names:
        text = Template((source / name).read_text(encoding="utf-8"))
        # `safe`, because a dollar sign may also be Kotlin or shell code.
        write_text(folder / name, text.safe_substitute(values))


def identity_of(file: Path) -> dict[str, Any]:
    """Returns the fields of `spec.json` by which a device program recognises its model file."""
    content = file.read_bytes()
    return {"model_bytes": len(content), "model_sha256": hashlib.sha256(content).hexdigest()}


def answer_words(spec: Mapping[str, Any], about_abstaining: str = "") -> dict[str, Any]:
    """Returns `{placeholder: value}` for the sentences of templates about a model's answers.

    Args:
      spec: the content of `spec.json`.
      about_abstaining: a further sentence about the output `abstain`; it begins with a space.
    """
    integer, threshold = spec["format"] == "int8", spec["abstain_threshold"]
    output, batch = "uint8" if integer else "float32", spec["batch"]
    batch = "any" if batch == "dynamic" else batch
    return {
        "format": spec["format"],
        "classes": len(spec["labels"]),
        "output": output,
        "batch": batch,
        "scale_words": ". Divide the uint8 values by 256 to get probabilities. A probability is "
        "never 1, and the probabilities sum to 1 only approximately."
        if integer
        else ".",
        "abstain_words": ""
        if threshold is None
        else f"\n`abstain ({batch},) {output}`: 0 if exactly one class has a probability of "
        f"{threshold:.4g} or more; otherwise 1: the model abstains, and its answer should not be "
        f"used.{about_abstaining}\n",
        "labels": "".join(f"    {_c_string(name)},\n" for name in spec["labels"]),
    }


def _c_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return f'"{escaped}"'


def without_xnnpack(file: Path) -> Interpreter:
    """Returns an interpreter of a LiteRT file that uses LiteRT's built-in kernels, not XNNPACK.

    LiteRT uses XNNPACK by default. The two round differently, as two processors do.
    """
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(file), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter
