"""What a model server that is a child is told: its command line and its variables, after expansion. Pure.

The container's own contract speaks of the port and routes of the listener. A child that read them would take the
listener's place, so it is told its own instead: the port of its declared url, and its health route.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from modelport.core.expansion import expand
from modelport.server.listener.declaration import Server
from modelport.server.listener.listener_config import PREFIX

_PORTS = ("AIP_HTTP_PORT", "PORT")
_HEALTH, _PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"


def child_environment(server: Server, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a child: those of the listener but for what is its own, then those of `env`.

    Values of `env` may refer to all that come before them.
    """
    port = "" if server.url.startswith("unix:") else str(urlsplit(server.url).port or 80)
    own = {**dict.fromkeys(_PORTS, port), _HEALTH: server.health, _PREDICT: ""}
    found = {name: value for name, value in environ.items() if name not in own and not name.startswith(PREFIX)}
    found |= {name: value for name, value in own.items() if value}
    for name, value in server.env.items():
        found[name] = expand(value, found)
    return found


def child_command(server: Server, variables: Mapping[str, str]) -> list[str]:
    """Return the command line of a child with these variables."""
    return [expand(argument, variables) for argument in server.command]
