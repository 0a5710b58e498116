"""Images that the package renders itself: handwritten digits on backgrounds, and printed glyphs."""
