"""What is copied to `export/device/` of a run: code for devices, and what checks it."""
