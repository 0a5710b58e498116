"""Whether the data of a finished run are still those that it was made of, without reading them."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl_keras.config import DataConfig
from tl_keras.data import sources, tables
from tl_keras.data.examples import Listing
from tl_keras.data.layout import some

LISTED = {"folder": sources.list_folder, "csv": tables.list_csv}  # Others do not change.


def stamp(listing: Listing) -> str:
    """SHA-256, hex, of the names, labels, splits, groups and sizes of all files of a listing."""
    digest = hashlib.sha256()
    for listed in sorted(listing.files, key=lambda listed: listed.file):
        row = (listed.file, listed.label, listed.split, listed.group)
        digest.update("\0".join((*row, str(_size(listing.root / listed.file)), "")).encode())
    for entry in sorted(listing.quarantined, key=lambda entry: entry.file):
        digest.update(f"{entry.file}\0".encode())
    return digest.hexdigest()


def list_unlabelled(config: DataConfig) -> Listing:
    """All files of the folder `data.unlabelled`, of whatever layout, without labels."""
    listing = Listing(Path(config.unlabelled), [])
    sources.list_class(listing.root, "", "", listing)
    return listing


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def since(config: DataConfig, recorded: Mapping[str, Any], finished: float) -> str | None:
    """What has changed in the files of a data set, in words; None if nothing has, or nobody knows.

    Only files that were changed later than the run was finished are read.

    Args:
      recorded: the run's `data.json`.
      finished: when that was, seconds since the epoch.
    """
    before, folder = recorded.get("listed_unlabelled"), config.unlabelled
    if before and folder and os.path.isdir(folder) and stamp(list_unlabelled(config)) != before:
        return f"other files in data.unlabelled, {folder!r}"
    if config.source not in LISTED or "listed" not in recorded or not os.path.exists(config.path):
        return None
    try:
        listing = LISTED[config.source](config)
    except ValueError as error:
        return str(error)
    if stamp(listing) != recorded["listed"]:
        return _difference(listing, recorded)
    changed = _rewritten(listing, recorded, finished)
    return f"other content in {some(changed)}" if changed else None


def _difference(listing: Listing, recorded: Mapping[str, Any]) -> str:
    before = {file for files in recorded["splits"].values() for file in files}
    before.update(entry["file"] for entry in recorded["quarantined"])
    before.update(recorded["omitted"])
    now = {listed.file for listed in listing.files}
    now.update(entry.file for entry in listing.quarantined)
    told = [
        f"{len(files)} file{'s' if len(files) > 1 else ''} {how}, {some(files)}"
        for how, files in (("more", sorted(now - before)), ("gone", sorted(before - now)))
        if files
    ]
    return "; ".join(told) or "other labels, splits, groups or sizes of files"


def _rewritten(listing: Listing, recorded: Mapping[str, Any], finished: float) -> list[str]:
    known = {
        file: digest
        for split, files in recorded["splits"].items()
        for file, digest in zip(files, recorded["digests"][split], strict=True)
    }
    changed = []
    for listed in listing.files:
        path = listing.root / listed.file
        if listed.file in known and path.stat().st_mtime > finished:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != known[listed.file]:
                changed.append(listed.file)
    return changed
