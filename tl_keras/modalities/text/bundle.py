"""Writes the folder `export/device/` of a text model."""

TASKS: tuple[str, ...] = ()  # The tasks for which the folder can be written.
