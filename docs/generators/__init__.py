"""One module for each generated page of the documentation; see `docs/generate.py`."""
