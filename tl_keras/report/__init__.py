"""Run folders in, self-contained pages and a model card out. Reads files only, no TensorFlow."""

from tl_keras.report.compare import write as compare
from tl_keras.report.page import refresh, write

__all__ = ["compare", "refresh", "write"]
