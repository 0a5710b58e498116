"""Writes HTML pages and a model card from the files of run folders.

Each page is one file that loads nothing else. This package does not import TensorFlow.
"""
