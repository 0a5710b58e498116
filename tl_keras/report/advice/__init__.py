"""Gives a verdict and advice on a run, as plain text."""
