"""What is in the bytes that come. A text is refused and the bytes `fail` fail, each with a status of its own."""

from ts.utils.util import PredictionException


def handle(data, context):
    """Return one answer for each request of the batch that TorchServe made; none where it only loads the model."""
    return [_measured(one["data"] if "data" in one else one["body"]) for one in data or []]


def _measured(content):
    if isinstance(content, str):
        raise PredictionException("no text, please", 422)
    if content == b"fail":
        raise PredictionException("not today", 500)
    return {"bytes": len(content), "sum": sum(content)}
