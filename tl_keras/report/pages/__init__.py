"""Writes the HTML pages and the model cards of runs."""
