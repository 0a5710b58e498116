"""Rows of numbers: a file holds one row, as text with spaces between its numbers."""
