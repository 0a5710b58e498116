"""Sections of a page. Each function takes a run and returns HTML."""
