"""The data set `intents` inside the package: what people write to the assistant of a shop.

Each text of `intents.tsv` was written by hand for tl_keras, under the licence of the package. The
texts have questions, fragments, slang and typing errors. Some are near the border between two
classes, such as `cancel` and `refund`. The texts must never change, since published scores refer
to them: a test pins their checksum.
"""

import importlib.resources

import numpy as np

CLASSES = (
    "cancel",  # End an order, an appointment or a contract.
    "change_address",  # Deliver to another place, or correct an address.
    "complaint",  # Bad service, staff or quality, without a claim for money.
    "opening_hours",
    "order_status",  # Where an order is, and when it arrives.
    "refund",  # Returns, wrong charges and money back.
    "technical_problem",  # A device, the app or the website does not work.
    "thanks",  # Thanks and praise.
)


def texts() -> tuple[np.ndarray, np.ndarray]:
    """Returns the texts, `(texts,) object` of bytes in UTF-8, and labels `(texts,) int64`."""
    file = importlib.resources.files("tl_keras.modalities.text.drawn") / "intents.tsv"
    _, *lines = file.read_bytes().splitlines()  # The first line names the columns.
    names, written = zip(*(line.split(b"\t") for line in lines), strict=True)
    labels = [CLASSES.index(name.decode()) for name in names]
    return np.array(written, object), np.array(labels, np.int64)
