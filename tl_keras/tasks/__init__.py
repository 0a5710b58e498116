"""What an answer is."""
