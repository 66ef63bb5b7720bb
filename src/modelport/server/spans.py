"""Where the time of one request went, for the `server-timing` header and the metrics.

The header is written for every answer, so it is put together from ready parts: what the model's three calls took is
written once for all requests of a batch, and short times are looked up instead of formatted.
"""

from __future__ import annotations

# Formatting a float costs more than all else here; nearly every time of a small model is found in this table.
_MILLISECONDS = tuple(b"%d.%03d" % divmod(microseconds, 1000) for microseconds in range(2048))


class Spans:
    """Seconds spent in each part: reading, waiting for the model, the model's three calls, writing the answer."""

    __slots__ = ("_model", "parse", "postprocess", "predict", "preprocess", "queue", "serialise")

    def __init__(
        self, queue: float = 0.0, preprocess: float = 0.0, predict: float = 0.0, postprocess: float = 0.0
    ) -> None:
        self.parse = 0.0
        self.queue = queue
        self.preprocess = preprocess
        self.predict = predict
        self.postprocess = postprocess
        self.serialise = 0.0
        self._model = b""

    @property
    def model(self) -> float:
        """Return the seconds of the model's three calls together."""
        return self.preprocess + self.predict + self.postprocess

    def of_request(self, queue: float) -> Spans:
        """Return the spans of one of the requests that this call of the model answers."""
        spans = Spans(queue, self.preprocess, self.predict, self.postprocess)
        spans._model = self._model = self._model or self._of_model()
        return spans

    def then(self, later: Spans) -> Spans:
        """Return the spans of this call of the model and a later one for the same request."""
        return Spans(
            self.queue,
            self.preprocess + later.preprocess,
            self.predict + later.predict,
            self.postprocess + later.postprocess,
        )

    def header(self) -> bytes:
        """Return the value of a `server-timing` header, milliseconds with microseconds behind the point."""
        parts = (
            b"parse;dur=",
            _milliseconds(self.parse),
            b", queue;dur=",
            _milliseconds(self.queue),
            self._model or self._of_model(),
            _milliseconds(self.serialise),
        )
        return b"".join(parts)

    def _of_model(self) -> bytes:
        return b", preprocess;dur=%b, predict;dur=%b, postprocess;dur=%b, serialise;dur=" % (
            _milliseconds(self.preprocess),
            _milliseconds(self.predict),
            _milliseconds(self.postprocess),
        )


def _milliseconds(seconds: float) -> bytes:
    microseconds = int(seconds * 1e6 + 0.5)
    return _MILLISECONDS[microseconds] if 0 <= microseconds < 2048 else b"%.3f" % (seconds * 1e3)
