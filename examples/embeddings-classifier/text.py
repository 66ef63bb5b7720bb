"""What happens to the texts between the two models: plain functions over all rows of a call."""

import re
import zlib

import numpy as np

BUCKETS = 8192  # rows of the embedding's table; row 0 is padding
LENGTH = 128  # parts of a text that are looked at
TOPICS = ("billing", "delivery", "returns", "account")


def parts(text: str) -> list[int]:
    """Return the rows of the table for a text: one for each word, and one for each three letters of it.

    Words that training has never seen share letters with some that it has: "refunded" is close to "refund".
    """
    found = []
    for word in re.findall(r"[a-z]+", text.lower()):
        edged = f"<{word}>"
        found += [edged, *(edged[start : start + 3] for start in range(len(edged) - 2))]
    return [1 + zlib.crc32(one.encode()) % (BUCKETS - 1) for one in found]


def ids(texts: list[str]) -> np.ndarray:
    """Return the rows of the embedding's table for each text, all of one length."""
    rows = np.zeros((len(texts), LENGTH), np.int64)
    for row, text in zip(rows, texts, strict=True):
        if not isinstance(text, str):
            raise ValueError(f"an instance is {text!r}; a text is wanted")
        found = parts(text)[:LENGTH]
        row[: len(found)] = found
    return rows


def marks(texts: list[str]) -> np.ndarray:
    """Return what letters do not tell: sums of money, numbers of orders, addresses of mail, exclamation marks."""
    patterns = (r"[$€£]\s?\d", r"#\d+", r"\S@\S", r"!")
    return np.array([[len(re.findall(one, str(text))) for one in patterns] for text in texts], np.float32)


def features(embedding: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return the rows of both branches side by side, as the classifier was trained on."""
    return np.hstack([embedding, np.minimum(marks, 2)]).astype(np.float32)


def label(probabilities: np.ndarray) -> list[dict]:
    """Return the most probable topic of each row, and how probable it is."""
    return [{"topic": TOPICS[row.argmax()], "probability": round(float(row.max()), 4)} for row in probabilities]
