"""Leaves out files that can be read as examples, but whose names say that they are none."""

import os
from dataclasses import replace

from tl_keras.config.messages import with_article
from tl_keras.data.examples import Listing, Quarantined
from tl_keras.modalities import nouns, part


def named_as_examples(listing: Listing, modality: str) -> Listing:
    """Returns a listing without files such as `README.md` among `.txt` files.

    Files whose suffix is not that of an example are left out if other files have such a suffix.
    This is done only for modalities whose examples may be cells of a table: every file that a
    person can read would be such an example. Files of other modalities show by their content what
    they are.
    """
    config = part(modality, "config")
    known = [entry for entry in listing.files if _suffix(entry.file) in config.SUFFIXES]
    if config.COLUMN is None or not known or len(known) == len(listing.files):
        return listing
    kept, left_out = [], []
    for entry in listing.files:
        suffix = _suffix(entry.file)
        if suffix in config.OTHER_SUFFIXES:
            reason = f"the suffix {suffix} is not that of {with_article(nouns(modality)[0])}"
            left_out.append(Quarantined(entry.file, reason, is_bad=False))
        else:
            kept.append(entry)
    return replace(listing, files=kept, quarantined=[*listing.quarantined, *left_out])


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()
