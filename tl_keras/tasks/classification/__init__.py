"""The task `classification`: each module is a part of a task, as listed in `tl_keras.tasks`."""
