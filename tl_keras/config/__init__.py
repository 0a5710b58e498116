"""The config of a run: its sections, reading and writing YAML, checks and their messages."""
