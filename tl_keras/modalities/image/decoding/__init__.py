"""Decodes image files, and finds the files that cannot be decoded before training begins."""
