"""Run folders in, self-contained pages and a model card out. Reads files only, no TensorFlow."""

from tl_keras.report.page import is_page, refresh, write
from tl_keras.report.side_by_side import write as compare

__all__ = ["compare", "is_page", "refresh", "write"]
