"""Images that the package draws itself."""
