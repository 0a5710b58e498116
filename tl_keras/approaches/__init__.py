"""One module for each command that trains or uses a model; each reads from top to bottom."""
