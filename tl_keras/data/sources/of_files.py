"""Says which function lists the user's own files, by the value of `data.source`."""

from tl_keras.data.sources.folders import list_folder
from tl_keras.data.sources.tables import list_csv

# The user may change these files between two commands.
OF_FILES = {"folder": list_folder, "csv": list_csv}
