"""A predictor: code around a model, served by modelport's server. This one tells how pleasant a text sounds.

Only `predict` is required. The type hints are held against each request, and become the schema at /openapi.json.
"""

import json
import re
from pathlib import Path


class Predictor:
    # Predicted before the server says that it is healthy, and by `modelport dry-run`.
    example = ["What a lovely, sunny day", "Rain again"]

    def load(self, model_dir: Path) -> None:
        """Read the model, once; a version's own files where it has some."""
        self.weights = json.loads((model_dir / "words.json").read_text(encoding="utf-8"))

    def preprocess(self, instances: list[str]) -> list[list[str]]:
        """Make of the instances of a request what the model takes."""
        return [re.findall(r"\w+", text.lower()) for text in instances]

    def predict(self, instances: list[list[str]]) -> list[float]:
        """Call the model."""
        return [sum(self.weights.get(word, 0.0) for word in words) for words in instances]

    def postprocess(self, predictions: list[float]) -> list[dict]:
        """Make of what the model gave one prediction for each instance."""
        return [{"score": score, "pleasant": score > 0} for score in predictions]
