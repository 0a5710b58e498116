"""Builds Keras models: the whole model, frozen prefix and trained suffix, combined models."""
