"""Part `switch`: how long the old version is still asked after set-default has returned, and what fails meanwhile."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.platform import Platform, platform
from bench.report import SUMMARY_COLUMNS, Finding, Part, Table, median, summary

_CLIENTS = 8
_BODY = json.dumps({"instances": [[1]]})
_SETTLED_S = 0.3


@dataclass(frozen=True)
class Request:
    """One prediction: when it was sent and answered, and by which version; empty where it failed."""

    sent: float
    answered: float
    version: str


@dataclass(frozen=True)
class Switch:
    """One set-default: when it was called and returned, and to which version."""

    called: float
    returned: float
    version: str


class Clients:
    """Some clients that ask the model for predictions without pause, each over one connection."""

    def __init__(self, one: Platform) -> None:
        self.requests: list[Request] = []
        self._address = one.url.removeprefix("http://")
        self._path = f"/v1/projects/{one.project}/models/m:predict"
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_for_ever) for _ in range(_CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_for_ever(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                connection.request("POST", self._path, _BODY, {"content-type": "application/json"})
                response = connection.getresponse()
                body = response.read()
                version = json.loads(body)["predictions"][0] if response.status == 200 else ""
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                version = ""
            self.requests.append(Request(sent, time.monotonic(), version))
        connection.close()


def switch(folder: Path, *, quick: bool) -> Part:
    """Make two versions the default in turn, under load."""
    with platform(folder) as one:
        one.post("models", {"name": "m"})
        for operation in one.wait([one.create("m", "v1"), one.create("m", "v2")]):
            if "error" in operation:
                raise RuntimeError(operation["error"])
        one.post("models/m/versions/v1:setDefault")
        time.sleep(1)
        with Clients(one) as clients:
            time.sleep(_SETTLED_S)
            switches = [_switch(one, f"v{2 - number % 2}") for number in range(10 if quick else 40)]
    late = [_late_s(change, clients.requests) for change in switches]
    failed = sum(not request.version for request in clients.requests)
    took = [request.answered - request.sent for request in clients.requests]
    rows = (
        summary("set-default: the call", [change.returned - change.called for change in switches]),
        summary("its return -> last request sent that the old version answered", late),
        summary("a prediction meanwhile", took),
    )
    return Part(
        "switch",
        (Table(f"switch: {_CLIENTS} clients without pause; negative is before the return", SUMMARY_COLUMNS, rows),),
        (
            Finding("last request on the old version, median", 1000 * median(late), "ms", 50),
            Finding("last request on the old version, worst", 1000 * max(late), "ms", 50),
            Finding(f"failed requests of {len(took)}", failed, "", 0),
        ),
    )


def _switch(one: Platform, version: str) -> Switch:
    called = time.monotonic()
    one.post(f"models/m/versions/{version}:setDefault")
    returned = time.monotonic()
    time.sleep(_SETTLED_S)
    return Switch(called, returned, version)


def _late_s(change: Switch, requests: list[Request]) -> float:
    """Return how long after the return the last request was sent that another version than the new one answered."""
    end = change.returned + _SETTLED_S
    old = [r.sent for r in requests if r.version not in ("", change.version) and r.sent < end]
    return max(old) - change.returned
