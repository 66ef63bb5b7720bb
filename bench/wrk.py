"""wrk: one timed run of POST requests over kept connections."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.machine import tool

_MARK = "RESULT "
_SCRIPT = """\
wrk.method = "POST"
local file = os.getenv("BENCH_BODY_FILE")
if file then
  wrk.body = io.open(file, "rb"):read("*a")
else
  wrk.body = string.rep("x", tonumber(os.getenv("BENCH_BODY_BYTES")))
end
wrk.headers["content-type"] = "application/json"
for name, value in string.gmatch(os.getenv("BENCH_HEADERS") or "", "([^:\\n]+): ([^\\n]*)") do
  wrk.headers[name] = value
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('%s{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "failed": %d}', "\\nRESULT ",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout), "\\n")
end
"""


@dataclass(frozen=True)
class Load:
    """What is sent: bodies of one size, over so many connections, for so long."""

    body_bytes: int
    connections: int
    seconds: int


@dataclass(frozen=True)
class Measured:
    """What one run showed."""

    requests: int
    requests_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def measure(
    url: str, load: Load, folder: Path, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Measured:
    """Run wrk once; `folder` keeps its script. Without a body, one of the load's size is made up."""
    script = folder / "post.lua"
    script.write_text(_SCRIPT)
    environ = os.environ | {"BENCH_BODY_BYTES": str(load.body_bytes)}
    if body is not None:
        (folder / "body").write_bytes(body)
        environ["BENCH_BODY_FILE"] = str(folder / "body")
    if headers:
        environ["BENCH_HEADERS"] = "".join(f"{name}: {value}\n" for name, value in headers.items())
    process = subprocess.run(
        [tool("wrk"), "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "20s", "-s", str(script), url],
        env=environ,
        capture_output=True,
        text=True,
        timeout=load.seconds + 60,
        check=False,
    )
    found = [line for line in process.stdout.splitlines() if line.startswith(_MARK)]
    if process.returncode or not found:
        raise RuntimeError(f"wrk ended with {process.returncode}: {process.stdout[-500:]}{process.stderr[-500:]}")
    result = json.loads(found[0].removeprefix(_MARK))
    if not result["requests"]:
        raise RuntimeError(f"{url} has answered nothing in {load.seconds} s to {load}")
    return Measured(
        requests=result["requests"],
        requests_s=result["requests"] / (result["duration"] / 1e6),
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        failed=result["failed"],
    )
