"""Where examples come from: folders of classes, tables, TFDS; listed before any file is read."""
