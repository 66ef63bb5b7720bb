"""HAProxy's configuration: a pure function of `GatewayConfig`; nothing in it changes while routes change.

One public port. A map leads from the decoded path of a prediction to a slot, which is an empty backend until a version
takes it; everything else goes to the control plane. Slots, maps and servers change only over the admin socket.

What HAProxy cannot do, said plainly: limits on body sizes hold for declared sizes (Content-Length), because bodies
pass through unbuffered; the longest wait in a queue is one value for all versions; bytes that are no HTTP request at
all get its own 400 in HTML, sent before any rule is asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from modelport.core.errors import InvalidArgument
from modelport.gateway import answers, journal

# All relative to the directory that HAProxy runs in, so that no path of the user's stands in a map reference.
CONFIG_FILE = "haproxy.cfg"
ADMIN_SOCKET = "admin.sock"
ROUTES_MAP = "routes.map"
SPLITS_MAP = "splits.map"
SLOTS_MAP = "slots.map"
MAP_FILES = (ROUTES_MAP, SPLITS_MAP, SLOTS_MAP)

# A key of the routes map that no path can equal: it is there as soon as a table was published.
READY_KEY = "ready"

# Two retries of one second each pass before a failed connection is given up; a queue must be allowed to last longer.
_MIN_QUEUE_TIMEOUT_S = 8


@dataclass(frozen=True)
class GatewayConfig:
    """What the gateway runs with.

    Attributes:
        directory: of the configuration, the maps, the admin socket and the log of the last start.
        listen: HOST:PORT of the public port.
        api_socket: Unix socket of the control plane.
        slots: most live versions, leaving ones included.
        threads: HAProxy threads.
        binary: HAProxy to run; empty for the bundled one, else the one on PATH.
        queue_timeout_s: longest wait in the queue of a version.
    """

    directory: Path
    listen: str
    api_socket: Path
    slots: int = 1024
    threads: int = 1
    binary: str = ""
    queue_timeout_s: float = 30.0

    @property
    def admin_socket(self) -> Path:
        """Return the socket over which HAProxy is driven."""
        return self.directory / ADMIN_SOCKET

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port of the public port; an IPv6 host without its brackets."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def slot_name(number: int) -> str:
    """Return the name of a slot, counted from 1."""
    return f"slot_{number:04d}"


def config_digest(config: GatewayConfig) -> str:
    """Return the identity of the configuration text: a running HAProxy that reports it can be adopted as it is."""
    return hashlib.sha256(_body(config).encode()).hexdigest()[:16]


def render(config: GatewayConfig) -> str:
    """Return the text of the configuration file."""
    return f"global\n  description {config_digest(config)}\n{_body(config)}"


def _quoted(text: str) -> str:
    if not text.isprintable() or "'" in text:
        raise InvalidArgument(
            f"The gateway cannot use `{text!a}`: it holds a quote or a control character",
            hint="Choose a data directory and a listen address without them",
        )
    return f"'{text}'"


def _body(config: GatewayConfig) -> str:
    queue_timeout_ms = round(max(config.queue_timeout_s, _MIN_QUEUE_TIMEOUT_S) * 1000)
    slots = "".join(f"backend {slot_name(number)} from slot\n" for number in range(1, config.slots + 1))
    well_formed = f"^{journal.REQUEST_ID.pattern}$"
    errors = "".join(f"  http-error {answer.reply()}\n" for answer in answers.CONTROL_PLANE_DOWN)
    return f"""\
  # A port that another program has must be an error, not shared with it.
  noreuseport
  fd-hard-limit 65536
  # Twice the default: a third less CPU for bodies of 100 KB, and as much as before for small ones.
  tune.bufsize 32768
  nbthread {config.threads}
  hard-stop-after 1h
  stats socket unix@{ADMIN_SOCKET} mode 600 level admin expose-fd listeners

# Memory of requests that failed; `show events {journal.RING}` reads it.
ring {journal.RING}
  format raw
  maxlen {journal.MAX_LINE}
  size {journal.RING_BYTES}

defaults base
  mode http
  option http-no-delay
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout queue {queue_timeout_ms}
  timeout http-request 20s
  timeout http-keep-alive 60s
  http-error {answers.MALFORMED.reply()}
  http-error {answers.TOO_SLOW.reply()}
  http-error {answers.GATEWAY_FAULT.reply()}

frontend public from base
  bind {_quoted(config.listen)}
  log ring@{journal.RING} len {journal.MAX_LINE} format raw daemon
  log-format '{journal.LOG_FORMAT}'
  option dontlognull
  # A request has an id only if the client sent one, or if it failed: making one for each is a tenth of the work.
  http-request set-var(txn.id) req.hdr(x-request-id) if {{ req.hdr(x-request-id) -m reg {well_formed} }}
  # Nearly every path is a key as it stands. Else it is decoded as the control plane decodes it and compared as a whole:
  # an encoded slash names the same resource or none.
  acl routed var(txn.slot) -m found
  http-request set-var(txn.slot) path,map_str({ROUTES_MAP})
  http-request return {answers.MALFORMED.reply()} if !routed {{ path -m sub %00 }}
  http-request set-var(txn.slot) path,url_dec,map_str({ROUTES_MAP}) if !routed
  # A model with one version leads to its slot; with several, to a split, which has a slot for each of 100 buckets.
  http-request set-var(txn.bucket) rand(100) if {{ var(txn.slot) -m beg split }}
  acl split var(txn.bucket) -m found
  http-request set-var(txn.slot) var(txn.slot),concat(:,txn.bucket),map_str({SPLITS_MAP}) if split
  http-request return {answers.POST_ONLY.reply()} if routed !METH_POST
  acl prediction path,url_dec -m end :predict
  acl published str({READY_KEY}),map_str({ROUTES_MAP}) -m found
  http-request return {answers.STARTING.reply()} if !routed prediction !published
  # Of what replicas answer, only their failures are remembered; answers of the gateway's own do not pass here.
  http-response set-log-level silent
  http-response allow if {{ status lt 500 }}
  http-response set-log-level info
  acl named var(txn.id) -m found
  http-response set-var(txn.id) res.hdr(x-request-id) if !named {{ res.hdr(x-request-id) -m reg {well_formed} }}
  http-response set-var(txn.id) uuid() if !named
  http-response set-header x-request-id %[var(txn.id)]
  use_backend %[var(txn.slot)] if routed
  default_backend control_plane

backend control_plane from base
  option forwardfor
  retries 1
  # Following a log may be silent for long.
  timeout server 1h
{errors}  server api {_quoted(f"unix@{config.api_socket}")}

defaults slot from base
  balance leastconn
  retries 2
  option redispatch 1
  # A prediction is sent again only where it was never received.
  retry-on conn-failure
  http-request set-var(txn.record) var(txn.slot),map_str({SLOTS_MAP})
  http-request return {answers.NO_HEALTHY_REPLICA.reply()} if {{ nbsrv eq 0 }}
  http-request set-var(txn.limit) var(txn.record),field(3,|)
  http-request return {answers.PAYLOAD_TOO_LARGE.reply()} if {{ req.hdr_val(content-length),sub(txn.limit) gt 0 }}
  http-request set-var(txn.limit) var(txn.record),field(1,|)
  http-request return {answers.QUEUE_FULL.reply()} if {{ queue,sub(txn.limit) ge 0 }} {{ be_conn_free le 0 }}
  http-request set-timeout server var(txn.record),field(2,|)
  http-request set-path %[var(txn.record),field(8,|)]
  http-request set-var(txn.started) date(0,ms)
  http-response set-var(txn.limit) var(txn.record),field(4,|)
  http-response return {answers.RESPONSE_TOO_LARGE.reply()} if {{ res.hdr_val(content-length),sub(txn.limit) gt 0 }}
  http-after-response set-header x-modelport-version {answers.VERSION}
  http-error {answers.not_taken(queue_timeout_ms).reply()}
  http-error {answers.REPLICA_TIMEOUT.reply()}
  http-error {answers.REPLICA_BAD_RESPONSE.reply()}

{slots}"""
