"""A client of HAProxy's admin socket: lines go in, text comes out; it knows no maps and no servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import anyio

from modelport.core.errors import GatewayRejected, GatewayUnavailable

# HAProxy reads one line of commands into one buffer (16384 bytes, less what it keeps free in it).
_MAX_LINE = 12_000
# 10,000 versions read back are 5 MB; more than this is no answer to anything that is asked here.
_MAX_ANSWER = 64 * 1024**2
_TIMEOUT_S = 5.0


class AdminSocket:
    """Each call is one connection: nothing is left half read when a call is cancelled."""

    def __init__(self, path: Path, *, timeout_s: float = _TIMEOUT_S, max_answer: int = _MAX_ANSWER) -> None:
        self._path = path
        self._max_answer = max_answer
        self._timeout_s = timeout_s

    async def ask(self, command: str) -> str:
        """Return what HAProxy answers to one command.

        Raises:
            GatewayUnavailable: nobody answers there, or not in time.
            GatewayRejected: the command cannot be sent as one line, or the answer is absurdly long.
        """
        return await self._exchange(_checked(command))

    async def tell(self, commands: Iterable[str]) -> str:
        """Send commands in order, many in one line, and return what HAProxy said to them.

        Whether they worked must be read back: what is said is for people.

        Raises:
            GatewayUnavailable: nobody answers there, or not in time; some of the commands may have been done.
            GatewayRejected: a command cannot be sent as one line.
        """
        said = [await self._exchange(line) for line in lines(commands)]
        return "\n".join(text for part in said for text in part.split("\n") if text)

    async def _exchange(self, line: str) -> str:
        try:
            with anyio.fail_after(self._timeout_s):
                return await self._converse(line)
        except (OSError, anyio.BrokenResourceError) as error:
            raise GatewayUnavailable(
                f"HAProxy does not answer on `{self._path}`: {type(error).__name__}",
                hint="Look at `modelport status`; it is started again by itself",
            ) from error

    async def _converse(self, line: str) -> str:
        received = bytearray()
        async with await anyio.connect_unix(self._path) as stream:
            await stream.send(line.encode("ascii") + b"\n")
            try:
                while len(received) <= self._max_answer:
                    received += await stream.receive()
            except anyio.EndOfStream:
                return received.decode(errors="replace")
        raise GatewayRejected(f"HAProxy answered with more than {self._max_answer} bytes to `{line[:80]}`")


def lines(commands: Iterable[str], *, longest: int = _MAX_LINE) -> Iterator[str]:
    """Return the commands joined by semicolons to lines that HAProxy's buffer holds."""
    batch: list[str] = []
    length = 0
    for command in map(_checked, commands):
        if batch and length + len(command) >= longest:
            yield ";".join(batch)
            batch, length = [], 0
        batch.append(command)
        length += len(command) + 1
    if batch:
        yield ";".join(batch)


def _checked(command: str) -> str:
    # The last gate before the socket: whatever was let through before, one command stays one command.
    if not command.isascii() or not command.isprintable() or set(command) & set(";\\\"'<") or len(command) > _MAX_LINE:
        raise GatewayRejected(f"Refused to send this to HAProxy's admin socket: {command[:200]!a}")
    return command
