"""What the numbers ask for, as plain text."""
