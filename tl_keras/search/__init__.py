"""The search over freeze depth, learning rates and other fields of the config."""
