"""Scripts and source code that run on a device; each export gets a copy."""
