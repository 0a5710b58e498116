"""Sphinx's settings: `python -m sphinx -W --keep-going docs docs/_build`."""

from tl_keras.version import VERSION

project = "tl_keras"
author = "The tl_keras authors"
copyright = author
release = VERSION

extensions = ["myst_parser"]
exclude_patterns = ["_build", "generators"]
html_theme = "furo"
html_title = f"tl_keras {VERSION}"
# Headings down to this level are targets of links, under the names that code hosts give them.
myst_heading_anchors = 4
nitpicky = True
# For `-b linkcheck`, which needs a network and runs on request.
linkcheck_timeout = 20
linkcheck_retries = 2
