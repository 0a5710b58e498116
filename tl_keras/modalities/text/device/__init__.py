"""Scripts and source code that run on a device. An export copies them to `export/device/`."""
