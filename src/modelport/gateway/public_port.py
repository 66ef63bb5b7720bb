"""The public port: whether this machine would let the gateway listen there now."""

from __future__ import annotations

import socket


def take(host: str, port: int) -> None:
    """Listen at an address as HAProxy would, and let it go at once; `*` is every address of this machine.

    Raises:
        OSError: it cannot be had; `errno` says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("" if host == "*" else host, port))
        probe.listen(1)
