"""Images that the package renders itself."""
