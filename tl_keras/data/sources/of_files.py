"""The sources of files, by `data.source`."""

from tl_keras.data.sources.folders import list_folder
from tl_keras.data.sources.tables import list_csv

# Sources of files that a person may change between two commands.
OF_FILES = {"folder": list_folder, "csv": list_csv}
