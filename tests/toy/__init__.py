"""A second modality and its backbone, put in through the dicts that name the built-in ones.

The package names neither. `install` has to run before `tl_keras.config` is imported: conftest.py
calls it, and `python -m toy COMMAND` is `tl-keras COMMAND` with them, for processes of their own.
"""

from tl_keras import modalities


def install() -> None:
    """Makes the modality `rows` and the backbone `ToyGated` known."""
    modalities.MODALITIES["rows"] = "toy.rows"
    from tl_keras.backbones import table

    table.BACKBONES["ToyGated"] = "toy.backbone"
