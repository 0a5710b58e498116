"""What a run is: sections of the config, YAML in and out, checks and their messages."""
