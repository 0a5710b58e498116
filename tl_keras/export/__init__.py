"""Exports a model: writes each format, loads the file back, measures it, repairs it if needed."""
