"""Tokenisers: from a text to token ids."""
