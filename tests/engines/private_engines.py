"""Starts a Podman service and a dockerd that belong to the tests: own sockets, storage and bridge; ended by pid.

Storage is kept below the cache folder, so that the base image is imported once. A test run that finds it in use takes
a temporary one instead.
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.engines import engine_api

CACHE = Path("~/.cache/modelport-tests").expanduser()
_START_S = 60
_STOP_S = 30


class EngineMissing(Exception):
    """This machine cannot run the engine; the message says why."""


@contextmanager
def podman_service(*, init: bool = True) -> Iterator[str]:
    """Run `podman system service`, with an init for its containers or without, and yield its URL."""
    podman = _binary("podman")
    with _storage("podman") as storage, _run_folder("podman") as run, _published_ports(_number(storage)):
        _write_network(storage)
        settings = run / "containers.conf"
        settings.write_text(_containers_conf(storage, init=init))
        command = [
            podman,
            *("--root", str(storage / "root"), "--runroot", str(storage / "run"), "--tmpdir", str(storage / "tmp")),
            *("system", "service", "--time=0", f"unix://{run}/engine.sock"),
        ]
        with _service(command, run, environ={"CONTAINERS_CONF": str(settings)}) as engine:
            yield engine


@contextmanager
def docker_daemon() -> Iterator[str]:
    """Run dockerd on a bridge of its own and yield its URL."""
    dockerd = _binary("dockerd")
    _binary("ip")
    with _storage("docker") as storage, _run_folder("docker") as run, _bridge(_number(storage)) as bridge:
        command = [
            dockerd,
            *("--data-root", str(storage), "--exec-root", str(run / "exec"), "--pidfile", str(run / "pid")),
            *("--bridge", bridge, "--host", f"unix://{run}/engine.sock"),
        ]
        with _service(command, run) as engine:
            yield engine


def _containers_conf(storage: Path, *, init: bool) -> str:
    lines = [
        "[engine]",
        'cgroup_manager = "cgroupfs"',
        'events_logger = "file"',
        f'volume_path = "{storage}/volumes"',
    ]
    # crun refuses the mixed cgroup layout of some machines; runc takes every one.
    if shutil.which("runc"):
        lines.append('runtime = "runc"')
    if program := static_program():
        lines.append(f'init_path = "{program if init else "/nonexistent"}"')
    # Podman's defaults raise limits above those of a process that lacks CAP_SYS_RESOURCE, which then cannot start.
    lines += ["[containers]", 'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]']
    lines += ["[network]", 'network_backend = "netavark"', f'network_config_dir = "{storage}/networks"']
    return "\n".join(lines) + "\n"


def _write_network(storage: Path) -> None:
    """Give the default network a bridge, addresses and firewall chains of its own.

    Podman's built-in one is the same for all services of a machine, and services with storage of their own do not know
    of each other's containers.
    """
    number = _number(storage)
    network = {
        "name": "podman",
        "id": hashlib.sha256(f"modelport-test-{number}".encode()).hexdigest(),
        "driver": "bridge",
        "network_interface": f"mppod{number}",
        "created": "2026-01-01T00:00:00Z",
        "subnets": [{"subnet": f"10.189.{number}.0/24", "gateway": f"10.189.{number}.1"}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    (storage / "networks").mkdir(exist_ok=True)
    (storage / "networks" / "podman.json").write_text(json.dumps(network))


def static_program() -> Path | None:
    """Return a program that runs in an empty root file system and can be a container's init."""
    found = shutil.which("tini-static") or shutil.which("catatonit")
    return Path(found) if found else None


def _binary(name: str) -> str:
    if os.getuid() != 0:
        raise EngineMissing(f"`{name}` is only started by root; set MODELPORT_TEST_DOCKER_HOST to a running engine")
    if found := shutil.which(name):
        return found
    raise EngineMissing(f"`{name}` is not installed; run scripts/install-test-tools")


@contextmanager
def _storage(name: str) -> Iterator[Path]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with tempfile.TemporaryDirectory(prefix="modelport-test-", ignore_cleanup_errors=True) as folder:
                yield Path(folder)
                # Podman mounts a part of its storage on itself and leaves it so.
                for mount in Path("/proc/mounts").read_text().splitlines():
                    if (place := mount.split()[1]).startswith(folder):
                        subprocess.run(["umount", place], capture_output=True, check=False)
            return
        folder = CACHE / name
        folder.mkdir(exist_ok=True)
        yield folder


def _number(storage: Path) -> int:
    """Return what tells the networks of engines that run at the same time apart."""
    return 0 if storage.parent == CACHE else 1 + zlib.crc32(bytes(storage)) % 250


@contextmanager
def _run_folder(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"mp-{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _service(command: Sequence[str], run: Path, *, environ: dict[str, str] | None = None) -> Iterator[str]:
    engine = f"unix://{run}/engine.sock"
    log = run / "log"
    # If the test run is killed, the engine must not stay behind.
    wrapper = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*wrapper, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environ or {})},
            cwd=run,  # Podman's monitor leaves a file in it when a container runs out of memory
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START_S
        while not engine_api.answers(engine):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineMissing(f"`{command[0]}` does not start: {log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.05)
        # What earlier test runs have left in the storage: containers if they were killed, gigabytes of libraries.
        engine_api.remove_all_containers(engine)
        engine_api.remove_environments(engine)
        try:
            yield engine
        finally:
            # Podman's containers would outlive its service.
            if engine_api.answers(engine):
                engine_api.remove_all_containers(engine)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _bridge(number: int) -> Iterator[str]:
    """Make a bridge, so that a dockerd of this machine keeps its own; take it and dockerd's rules away afterwards."""
    bridge = f"mptest{number}"
    subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
    try:
        for arguments in (
            ["link", "add", "name", bridge, "type", "bridge"],
            ["address", "add", f"172.29.{number}.1/24", "dev", bridge],
            ["link", "set", bridge, "up"],
        ):
            subprocess.run(["ip", *arguments], capture_output=True, check=True, text=True)
    except subprocess.CalledProcessError as error:
        raise EngineMissing(f"a network bridge cannot be made: {error.stderr.strip()}") from error
    policy = next((line for line in _rules("filter") if line.startswith("-P FORWARD")), "")
    try:
        yield bridge
    finally:
        # dockerd leaves its chains behind; they are shared where another dockerd runs.
        bridges = {path.name for path in Path("/sys/class/net").iterdir()} - {bridge}
        shared = any(name == "docker0" or name.startswith("mptest") for name in bridges)
        ours = [bridge, f"172.29.{number}.", *([] if shared else ["DOCKER"])]
        for table in ("nat", "filter"):
            _remove_rules(table, ours)
        if policy and not shared:
            subprocess.run(["iptables", *shlex.split(policy)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)


@contextmanager
def _published_ports(number: int) -> Iterator[None]:
    """Take Podman's rules for ports away, before and afterwards.

    A container that ends with its service leaves them behind, and so does a service that is killed: whoever is given
    such a port later is not reached on it.
    """
    _forget_ports(number)
    try:
        yield
    finally:
        _forget_ports(number)


def _forget_ports(number: int) -> None:
    network = f"10.189.{number}."
    rules = _rules("nat")
    leads = re.compile(rf"--dport (\d+) .*--to-destination {re.escape(network)}")
    ports = {found[1] for rule in rules if (found := leads.search(rule))}
    # The rule that leads a port to these tells the port and no address.
    _remove_rules("nat", [network, *(f"--dport {port} " for port in ports)])


def _rules(table: str) -> list[str]:
    if not shutil.which("iptables"):
        raise EngineMissing("`iptables` is not installed; run scripts/install-test-tools")
    listed = subprocess.run(["iptables", "-t", table, "-S"], capture_output=True, check=False, text=True)
    return listed.stdout.splitlines()


def _remove_rules(table: str, words: Sequence[str]) -> None:
    """Remove the rules that hold one of the words, and chains whose names do."""
    for rule in _rules(table):
        if rule.startswith("-A ") and any(word in rule for word in words):
            subprocess.run(["iptables", "-t", table, "-D", *shlex.split(rule)[1:]], capture_output=True, check=False)
    for rule in _rules(table):
        if rule.startswith("-N ") and any(word in rule for word in words):
            chain = rule.split()[1]
            subprocess.run(["iptables", "-t", table, "-F", chain], capture_output=True, check=False)
            subprocess.run(["iptables", "-t", table, "-X", chain], capture_output=True, check=False)
