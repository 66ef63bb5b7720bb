"""Runtime versions of Google's old service, to say what is known of one where its name is used. Data."""

from __future__ import annotations

import re

from modelport.core.frameworks import Framework

# The last of TensorFlow 1 and all of TensorFlow 2; each had the TensorFlow of its own number.
GOOGLE_RUNTIMES = ("1.15", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11")

# How each framework's model files age; said where an old runtime version is asked for.
ADVICE: dict[Framework | None, str] = {
    Framework.TENSORFLOW: "SavedModels of TensorFlow 2 load in newer releases",
    Framework.SCIKIT_LEARN: "Pickled models must be stored anew by the newer scikit-learn, which is best done by"
    " training again",
    Framework.XGBOOST: "Models of `save_model` load in newer releases, pickled ones do not",
    None: "Try whether the model loads in the newer libraries",
}


def is_of_google(name: str) -> bool:
    """Return whether a name has the form of those of the old service, known or not: `1.4`, `2.11`."""
    return re.fullmatch(r"[12]\.[0-9]{1,2}", name) is not None
