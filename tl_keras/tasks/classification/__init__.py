"""The task of assigning one of several classes; the modules are the parts in `tl_keras.tasks`."""
