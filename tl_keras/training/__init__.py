"""Trains a model: first the head, then the layers after the frozen prefix of the backbone."""
