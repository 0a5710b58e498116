"""Says which function lists the user's own files, by the value of `data.source`."""

from pathlib import Path

from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Listing
from tl_keras.data.sources import folders, tables
from tl_keras.data.sources.suffixes import named_as_examples
from tl_keras.data.table_files.table import is_table
from tl_keras.modalities import part

# The user may change these files between two commands.
OF_FILES = {
    "folder": folders.list_folder,
    "csv": tables.list_table,
    "jsonl": tables.list_table,
}


def list_unlabelled(path: Path, config: RunConfig, field: str) -> Listing:
    """Returns the files of a folder of any layout, or the cells of a table of examples.

    Args:
      field: the field or flag that has the path, for messages.

    Raises:
      ValueError: the table cannot be used.
    """
    if may_be_table(path, config.modality):
        return tables.list_unlabelled(path, config, field)
    return named_as_examples(folders.list_unlabelled(path), config.modality)


def may_be_table(path: Path, modality: str) -> bool:
    """Returns whether a path is a table file of a modality whose examples may be cells."""
    has_cells = part(modality, "config").COLUMN is not None
    return has_cells and is_table(path) and path.is_file()
