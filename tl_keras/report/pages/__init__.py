"""Writes whole pages and the model card."""
