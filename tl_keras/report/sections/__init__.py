"""Sections of a page: a run in, HTML out."""
