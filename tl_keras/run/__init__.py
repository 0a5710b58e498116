"""The folder of a run: opens, marks, records and finishes it. Files are written atomically."""
