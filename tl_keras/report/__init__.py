"""Turns run folders into self-contained HTML pages and a model card.

Only reads files; does not import TensorFlow.
"""
