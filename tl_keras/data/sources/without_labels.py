"""Lists the examples of a data set without reading their labels.

The examples are the files of a folder of any layout, the cells of a table, or those of a data set
of TensorFlow Datasets.
"""

from dataclasses import replace
from pathlib import Path

from tl_keras.config.whole import RunConfig
from tl_keras.data import store
from tl_keras.data.examples import Listing
from tl_keras.data.label_names import is_missing
from tl_keras.data.sources import tables, tfds, tree
from tl_keras.data.sources.layout import split_of
from tl_keras.data.sources.of_files import list_unlabelled, may_be_table
from tl_keras.modalities import part


def list_examples(config: RunConfig) -> Listing:
    """Returns the examples of `data.path` or `data.name`, with the splits that the source names.

    A folder names splits if all folders in it do, as `train` and `test`. A table names them in the
    column `split`.

    Raises:
      ValueError: the source cannot be used, or a split is unknown.
    """
    if config.data.source == "tfds":
        return tfds.list_unlabelled(config, store.subfolder(config.cache, store.TFDS))
    path = Path(config.data.path)
    if config.data.source != "folder" and not may_be_table(path, config.modality):
        tables.read(path, config.data.source, "data.path")  # A fault of the file comes first.
        if part(config.modality, "config").COLUMN:
            raise ValueError(tables.MISNAMED.format(str(path)))
        raise ValueError(
            f"data.path: {str(path)!r}: tables without labels work only for examples that are "
            "cells of the table, not for paths of files; expected a folder"
        )
    listing = list_unlabelled(path, config, "data.path")
    names = _splits_of_table(path) if path.is_file() else _splits_of_folder(listing)
    files = [replace(listed, split=names.get(listed.file, "")) for listed in listing.files]
    return replace(listing, files=files)


def _splits_of_folder(listing: Listing) -> dict[str, str]:
    if not tree.opened(listing.root).holds_splits:
        return {}
    return {listed.file: split_of(Path(listed.file).parts[0]) for listed in listing.files}


def _splits_of_table(file: Path) -> dict[str, str]:
    rows = tables.read(file, "", "data.path")
    names = {}
    for number, cell in zip(rows.numbers, rows.cells.get("split", ()), strict=False):
        if is_missing(cell.strip()):
            continue
        names[rows.name(number)] = split_of(cell.strip())
        if not names[rows.name(number)]:
            raise ValueError(
                f"data.path: {str(file)!r}, {rows.name(number)}: expected 'train', 'val', 'test' "
                f"or an empty cell in the column 'split'; received {cell.strip()!r}"
            )
    return names
