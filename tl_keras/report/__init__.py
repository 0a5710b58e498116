"""A run folder in, one self-contained report.html out. Reads files only, imports no TensorFlow."""

from tl_keras.report.page import refresh, write

__all__ = ["refresh", "write"]
