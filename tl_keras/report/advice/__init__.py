"""Writes the report's plain text on whether a model is good enough, and what to do next."""
