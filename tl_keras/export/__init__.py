"""Exports: each format is written, loaded back, measured against model.keras, and mended."""
