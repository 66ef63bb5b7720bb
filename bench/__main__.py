"""Measures modelport on this machine and prints what it found beside the targets; see bench/README.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench.create import create
from bench.gateway import gateway
from bench.listener import listener_part
from bench.machine import ToolMissing, machine
from bench.report import Part, text
from bench.rpc import rpc
from bench.scale import scale
from bench.server import server
from bench.soak import soak
from bench.switch import switch

PARTS: dict[str, Callable[..., Part]] = {
    "gateway": gateway,
    "create": create,
    "scale": scale,
    "switch": switch,
    "listener": listener_part,
    "grpc": rpc,
}
# Not among "all": they install the servers that are compared, gigabytes in sum, and take long.
ALONE: dict[str, Callable[..., Part]] = {"server": server, "soak": soak}


def main() -> int:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=(*PARTS, *ALONE, "all"), default="all", help="default: all")
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter rounds: all parts in about three minutes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--only", metavar="NAME,...", default="", help="server: these peers, such as mosec,litserve")
    parser.add_argument("--seconds", type=int, default=0, metavar="N", help="server, soak: how long is measured")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    one = machine()
    print(f"machine: {one}\n", flush=True)
    found = []
    for name in PARTS if options.part == "all" else (options.part,):
        start = time.monotonic()
        try:
            part = _run((PARTS | ALONE)[name], quick=options.quick, **_extra(name, options))
        except ToolMissing as missing:
            print(f"error: {missing}\n\nhint: {missing.hint}", file=sys.stderr)
            return 2
        found.append(part)
        print(f"{text(part)}({name}: {time.monotonic() - start:.0f} s, load {os.getloadavg()[0]:.1f})\n", flush=True)
    if options.json:
        record = {"machine": asdict(one), "quick": options.quick, "parts": [part.record() for part in found]}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _extra(name: str, options: argparse.Namespace) -> dict[str, object]:
    if name not in ALONE:
        return {}
    only = {"only": tuple(filter(None, options.only.lower().split(",")))} if name == "server" else {}
    return {"seconds": options.seconds, **only}


def _run(part: Callable[..., Part], *, quick: bool, **extra: object) -> Part:
    # Not below TMPDIR, which may be long: the paths of Unix sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="mpb-", dir="/tmp"))
    try:
        return part(folder, quick=quick, **extra)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
