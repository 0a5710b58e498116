"""The ways to transfer: each says what happens, in order."""
