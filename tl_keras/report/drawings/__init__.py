"""HTML and SVG out of numbers."""
