"""Notices callers who have hung up: one timer looks at all who wait, so that none needs one of its own."""

from __future__ import annotations

import asyncio
from typing import Protocol

from modelport.server.exchange import Reply

_PERIOD_S = 0.1


class Watched(Protocol):
    """Something that is done for a caller."""

    @property
    def reply(self) -> Reply:
        """Return where the caller is answered."""
        ...

    def hung_up(self) -> None:
        """Stop: nobody wants the answer any more. Called once at most."""
        ...


class HangUps:
    """What is being done for callers. A member that hangs up is forgotten."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[Watched, None] = {}
        self._looking = False

    def watch(self, one: Watched) -> None:
        """Look after one more."""
        self._watched[one] = None
        if not self._looking:
            self._looking = True
            self._loop.call_later(_PERIOD_S, self._look)

    def forget(self, one: Watched) -> None:
        """Look after one less, which may be gone already."""
        self._watched.pop(one, None)

    def _look(self) -> None:
        for one in [one for one in self._watched if one.reply.closed]:
            self.forget(one)
            one.hung_up()
        self._looking = bool(self._watched)
        if self._looking:
            self._loop.call_later(_PERIOD_S, self._look)
