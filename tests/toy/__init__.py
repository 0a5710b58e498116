"""A second modality with its backbone and a second task, put in through the dicts of built-in ones.

The package names none of them. `install` has to run before `tl_keras.config` is imported:
conftest.py calls it, and `python -m toy COMMAND` is `tl-keras COMMAND` with them, for processes of
their own.
"""

from tl_keras import modalities, tasks


def install() -> None:
    """Makes the modality `rows`, the backbone `ToyGated` and the task `numbers` known."""
    modalities.MODALITIES["rows"] = "toy.rows"
    tasks.TASKS["numbers"] = "toy.numbers"
    from tl_keras.backbones import table

    table.BACKBONES["ToyGated"] = "toy.backbone"
