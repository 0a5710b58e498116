SOURCES = {}
FEATURE = None  # TensorFlow Datasets has no rows.
