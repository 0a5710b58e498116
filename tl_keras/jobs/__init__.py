"""Prepares and runs jobs. A job is a config and a folder, run in this process or in its own."""
