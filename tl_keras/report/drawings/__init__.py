"""Turns numbers and names into text, HTML and SVG charts for the report."""
