"""What stands in HAProxy's maps and commands: keys, records of slots, and the characters that they may hold.

Names are checked by their parsers long before they come here. They are checked again because a command line on the
admin socket is where a stray newline or semicolon would become a command.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from modelport.core.errors import GatewayRejected, InvalidArgument
from modelport.core.names import ModelName, VersionName
from modelport.core.replicas import Address
from modelport.core.routes import Limits, Server

_PREFIX = "/v1/"
_SUFFIX = ":predict"
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# What RFC 3986 allows in a path, less what means something in a command; "%" only before two hexadecimal digits.
_PATH_SAFE = "/-._~!$&()*+,=:@"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MAX_PATH = 4096
_MAX_TIMEOUT_MS = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """What a slot knows of the version in it; its fields are numbered in the configuration."""

    version: str
    predict_path: str
    limits: Limits

    def encode(self) -> str:
        """Return the record as one word: limits first, the path last, since it may hold any other character."""
        limits = self.limits
        numbers = (
            limits.queue,
            _milliseconds(limits.timeout_s),
            limits.request_bytes,
            limits.response_bytes,
            limits.concurrency,
            _milliseconds(limits.queue_timeout_s),
        )
        return "|".join((*map(str, numbers), self.version, self.predict_path))

    @classmethod
    def decode(cls, text: str) -> Record | None:
        """Read a record back; None when it is none of ours."""
        fields = text.split("|")
        if len(fields) != 8 or not "".join(fields[:6]).isdigit() or "" in fields:
            return None
        queue, timeout_ms, request_bytes, response_bytes, concurrency, queue_timeout_ms = map(int, fields[:6])
        limits = Limits(
            concurrency=concurrency,
            queue=queue,
            queue_timeout_s=queue_timeout_ms / 1000,
            timeout_s=timeout_ms / 1000,
            request_bytes=request_bytes,
            response_bytes=response_bytes,
        )
        return cls(version=fields[6], predict_path=fields[7], limits=limits)


def version_key(version: str) -> str:
    """Return the path on which a version takes predictions; raise GatewayRejected when it is no version name."""
    return _key(version, _parsed(VersionName.parse, version))


def model_key(model: str) -> str:
    """Return the path on which a model takes predictions; raise GatewayRejected when it is no model name."""
    return _key(model, _parsed(ModelName.parse, model))


def name_of(key: str) -> str:
    """Return the version or model whose key this is."""
    return key.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def container_path(path: str) -> str:
    """Return the path of a container as it may stand in a map: percent-encoded where it is not plain.

    Raises:
        GatewayRejected: it does not start with a slash, or is too long.
    """
    encoded = quote(_LONE_PERCENT.sub("%25", path), safe=_PATH_SAFE + "%")
    if not encoded.startswith("/") or len(encoded) > _MAX_PATH:
        raise GatewayRejected(
            f"The predict route `{path[:100]}` is not a path of at most {_MAX_PATH} characters from `/`"
        )
    return encoded


def checked_server(server: Server) -> Server:
    """Return the server with its address in one spelling; raise GatewayRejected when no command could hold it."""
    if not _SERVER_NAME.fullmatch(server.name):
        raise GatewayRejected(
            f"The server name `{server.name[:100]!a}` has other characters than letters, digits, `_.-`"
        )
    try:
        host = str(ipaddress.ip_address(server.address.host.strip("[]")))
    except ValueError as error:
        raise GatewayRejected(f"The host `{server.address.host[:100]!a}` of a server is not an IP address") from error
    if not 0 < server.address.port < 65536:
        raise GatewayRejected(f"The port {server.address.port} of a server is not between 1 and 65535")
    return Server(server.name, Address(host, server.address.port))


def checked_limits(limits: Limits) -> Limits:
    """Return the limits as the gateway keeps them, in whole milliseconds; raise GatewayRejected when out of range."""
    positive = (limits.concurrency, limits.request_bytes, limits.response_bytes)
    timeouts = (_milliseconds(limits.timeout_s), _milliseconds(limits.queue_timeout_s))
    if limits.queue < 0 or min(positive) < 1 or not all(0 < timeout <= _MAX_TIMEOUT_MS for timeout in timeouts):
        raise GatewayRejected(f"A limit is out of range: {limits}; all but `queue` must be above zero")
    return Limits(
        concurrency=limits.concurrency,
        queue=limits.queue,
        queue_timeout_s=timeouts[1] / 1000,
        timeout_s=timeouts[0] / 1000,
        request_bytes=limits.request_bytes,
        response_bytes=limits.response_bytes,
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _key(name: str, spelled: str) -> str:
    # `fullmatch` stands behind both parsers, so a trailing newline is refused there; this holds it for ever.
    if name != spelled or not name.isascii() or not name.isprintable() or " " in name:
        raise GatewayRejected(f"`{name[:100]!a}` cannot be routed: it is not the name's own spelling")
    return f"{_PREFIX}{name}{_SUFFIX}"


def _parsed(parse: Callable[[str], object], name: str) -> str:
    try:
        return str(parse(name))
    except InvalidArgument as error:
        raise GatewayRejected(f"`{name[:100]!a}` cannot be routed: {error.message}") from error
