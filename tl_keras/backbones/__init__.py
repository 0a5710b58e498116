"""Backbones, and where their weights come from."""
