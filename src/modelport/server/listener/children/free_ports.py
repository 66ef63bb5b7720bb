"""Ports for children whose url leaves the choice: 0, as everywhere, is any that is free."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

from modelport.server.listener.declaration import Listener, Server


def leaves_the_port(server: Server) -> bool:
    """Return whether any free port will do."""
    return server.url.startswith("http://") and server.url.rstrip("/").endswith(":0")


def with_ports(listener: Listener) -> Listener:
    """Return the listener with a free port in the url of each server that leaves the choice, another for each.

    In a container every port is free; where listeners run as processes of one machine, each has children of its own.
    """
    with ExitStack() as held:  # until all are chosen, so that none is chosen twice
        servers = tuple(_with_port(one, held) if leaves_the_port(one) else one for one in listener.servers)
    return replace(listener, servers=servers)


def _with_port(server: Server, held: ExitStack) -> Server:
    host = urlsplit(server.url).hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    free = held.enter_context(socket.create_server((host, 0), family=family))
    written = f"[{host}]" if ":" in host else host
    return replace(server, url=f"http://{written}:{free.getsockname()[1]}")
