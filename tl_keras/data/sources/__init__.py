"""Sources of examples: class folders, CSV tables, TFDS. They list files without reading them."""
