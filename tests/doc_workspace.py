"""A folder with small data in which the pages of the documentation are tried.

What a page trains is made small, so that a page takes seconds: tiny pictures, few epochs, the
backbone that ships with the package. A run that an earlier page has made is copied, not made again.
"""

import copy
import csv
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from shapes import draw

from tl_keras import launch
from tl_keras.config import text as configs
from tl_keras.modalities.text.drawn import intents

NAMES = {"cross": "ants", "disc": "bees", "square": "wasps"}
EMBEDDED = {"backbone": "MobileNet", "options": {"alpha": 0.5}, "weights": "glyphs"}


class Workspace:
    """The folder of all pages. It holds:

    - `photos/`: 24 pictures each of ants, bees and wasps; `photos.csv` lists them.
    - `more/`: the same classes, other pictures, as a set to evaluate on.
    - `others/`: pictures without labels.
    - `new/`: three pictures to predict.
    - `reviews.csv`: texts, positive and negative; `new_reviews.csv`: texts without labels.
    """

    def __init__(self, folder: Path, shared: Path) -> None:
        """Draws the data.

        Args:
          folder: a folder of this process.
          shared: a folder of all processes that try pages, for finished runs and activations.
        """
        self.folder = folder / "page"
        self.finished = shared / "finished"
        self.finished.mkdir(parents=True, exist_ok=True)
        self.cache = shared / "cache"
        self.data = folder / "data"
        for name, count, seed in (("photos", 24, 0), ("more", 6, 1), ("others", 16, 2)):
            draw(self.data / name, count, seed)
            for shape, own in NAMES.items():
                (self.data / name / shape).rename(self.data / name / own)
        (self.data / "new").mkdir()
        for i, own in enumerate(NAMES.values()):
            shutil.copy(self.data / "more" / own / "0.png", self.data / "new" / f"{i}.png")
        for file in sorted((self.data / "others").glob("*/*.png")):
            file.rename(self.data / "others" / f"{file.parent.name[0]}_{file.name}")
        for own in NAMES.values():
            (self.data / "others" / own).rmdir()
        rows = [
            f"{file.relative_to(self.data)},{file.parent.name}"
            for file in sorted((self.data / "photos").glob("*/*.png"))
        ]
        (self.data / "photos.csv").write_text("\n".join(["path,label", *rows, ""]))
        for name, columns in (("reviews", ("text", "label")), ("new_reviews", ("text",))):
            with (self.data / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(reviews() if name == "reviews" else [*reviews()][::20])

    @contextmanager
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The workspace as a page finds it: data and no runs, and the current folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.data, self.folder)
        monkeypatch.chdir(self.folder)
        monkeypatch.setattr(configs, "from_tree", self._small(configs.from_tree))
        monkeypatch.setattr(launch, "launch", self._copied(launch.launch))
        yield

    def written(self, text: str) -> Path:
        """A YAML file with this text."""
        file = self.folder / f"{hashlib.sha1(text.encode()).hexdigest()[:8]}.yaml"
        file.write_text(text)
        return file

    def _small(self, from_tree):
        def small(tree: dict[str, Any]):
            from_tree(tree)  # As the page says it.
            return from_tree(shrunk(tree, self.cache))

        return small

    def _copied(self, original):
        def launched(command, config, workdir, *rest):
            line = f"{command}\n{os.path.relpath(workdir, self.folder)}\n{configs.to_yaml(config)}"
            finished = self.finished / hashlib.sha1(line.encode()).hexdigest()
            if finished.is_dir() and not Path(workdir).exists():
                shutil.copytree(finished, workdir)
            run = original(command, config, workdir, *rest)
            if not finished.is_dir():
                # Another process may do the same; the first that is done wins.
                copied = shutil.copytree(run.workdir, tempfile.mkdtemp(dir=self.finished) + "/run")
                with suppress(OSError):
                    os.rename(copied, finished)
            return run

        return launched


def reviews() -> Iterator[dict[str, str]]:
    """Some of the embedded texts as reviews: praise and complaints."""
    labels = {"thanks": "positive", "complaint": "negative"}
    for text, label in zip(*intents.texts(), strict=True):
        if (name := intents.CLASSES[label]) in labels:
            yield {"text": text.decode(), "label": labels[name]}


def has_texts(tree: dict[str, Any]) -> bool:
    """Whether the data of a config are texts."""
    data = tree.get("data") or {}
    path = str(data.get("path") or "")
    is_named = data.get("modality") == "text" or data.get("source") == "intents"
    return is_named or path.endswith("reviews.csv")


def shrunk(tree: dict[str, Any], cache: Path) -> dict[str, Any]:
    """A config as a page has it, made small."""
    tree = copy.deepcopy(tree)

    def section(name: str) -> dict[str, Any]:
        tree[name] = dict(tree.get(name) or {})
        return tree[name]

    if has_texts(tree):
        section("export").setdefault("formats", ["float32", "dynamic"])
        section("model").update(backbone="StaticEmbedding", weights="minilm")
        tree["model"]["options"] = {"dimensions": 8}
        section("fit").update(epochs=2)
        section("cache")["path"] = str(cache)
        return tree
    if tree.get("data", {}).get("source") == "digits":
        section("data").update(examples_per_class=10, test=0.02)
    else:
        section("export").setdefault("formats", ["float32", "int8"])
    section("image")["size"] = 32
    if tree["image"].get("augment") != []:
        tree["image"]["augment"] = [{"flip": "horizontal"}]
    model = section("model")
    if not str(model.get("backbone", "")).endswith(".keras"):
        weights = str(model.get("weights", "imagenet"))
        model.update(EMBEDDED)
        if weights not in ("imagenet", "glyphs"):
            model["weights"] = weights
    fit = section("fit")
    fit.update(epochs=min(_number(fit.get("epochs"), 2), 2), batch_size=8)
    if (search := tree.get("search")) and search.get("trials"):
        section("search")["trials"] = min(search["trials"], 2)
    section("cross_validate").setdefault("folds", 3)
    section("parallel").setdefault("segments", 1)  # Each student is a process.
    section("cache")["path"] = str(cache)
    return tree


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default
