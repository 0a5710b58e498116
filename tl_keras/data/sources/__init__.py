"""Sources of examples: class folders, CSV, TensorFlow Datasets. They list files without opening."""
