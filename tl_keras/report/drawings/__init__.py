"""Draws numbers as text, HTML and SVG."""
