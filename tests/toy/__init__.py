"""A second modality with its own backbone, and a second task, added to the package's tables.

The package itself mentions none of them. `install` must run before `tl_keras.config` is imported.
`python -m toy COMMAND` calls it and then runs `tl-keras COMMAND`.
"""

from tl_keras import modalities, tasks


def install() -> None:
    """Adds the modality `rows`, the task `numbers` and the backbone `ToyGated` to the tables."""
    modalities.MODALITIES["rows"] = "toy.rows"
    tasks.TASKS["numbers"] = "toy.numbers"
    from tl_keras.backbones import table

    table.BACKBONES["ToyGated"] = "toy.backbone"
