"""The exchange: one HTTP request to a replica, kept as evidence. All that the doctor itself does over a network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import anyio
import httpx

from modelport.doctor.evidence import CLOSED, NOT_HTTP, REFUSED, Exchange

BODY_BYTES = 4096
_SENT_CHARACTERS = 2048
_HEADERS = 30
_HEADER_CHARACTERS = 300


def http_client() -> httpx.AsyncClient:
    """Return a client as probes need it: a new connection each time, no proxy, no redirect followed."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(limits=limits, trust_env=False, follow_redirects=False)


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    now: Callable[[], datetime],
    timeout_s: float,
    body: bytes | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    read: int = BODY_BYTES,
    on_connect: Callable[[], None] = lambda: None,
    on_answer: Callable[[bytes], None] = lambda content: None,
) -> Exchange:
    """Send one request and return what came back. Never raises for what the other side does.

    Args:
        client: see `http_client`.
        method: HTTP method.
        url: where to ask.
        now: the clock.
        timeout_s: longest time until the answer is complete.
        body: of the request; sent as application/json.
        headers: further headers.
        read: bytes of the answer to read; the connection is closed behind them.
        on_connect: called as soon as the connection is accepted.
        on_answer: called with the bytes that were read.
    """

    async def trace(event: str, _details: object) -> None:
        if event == "connection.connect_tcp.complete":
            on_connect()

    start, clock = now(), anyio.current_time()
    status: int | None = None
    error = ""
    received: tuple[tuple[str, str], ...] = ()
    content = b""
    size: int | None = None
    sent = {"content-type": "application/json"} if body is not None else {}
    try:
        with anyio.fail_after(timeout_s):
            # A connection that hangs is not accepted; an answer that hangs is a failed request.
            timeout = httpx.Timeout(None, connect=timeout_s / 2)
            async with client.stream(
                method, url, content=body, headers=sent | dict(headers), timeout=timeout, extensions={"trace": trace}
            ) as response:
                received = _kept(response.headers)
                size = 0
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    content += chunk[: max(0, read - len(content))]
                    if size > read:
                        size = None  # closed early: nobody knows how much there would have been
                        break
                status = response.status_code
    except httpx.ConnectError:
        error = REFUSED
    except httpx.ConnectTimeout:
        error = "connection timed out"
    except TimeoutError:
        error = f"no answer within {timeout_s:g} s"
    except (httpx.ReadError, httpx.RemoteProtocolError) as problem:
        # What Docker's proxy of a published port does while nothing listens behind it.
        answered = isinstance(problem, httpx.RemoteProtocolError) and "disconnected" not in str(problem)
        error = NOT_HTTP if answered or received else CLOSED
    except httpx.HTTPError as problem:
        error = f"no HTTP answer ({type(problem).__name__})"
    on_answer(content)
    return Exchange(
        start,
        url,
        status,
        error,
        anyio.current_time() - clock,
        method=method,
        headers=received,
        body=content[:BODY_BYTES].decode("utf-8", errors="replace"),
        size_bytes=size,
        sent=(body or b"")[:_SENT_CHARACTERS].decode("utf-8", errors="replace"),
        sent_bytes=len(body or b""),
    )


def _kept(headers: httpx.Headers) -> tuple[tuple[str, str], ...]:
    shown = [(name.lower(), value[:_HEADER_CHARACTERS]) for name, value in headers.items()]
    return tuple((name, "…" if name in ("set-cookie", "authorization") else value) for name, value in shown[:_HEADERS])
