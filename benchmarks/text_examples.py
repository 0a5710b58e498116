"""What each config of texts in configs/ gives: scores, seconds, and a picture of its report.

    python benchmarks/text_examples.py --data=DIR --write

DIR has the folder `sst2` with `train.csv`, `val.csv` and `test.csv`, whose columns are text and
label. `reviews` runs on these sentences. `intents` downloads the weights of MiniLM-L6, unless they
are in Keras's cache. Pictures of the reports, light and dark, go to docs/pictures/.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import examples
import page

SPLITS = ("train", "val", "test")


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder with sst2/")
    flags.add_argument("--browser", default="chromium", help="program that takes the pictures")
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        table = Path(temporary, "reviews.csv")
        _join(chosen.data / "sst2", table)
        flags = {"reviews": ["--set", f"data.path={table}"]}
        return examples.run_all(examples.OF_TEXTS, flags, chosen.browser)


def _join(folder: Path, table: Path) -> None:
    """Joins the tables of the three splits to one table with a column `split`."""
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("text", "label", "split"))
        for split in SPLITS:
            with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as part:
                writer.writerows((row["text"], row["label"], split) for row in csv.DictReader(part))


def compared(figures: dict[str, Any]) -> str:
    return (
        "Three files in `configs/` are experiments with texts. `intents.yaml` and "
        "`quickstart_text.yaml` have the same texts, which ship with the package, in the same "
        "splits. `reviews.yaml` was run on the sentences of SST-2."
    )


def headline(figures: dict[str, Any]) -> str:
    quick, large = (
        examples.score(figures[name]["scores"]["test"]) for name in ("quickstart_text", "intents")
    )
    return f"Test accuracy on embedded texts: quickstart {quick}, MiniLM-L6 {large}"


BENCHMARK = page.Benchmark(
    *("text_examples", "Examples with texts, and what each gives"),
    *(parser, measure, compared, examples.results, headline),
)

if __name__ == "__main__":
    page.main(BENCHMARK)
