"""Prepares and runs jobs. A job is a config and a folder. It runs in this process or another."""
