"""Trials over freeze depth, learning rates and other fields."""
