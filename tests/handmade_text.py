"""A run folder of texts, written by hand, with hostile texts, for tests of the report."""

import json
from pathlib import Path

import handmade

from tl_keras.modalities.text.marking.excerpts import Mark, excerpt, to_json
from tl_keras.run.files import write_json

ARABIC = "الخدمة كانت سيئة والطعام بارد, لن أعود أبدا"
HOSTILE = 'The <script>alert(1)</script> soup & the "waiter" was dull, cold and slow.'
LONG = " ".join(f"word{i} of a long review" for i in range(300))
TEXTS = {
    "sub/<b>.txt": HOSTILE,
    "rtl.txt": ARABIC,
    "long.txt": LONG,
    "right.txt": "A lovely evening, the soup was excellent.",
    "lost.txt": None,
}
ROWS = [
    ("right.txt", handmade.SCRIPT, handmade.SCRIPT, 0.97),
    ("sub/<b>.txt", handmade.SCRIPT, handmade.HAN, 0.666),
    ("rtl.txt", handmade.HAN, handmade.SCRIPT, 0.777),
    ("long.txt", handmade.HAN, handmade.SCRIPT, 0.888),
    ("lost.txt", handmade.MATH, handmade.SCRIPT, 0.555),
]


def marks(text: str, **weights: float) -> dict:
    """Returns an excerpt for the index of a run, in which some words are marked."""
    places = [(text.index(word), word, weight) for word, weight in weights.items()]
    return to_json(excerpt(text, [Mark(p, p + len(word), w) for p, word, w in places]))


def findings() -> dict:
    """Returns findings on the texts, of each kind."""
    near = {"files": ["sub/<b>.txt", "right.txt"], "splits": ["train", "test"]}
    odd = {"file": "sub/<b>.txt", "text": "<i>Das", "why": "probably <German> instead of English"}
    return {
        "near_duplicates": [{**near, "labels": [handmade.SCRIPT, handmade.HAN], "distance": 12}],
        "rare": [],
        "lengths": {
            "n": 5,
            "median": 19.0,
            "p95": 300.0,
            "longest": 1502,
            "limit": 128,
            "truncated": 0.2,
            "odd": [{"file": "long.txt", "text": "word0 of …", "tokens": 1502, "why": "79 times"}],
        },
        "scripts": {
            "n": 5,
            "scripts": {"Latin": 4, "Arabic": 1},
            "languages": {"English": 3, "German": 1},
            "odd": [{**odd, "script": "Latin"}],
        },
    }


def make(folder: Path) -> Path:
    """Writes the folder of a finished run of texts, and returns its path."""
    run = handmade.make(folder)
    (run / "config.yaml").write_text(
        "data: {source: folder, modality: text, path: data}\n"
        "text: {length: 128, augment: [{delete: 0.1}]}\n"
    )
    data = json.loads((run / "data.json").read_text())["root"]
    for name, text in TEXTS.items():
        if text is not None:
            (Path(data) / name).parent.mkdir(exist_ok=True)
            (Path(data) / name).write_text(text, encoding="utf-8")
    lines = ["file,split,label,prediction,probability"]
    for file, label, prediction, probability in ROWS:
        quoted = ['"{}"'.format(cell.replace('"', '""')) for cell in (label, prediction)]
        lines.append(f"{file},test,{','.join(quoted)},{probability}")
    (run / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(run / "findings.json", findings())
    heats = {
        "sub/<b>.txt": marks(HOSTILE, **{"<script>": 1.0, "dull": 0.6, "soup": -0.4}),
        "rtl.txt": marks(ARABIC, **{"سيئة": 1.0, "بارد": -0.5}),
        "long.txt": marks(LONG, word150=1.0, word290=-0.9, word3=0.2),
    }
    right = {"file": "right.txt", "split": "test"}
    (run / "pictures").mkdir(exist_ok=True)
    index = {
        "mistakes": [{"file": f, "split": "test", "heat": heat} for f, heat in heats.items()],
        "right": [{**right, "heat": marks(TEXTS["right.txt"], excellent=1.0, lovely=0.7)}],
        "augmented": [
            {
                "file": "sub/<b>.txt",
                "original": marks(HOSTILE),
                "views": [marks("the soup & the waiter"), marks("[MASK] [MASK] was dull")],
            }
        ],
    }
    write_json(run / "pictures" / "index.json", index)
    return run
