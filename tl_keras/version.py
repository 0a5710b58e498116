"""The package's version, in one place that imports nothing (setup.cfg reads it too)."""

VERSION = "0.1.0"
