"""`python -m tl_keras COMMAND` does the same as `tl-keras COMMAND`."""

import sys

if not sys.flags.safe_path:
    # Python puts the current folder first, and a `random.py` there would run in place of its own.
    del sys.path[0]

from tl_keras.cli import main

sys.exit(main())
