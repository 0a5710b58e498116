"""Converts a weights file to float16, as was done with the weights that the package contains.

python -m tl_keras.embedded.shrink runs/pretrain_glyphs/backbone.weights.h5 OUT.weights.h5
"""

import sys
from pathlib import Path

import h5py
import numpy as np

from tl_keras.run.files import replacing


def shrink(source: Path, target: Path) -> None:
    """Copies a `.weights.h5` file, with float32 arrays as float16 and other arrays unchanged."""
    with (
        replacing(target) as temporary,
        h5py.File(source, "r") as old,
        h5py.File(temporary, "w") as new,
    ):
        new.attrs.update(old.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = new.require_group(name)
            else:
                half = np.float16 if item.dtype == np.float32 else item.dtype
                copied = new.create_dataset(name, data=item[()].astype(half))
            copied.attrs.update(item.attrs)

        old.visititems(copy)


if __name__ == "__main__":
    shrink(Path(sys.argv[1]), Path(sys.argv[2]))
