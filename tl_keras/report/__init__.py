"""Run folders in, self-contained pages and a model card out. Reads files only, no TensorFlow."""
