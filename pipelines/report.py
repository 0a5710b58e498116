"""Runs `tl-keras report` from a checkout of the repository."""

from tl_keras.cli import run_as

if __name__ == "__main__":
    run_as("report")
