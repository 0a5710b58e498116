"""Finds what has changed in the data since a run. Opens only examples written since then."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_keras.config.whole import RunConfig
from tl_keras.data import contents
from tl_keras.data.examples import Listing
from tl_keras.data.sources.of_files import OF_FILES, list_unlabelled
from tl_keras.data.sources.without_labels import list_examples
from tl_keras.data.wording import count_of_examples, number_of, place_of, shortened


def stamp(listing: Listing) -> str:
    """Returns a SHA-256 (hex) of a listing, to recognise whether its files have changed.

    It covers the name, label, split, group and size of each labelled file, and the names of the
    quarantined files. For a cell of a table, its content takes the place of the size.
    """
    digest, in_table = hashlib.sha256(), contents.find_table(listing.root) is not None
    state = contents.reader(listing.root) if in_table else lambda file: _size(listing.root / file)
    for listed in sorted(listing.files, key=lambda listed: listed.file):
        row = (listed.file, listed.label, listed.split, listed.group)
        digest.update("\0".join((*row, str(state(listed.file)), "")).encode())
    for entry in sorted(listing.quarantined, key=lambda entry: entry.file):
        digest.update(f"{entry.file}\0".encode())
    return digest.hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def since(config: RunConfig, recorded: Mapping[str, Any]) -> str | None:
    """Returns a text that says what has changed in the data files since a run listed them.

    Returns None if nothing has changed. Also returns None if this cannot be checked, for example
    because the folder is missing. Only files that were written after the run listed them are read.

    Args:
      recorded: the content of the run's `data.json`.
    """
    stamps = recorded.get("listed", {})
    data = config.data
    folder = data.unlabelled
    if stamps.get("unlabelled") and folder and os.path.exists(folder):
        try:
            listing = list_unlabelled(Path(folder), config, "data.unlabelled")
        except ValueError as error:
            return str(error)
        if stamp(listing) != stamps["unlabelled"]:
            return f"the files of data.unlabelled, {folder!r}, have changed"
    if not stamps.get("data") or not os.path.exists(data.path):
        return None
    try:
        labelled = not recorded.get("objective")
        listing = OF_FILES[data.source](config) if labelled else list_examples(config)
    except ValueError as error:
        return str(error)
    is_same = stamp(listing) == stamps["data"]
    rewritten = list(_rewritten(listing, recorded))
    if rewritten and (moved := _moved(listing, recorded, rewritten)):
        return moved
    changes = [] if is_same else _added_and_removed(listing, recorded)
    if rewritten:
        changes.append(f"changed content of {shortened(rewritten)}")
    if not changes and not is_same:
        changes.append("changed labels, splits or groups")
    return "; ".join(changes) or None


def _added_and_removed(listing: Listing, recorded: Mapping[str, Any]) -> list[str]:
    """Returns texts about added and removed files, such as "2 files added: 'a.png', 'b.png'"."""
    recorded_files, listed_files = _files(listing, recorded)
    differences = {
        "added": sorted(listed_files - recorded_files),
        "removed": sorted(recorded_files - listed_files),
    }
    return [
        f"{count_of_examples(files)} {how}: {shortened(files)}"
        for how, files in differences.items()
        if files
    ]


def _files(listing: Listing, recorded: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Returns the files that the run recorded, and those that are listed now."""
    recorded_files = {file for files in recorded["splits"].values() for file in files}
    recorded_files.update(entry["file"] for entry in recorded["quarantined"])
    recorded_files.update(recorded["omitted"])
    listed_files = {listed.file for listed in listing.files}
    listed_files.update(entry.file for entry in listing.quarantined)
    return recorded_files, listed_files


def _moved(listing: Listing, recorded: Mapping[str, Any], rewritten: Sequence[str]) -> str:
    """Returns how many rows were removed and inserted, if that moved rows of a table; else "".

    A removed row changes the number, and so the name, of each row below it.

    Args:
      rewritten: the rows whose content has changed.
    """
    if contents.find_table(listing.root) is None:
        return ""
    read = contents.reader(listing.root)
    now = {listed.file: hashlib.sha256(read(listed.file)).hexdigest() for listed in listing.files}
    known = Counter(digest for digests in recorded["digests"].values() for digest in digests)
    if not any(now[file] in known for file in rewritten):
        return ""  # Rows were edited where they are.
    recorded_files, listed_files = _files(listing, recorded)
    more = len(listed_files) - len(recorded_files)
    # The contents of rows that the run left out are not recorded.
    removed = max((known - Counter(now.values())).total(), -more)
    unit, counts = place_of(rewritten), {"removed": removed, "inserted": more + removed}
    changes = [f"{number_of(count, unit)} {how}" for how, count in counts.items() if count]
    what = " and ".join(changes) or f"{unit}s in another order"
    return f"{what}; the first {unit} that differs is {rewritten[0]!r}"


def _rewritten(listing: Listing, recorded: Mapping[str, Any]) -> Iterator[str]:
    """Yields each file of train, val or test whose content has changed since the run read it."""
    known = {
        file: digest
        for split, files in recorded["splits"].items()
        for file, digest in zip(files, recorded["digests"][split], strict=True)
    }
    read = contents.reader(listing.root)
    for file in (listed.file for listed in listing.files if listed.file in known):
        status = contents.holder(listing.root / file).stat()
        # `st_ctime` too: a copy may keep the modification time of an older file.
        if max(status.st_mtime, status.st_ctime) >= recorded["listed"]["at"]:
            if hashlib.sha256(read(file)).hexdigest() != known[file]:
                yield file
