"""Reads safetensors files with NumPy: a header in JSON, then the bytes of each tensor.

Reading such a file runs no code. Sizes in the header are checked before anything is read.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MAX_HEADER = 100_000_000  # bytes; the limit of Hugging Face's own reader
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"},  # BF16: the upper half of F32.
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"},
}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in a file; `start` is in bytes from the beginning of the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Returns the tensors of a model by name, from `model.safetensors` or its parts.

    Raises:
      ValueError: there is no such file, or a file is damaged. The message begins with the path.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return read_header(whole)
    if not index.is_file():
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        only = f", only {pickles[0]}, a pickle, which can run code" if pickles else ""
        convert = "AutoModel.from_pretrained(FOLDER).save_pretrained(OTHER) in transformers"
        raise ValueError(
            f"{str(folder)!r} contains no model.safetensors{only}; download model.safetensors "
            f"too, or write it with {convert}"
        )
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        # A part lies beside the index, whatever path the index gives.
        files = sorted({folder / Path(part).name for part in parts})
    except (
        *(OSError, ValueError, LookupError),
        *(TypeError, AttributeError, RecursionError),
    ) as error:
        raise ValueError(f"{str(index)!r} is damaged: {error!r}") from error
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(f"{str(folder)!r} lacks {missing[0]}, a part of the weights")
    return {name: tensor for file in files for name, tensor in read_header(file).items()}


def read_header(file: Path) -> dict[str, Tensor]:
    """Returns the tensors of one file by name, without reading their values.

    Raises:
      ValueError: the file is damaged. The message begins with the path.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(MAX_HEADER, size - 8):
            raise ValueError(
                f"{str(file)!r} is damaged or not a safetensors file: its header would have "
                f"{length} bytes, the file has {size}"
            )
        header = stream.read(length)
    try:
        entries = json.loads(header)
        if not isinstance(entries, dict):
            raise ValueError("its header is not a JSON object")
        entries.pop("__metadata__", None)
        return {
            name: _tensor(file, entry, 8 + length, size - 8 - length)
            for name, entry in entries.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{str(file)!r} is damaged or not a safetensors file: {error}") from error


def _tensor(file: Path, entry: dict[str, Any], start: int, size: int) -> Tensor:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"expected whole numbers, received {entry}")
    width = int(DTYPES.get(entry["dtype"], "x0")[-1])
    fits = end - begin == math.prod(shape) * width if width else begin <= end
    if not fits or end > size:
        raise ValueError(f"a tensor's shape and place in the file disagree: {entry}")
    return Tensor(file, entry["dtype"], shape, start + begin)


def load(tensor: Tensor) -> "np.ndarray":
    """Returns the values of a tensor as float32.

    Raises:
      ValueError: the type of the values is unknown. The message begins with the path.
    """
    import numpy as np

    if tensor.dtype not in DTYPES:
        raise ValueError(
            f"{str(tensor.file)!r} has values of type {tensor.dtype}; expected one of "
            f"{', '.join(DTYPES)}"
        )
    count = math.prod(tensor.shape)
    array = np.fromfile(tensor.file, DTYPES[tensor.dtype], count, offset=tensor.start)
    if tensor.dtype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32).reshape(tensor.shape)
