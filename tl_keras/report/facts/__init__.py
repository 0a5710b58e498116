"""What a page asks of a run: counts, intervals, trials."""
