"""One of several classes: a module for each part of the seam, see `tl_keras.tasks`."""
