"""Trains the booster and writes it as model.ubj into a folder: `python train.py FOLDER`.

Small and reproducible: the shipments are drawn here, by rules that the booster is to find again. Read your own table
in their place.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import table
import xgboost

SHIPMENTS = 2000


def drawn() -> tuple[pd.DataFrame, np.ndarray]:
    """Return shipments, of which a tenth of all values are missing, and how late each was."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "carrier": chance.choice(table.CARRIERS, SHIPMENTS),
            "service": chance.choice(table.SERVICES, SHIPMENTS),
            "distance_km": chance.uniform(1, 2000, SHIPMENTS).round(),
            "weight_kg": chance.gamma(2, 5, SHIPMENTS).round(1),
            "ordered": pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 24 * 60, SHIPMENTS), unit="h"),
        }
    )
    days = (
        frame["distance_km"] / 400
        + frame["weight_kg"] / 20
        + frame["carrier"].map({"bike": 0, "rail": 0.5, "road": 1, "sea": 4})
    )
    days += (frame["ordered"].dt.day_of_week >= 4) * 1.5 - (frame["service"] == "express") * 1.5
    frame["ordered"] = frame["ordered"].astype(str)
    late = np.digitize(days, [4, 6])
    return frame.mask(chance.uniform(size=frame.shape) < 0.1), late


def train(folder: Path) -> Path:
    frame, late = drawn()
    rows = table.columns(frame.to_dict("records"))
    parameters = {"objective": "multi:softprob", "num_class": len(table.LABELS), "max_depth": 4, "nthread": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, late), num_boost_round=40)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.ubj"
    booster.save_model(path)
    return path


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")
