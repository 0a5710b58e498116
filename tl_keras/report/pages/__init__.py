"""Writes the HTML pages and the model card."""
