"""Tracebacks of user code in the log: for each place where it fails one a minute, whatever number of requests come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from modelport.core.errors import Error
from modelport.server.predictor_source import failing_place

_LOG = logging.getLogger("modelport.server")
_EVERY_S = 60.0
_PLACES = 64


class Tracebacks:
    """Writes a traceback where the same failure was not written a moment ago; says how many it left out.

    A context round a call of user code: what that raises is written, and goes on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, whose: str = "the predictor") -> None:
        self._clock = clock
        self._whose = whose
        self._written: dict[tuple[str, str], tuple[float, int]] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            self.write(error)

    def write(self, error: Exception) -> None:
        """Log a failure of user code; an error of ours says all in itself and is left out."""
        if isinstance(error, Error):
            return
        key = (type(error).__name__, failing_place(error))
        now = self._clock()
        last, left_out = self._written.get(key, (-_EVERY_S, 0))
        if now - last < _EVERY_S:
            self._written[key] = (last, left_out + 1)
            return
        if len(self._written) >= _PLACES:
            self._written.clear()
        self._written[key] = (now, 0)
        again = f" ({left_out} more like it since the last traceback)" if left_out else ""
        _LOG.error("%s failed%s", self._whose, again, exc_info=error)
