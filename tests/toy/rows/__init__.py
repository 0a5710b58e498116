"""The modality of rows of numbers; a file has one row, as text with spaces between the numbers."""
