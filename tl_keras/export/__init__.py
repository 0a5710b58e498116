"""Exports a model to several formats; loads and measures each file, and repairs inaccurate ones."""
