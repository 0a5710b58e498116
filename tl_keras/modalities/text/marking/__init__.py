"""Marks words in texts, and shortens long texts around the marked words."""
