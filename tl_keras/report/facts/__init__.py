"""Computes what a page shows of a run: counts, intervals, ranked trials."""
