"""Texts that ship inside the package: what people write to the assistant of a shop."""
