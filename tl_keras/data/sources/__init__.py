"""Lists examples of class folders, CSV files and TensorFlow Datasets. Opens no listed file."""
