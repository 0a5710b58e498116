"""Whole pages and the model card."""
