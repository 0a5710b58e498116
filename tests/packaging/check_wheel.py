"""Checks what a built wheel and a built sdist hold: python check_wheel.py WHEEL SDIST."""

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

# Data files that the package reads. Without one of them only a part of it fails, and late.
NEEDED = (
    *("py.typed", "embedded/glyphs.weights.h5", "embedded/quickstart.yaml"),
    "embedded/quickstart_text.yaml",
    *("report/pages/style.css", "modalities/image/device/README.md"),
    *("modalities/text/device/README.md", "modalities/text/device/native.md"),
    *("modalities/text/device/tokens.h", "modalities/text/device/classify.cc"),
    *("modalities/text/device/Tokens.kt", "modalities/text/device/TextClassifier.kt"),
    *("embedded/english.txt.gz", "modalities/text/tokens/characters.txt"),
    *("embedded/minilm_words.npz", "modalities/text/drawn/intents.tsv"),
    *("modalities/image/device/prepare.h", "modalities/image/device/classify.cc"),
    *("modalities/image/device/Classifier.kt", "modalities/image/device/Prepare.kt"),
)
LARGEST = 8_000_000  # Bytes of the wheel; the weights and the token vectors take 5.5 MB of them.


def check(wheel: Path, sdist: Path, checkout: Path) -> Iterable[str]:
    """Yields what is wrong with a wheel and an sdist, a line for each fault."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(about))
    yield from _metadata_faults(metadata)
    for name in NEEDED:
        if f"tl_keras/{name}" not in names:
            yield f"{wheel.name} lacks tl_keras/{name}"
    for file in (checkout / "tl_keras").rglob("*"):
        name = file.relative_to(checkout).as_posix()
        if file.is_file() and "__pycache__" not in name and name not in names:
            yield f"{wheel.name} lacks {name}; add it to options.package_data in setup.cfg"
    for name in names:
        top = PurePosixPath(name).parts[0]
        if top != "tl_keras" and not top.endswith(".dist-info"):
            yield f"{wheel.name} holds {name}, which is not part of the package"
    if wheel.stat().st_size > LARGEST:
        yield f"{wheel.name} has {wheel.stat().st_size:,} bytes; expected at most {LARGEST:,}"
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tl_keras/py.typed"):
        if name not in inside:
            yield f"{sdist.name} lacks {name}"


def _metadata_faults(metadata: Message) -> Iterable[str]:
    for field in ("Name", "Version", "Summary", "Requires-Python", "License-Expression"):
        if not metadata[field]:
            yield f"the metadata lack {field}"
    if metadata["Description-Content-Type"] != "text/markdown":
        yield "the metadata do not say that the description is Markdown"
    if not metadata.get_payload():
        yield "the metadata lack the README as the description"


if __name__ == "__main__":
    faults = list(check(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parents[2]))
    print("\n".join(faults) or "the wheel and the sdist hold what they should")
    sys.exit(1 if faults else 0)
