"""What parallel training does: labels, students, and merging them."""
