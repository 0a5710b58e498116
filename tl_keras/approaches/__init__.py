"""One module for each command that trains or uses a model. Its `run` has the steps in order."""
