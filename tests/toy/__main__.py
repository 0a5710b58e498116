import toy

toy.install()

import sys  # noqa: E402

from tl_keras.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
