import toy

toy.install()

from tl_keras.cli import run_as  # noqa: E402

if __name__ == "__main__":
    run_as(None)
