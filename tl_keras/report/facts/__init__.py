"""Computes the facts that the report shows about a run: counts, intervals, ranked trials."""
