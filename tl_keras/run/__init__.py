"""A run's folder: opened, marked, recorded, finished; files that are whole or not there."""
