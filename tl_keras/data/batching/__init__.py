"""Prepared examples of a split, and the batches that training and evaluation read."""
