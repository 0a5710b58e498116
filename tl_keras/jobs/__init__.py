"""Runs jobs: a job is a config and a folder."""
