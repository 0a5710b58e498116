"""One module per file format, and shared steps of the LiteRT formats."""
