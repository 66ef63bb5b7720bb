"""What stands before and behind the model. Each function takes all rows of a call, and gives as many."""

import numpy as np

MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SPECIES = ("setosa", "versicolor", "virginica")


def measures(flowers: list[dict]) -> np.ndarray:
    """Make of the instances of a request what the model takes; callers get a ValueError as 400, with its words."""
    rows = np.empty((len(flowers), len(MEASURES)))
    for index, flower in enumerate(flowers):
        try:
            rows[index] = [flower[name] for name in MEASURES]
        except (KeyError, TypeError, ValueError) as error:
            wanted = ", ".join(MEASURES)
            raise ValueError(f"instances[{index}] is {flower!r}; an object with numbers {wanted} is wanted") from error
    return rows


def label(probabilities: np.ndarray) -> list[dict]:
    """Make of what the model gave one prediction for each instance."""
    return [{"species": SPECIES[row.argmax()], "probability": round(float(row.max()), 3)} for row in probabilities]
