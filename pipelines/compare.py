"""The same as `tl-keras compare`, from a checkout."""

from tl_keras.cli import run_as

if __name__ == "__main__":
    run_as("compare")
