"""What stands around the booster: from the objects that callers send to its columns, and from its answers to labels.

Training uses the same code, so that both see the same columns.
"""

import numpy as np
import pandas as pd

CARRIERS = ("bike", "rail", "road", "sea")
SERVICES = ("economy", "express")
NUMBERS = ("distance_km", "weight_kg")
LABELS = ("on time", "late", "very late")
WANTED = {"carrier", "service", "ordered", *NUMBERS}


def columns(shipments: list[dict]) -> np.ndarray:
    """Return the numbers that the booster takes; whatever is missing or unknown is NaN, which it has learned about."""
    frame = pd.DataFrame(require(shipments), columns=sorted(WANTED))
    ordered = pd.to_datetime(frame["ordered"], errors="coerce")
    numbers = frame[list(NUMBERS)].apply(pd.to_numeric, errors="coerce")
    parts = [
        one_of("carrier", frame["carrier"], CARRIERS),
        one_of("service", frame["service"], SERVICES),
        numbers,
        pd.DataFrame({"weekday": ordered.dt.day_of_week, "hour": ordered.dt.hour}),
        (numbers["distance_km"] * numbers["weight_kg"]).rename("tonnage"),
    ]
    return pd.concat(parts, axis=1).to_numpy(np.float32)


def one_of(name: str, values: pd.Series, known: tuple[str, ...]) -> pd.DataFrame:
    """Return a column of 0 and 1 for each known value: all of them 0 where the value is another, or missing."""
    values = values.where(values.isin(known))
    return pd.get_dummies(pd.Categorical(values, categories=known), prefix=name, dtype=np.float32)


def require(shipments: list[dict]) -> list[dict]:
    """Return the rows. Raises ValueError, which callers get as 400, where one is no object or has an unknown field."""
    for index, row in enumerate(shipments):
        if not isinstance(row, dict):
            raise ValueError(f"instances[{index}] is {row!r}; an object is wanted")
        if unknown := sorted(row.keys() - WANTED):
            raise ValueError(f"instances[{index}] has `{unknown[0]}`; known: {', '.join(sorted(WANTED))}")
    return shipments


def decode(probabilities: np.ndarray) -> list[dict]:
    """Return the most probable label of each row, and how probable each one is."""
    return [
        {
            "label": LABELS[row.argmax()],
            "probabilities": {name: round(float(one), 4) for name, one in zip(LABELS, row, strict=True)},
        }
        for row in probabilities
    ]
