"""The host: what `modelport doctor` makes of what it sees, and that it sees what is there."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from modelport.check import host
from modelport.check.engine_survey import look_at_engine, survey_engines
from modelport.check.host_facts import (
    ClockFacts,
    EngineFacts,
    FolderFacts,
    HostSurvey,
    LimitFacts,
    LoginFacts,
    PortFacts,
    ProxyFacts,
    Site,
)
from modelport.check.host_verdict import GIB, Mark, verdict, well
from modelport.check.installation import docker_login, gateway_proxy, missing_packages
from modelport.check.public_port import look_at_port
from modelport.core.facts import HostFacts
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from tests.conformance.gateway import running
from tests.gateway.conftest import config  # noqa: F401 - a fixture
from tests.ports import free_port

SITE = Site(Path("/data"), "127.0.0.1:8470")
PODMAN = HostFacts("docker", "Podman 4.3.1", "amd64", cgroup_version=1)
HEALTHY = HostSurvey(
    python=(3, 11, 7),
    site=SITE,
    missing_packages=(),
    engines=(EngineFacts("unix:///d.sock", api_version="1.41", host=HostFacts("docker", "Docker 28.0", "amd64", 2)),),
    folder=FolderFacts("/data", exists=True, file_system="ext4", free_bytes=50 * GIB),
    engine_disk=(("/var/lib/docker", 50 * GIB),),
    port=PortFacts("127.0.0.1:8470"),
    proxy=ProxyFacts("/usr/sbin/haproxy", "2.8.3-1"),
    limits=LimitFacts(20_000, None),
    login=LoginFacts("config.json", ("ghcr.io",)),
    gpus=(),
    gpu_runtime=False,
    clock=ClockFacts(0.0, 0.0),
)


def test_a_healthy_host_has_good_lines_only() -> None:
    lines = verdict(HEALTHY)
    assert {line.mark for line in lines} == {Mark.GOOD}
    assert not [line for line in lines if line.remedy]
    assert well(lines)


ENGINE_AWAY = EngineFacts("unix:///d.sock", error="connection refused", remedy="Start it")


@pytest.mark.parametrize(
    ("changed", "subject", "mark", "words"),
    [
        ({"python": (3, 10, 1)}, "python", Mark.BAD, "3.10.1"),
        ({"missing_packages": ("sqlalchemy",)}, "packages", Mark.BAD, "not installed: sqlalchemy"),
        ({"engines": ()}, "engine", Mark.POOR, "none at the usual places"),
        ({"engines": (ENGINE_AWAY,)}, "engine", Mark.POOR, "connection refused"),
        ({"engines": (replace(ENGINE_AWAY, named=True),)}, "engine", Mark.BAD, "connection refused"),
        ({"engines": (), "site": replace(SITE, driver="docker")}, "engine", Mark.BAD, "none"),
        (
            {"engines": (EngineFacts("unix:///p.sock", podman=True, reports_oom=False, host=PODMAN),)},
            "cgroups",
            Mark.POOR,
            "version 1: Podman does not tell",
        ),
        ({"folder": FolderFacts("/d", False, error="cannot be made in /")}, "data directory", Mark.BAD, "will be made"),
        ({"folder": FolderFacts("/d", True, file_system="nfs4")}, "data directory", Mark.BAD, "over the network"),
        ({"folder": FolderFacts("/d", True, file_system="tmpfs")}, "data directory", Mark.POOR, "in memory"),
        ({"folder": FolderFacts("/d", True, free_bytes=GIB)}, "disk", Mark.POOR, "1.0 GiB free"),
        ({"folder": FolderFacts("/d", True, free_bytes=1000)}, "disk", Mark.BAD, "0.0 GiB free"),
        ({"engine_disk": (("/var/lib/docker", 1000),)}, "engine disk", Mark.BAD, "/var/lib/docker"),
        ({"proxy": ProxyFacts(problem="HAProxy is not installed", remedy="x")}, "haproxy", Mark.BAD, "not installed"),
        ({"proxy": ProxyFacts("/h", "2.4.1")}, "haproxy", Mark.BAD, "2.4.1"),
        ({"port": PortFacts("h:1", "EADDRINUSE", "nginx", 7)}, "port", Mark.BAD, "taken by nginx (pid 7)"),
        ({"port": PortFacts("h:1", "EADDRINUSE")}, "port", Mark.BAD, "of another user"),
        ({"port": PortFacts("h:80", "EACCES")}, "port", Mark.BAD, "EACCES"),
        ({"limits": LimitFacts(1023, None)}, "open files", Mark.BAD, "at most 1023"),
        ({"limits": LimitFacts(2048, None)}, "open files", Mark.POOR, "about 924 requests"),
        ({"limits": LimitFacts(None, 1000)}, "processes", Mark.POOR, "at most 1000"),
        ({"login": LoginFacts("c", (), ("docker-credential-x",))}, "registries", Mark.POOR, "docker-credential-x"),
        ({"login": LoginFacts("c", error="is not JSON")}, "registries", Mark.POOR, "is not JSON"),
        ({"gpus": ("GPU 0: T4 (UUID: GPU-1)",)}, "GPUs", Mark.POOR, "1: GPU 0: T4; no runtime"),
        ({"clock": ClockFacts(of_files_s=90.0)}, "clock", Mark.POOR, "+90.0 s"),
        ({"clock": ClockFacts(of_platform_s=-90.0)}, "clock", Mark.POOR, "-90 s"),
        ({"clock": ClockFacts(moved_s=3.0)}, "clock", Mark.POOR, "was moved"),
        ({"unanswered": ("GPUs",)}, "GPUs", Mark.POOR, "no answer"),
    ],
)
def test_what_is_not_well_has_a_remedy(changed: dict[str, Any], subject: str, mark: Mark, words: str) -> None:
    lines = verdict(replace(HEALTHY, **changed))
    found = [line for line in lines if line.subject == subject and line.mark is mark]
    assert [line for line in found if words in line.fact], lines
    assert all(line.remedy for line in found)
    assert well(lines) is (mark is not Mark.BAD)
    assert json.dumps([line.document() for line in lines])


def test_gpus_with_a_runtime_are_well() -> None:
    gpus = ("GPU 0: T4 (UUID: GPU-1)", "GPU 1: T4 (UUID: GPU-2)")
    assert well(verdict(replace(HEALTHY, gpus=gpus, gpu_runtime=True)))
    assert {line.mark for line in verdict(replace(HEALTHY, gpus=gpus, gpu_runtime=True))} == {Mark.GOOD}


def test_what_could_not_be_seen_has_no_line_but_that() -> None:
    nothing = HostSurvey(python=(3, 11, 0), site=SITE, unanswered=("haproxy",))
    assert [line.subject for line in verdict(nothing)] == ["python", "haproxy"]


# What is really there.


def test_this_host_is_examined_without_a_trace(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    site = Site(tmp_path / "data", f"127.0.0.1:{free_port()}", slots=8)
    seen = host.survey(site, {"HOME": str(tmp_path)}, lambda: None)
    assert sorted(tmp_path.rglob("*")) == before
    assert seen.unanswered == ()
    assert seen.folder is not None
    assert (seen.folder.exists, seen.folder.error) == (False, "")
    assert seen.folder.file_system
    assert seen.port == PortFacts(site.listen)
    assert seen.login == LoginFacts(str(tmp_path / ".docker" / "config.json"))
    assert seen.clock is not None
    assert abs(seen.clock.moved_s) < 0.5
    assert abs(seen.clock.of_files_s or 0) < 2


def test_a_look_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(host, "LOOK_S", 1.0)
    try:
        began = time.monotonic()
        seen = host.survey(Site(tmp_path, "127.0.0.1:1"), {"HOME": "/"}, lambda: float(let_go.wait(30)))
        assert time.monotonic() - began < 10
        assert "platform" in seen.unanswered
    finally:
        let_go.set()


def test_a_folder_that_cannot_be_written_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert host.look_at_folder(file).error == "is not a directory"
    if os.getuid():
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        assert "cannot be made" in host.look_at_folder(tmp_path / "data").error


def test_the_file_system_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"30 22 0:4 / {str(tmp_path).replace('a', chr(97))} rw,relatime shared:1 - nfs4 server:/x rw\n"
        f"31 22 0:5 / {tmp_path}/with\\040space rw - tmpfs tmpfs rw\n"
        "broken line\n"
    )
    (tmp_path / "with space").mkdir()
    assert host.file_system(Path("/"), mounts) == "ext4"
    assert host.file_system(tmp_path / "deep" / "er", mounts) == "nfs4"
    assert host.file_system(tmp_path / "with space", mounts) == "tmpfs"
    assert host.file_system(tmp_path, tmp_path / "missing") == ""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who holds a lock")
def test_the_holder_of_the_data_directory_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert host.holder(lock, Path("/proc/locks")) is None
    with lock.open("w") as file:
        assert host.holder(lock, Path("/proc/locks")) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert host.holder(lock, Path("/proc/locks")) == os.getpid()


def test_a_taken_port_is_named_with_its_program() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        seen = look_at_port(Site(Path("/data"), f"127.0.0.1:{taken.getsockname()[1]}"))
    assert (seen.error, seen.pid, seen.ours) == ("EADDRINUSE", os.getpid(), False)
    assert seen.program
    assert look_at_port(Site(Path("/data"), "192.0.2.1:80")).error == "EADDRNOTAVAIL"


@pytest.mark.anyio
async def test_our_own_gateway_on_the_port_is_well(config: GatewayConfig) -> None:  # noqa: F811
    async with running(HAProxyGateway(config)):
        site = Site(config.directory.parent, config.listen)
        seen = await anyio.to_thread.run_sync(look_at_port, site)
    assert seen.ours
    assert seen.program == "haproxy"


def test_haproxy_takes_what_it_would_get(config: GatewayConfig) -> None:  # noqa: F811
    seen = gateway_proxy(Site(Path("/data"), "127.0.0.1:1", slots=8, haproxy=config.binary), timeout_s=10)
    assert seen.problem == ""
    assert seen.version[0].isdigit()


@contextmanager
def program(folder: Path, text: str) -> Iterator[str]:
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    yield str(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo 'HAProxy version 2.8.1'; [ $1 = -v ] || { echo '[ALERT] line 5: unknown' >&2; exit 1; }", "line 5"),
        ("exec sleep 30", "does not end within"),
    ],
)
def test_an_haproxy_that_is_no_use_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with program(tmp_path, text) as path:
        seen = gateway_proxy(Site(Path("/data"), "127.0.0.1:1", slots=8, haproxy=path), timeout_s=0.5)
    assert problem in seen.problem
    assert seen.remedy


def test_a_missing_haproxy_is_named() -> None:
    seen = gateway_proxy(replace(SITE, haproxy="/nowhere/haproxy"), timeout_s=1)
    assert "/nowhere/haproxy" in seen.problem
    assert seen.remedy


def test_nothing_that_the_platform_needs_is_missing_here() -> None:
    assert missing_packages() == ()


def test_logins_are_named_without_their_secrets(tmp_path: Path) -> None:
    secret = "c2VjcmV0OnNlY3JldA=="
    config_file = {
        "auths": {
            "https://index.docker.io/v1/": {"auth": secret},
            "ghcr.io": {},
            "https://user:secret@registry.example/v2/": {"auth": secret},
        },
        "credHelpers": {"eu.gcr.io": "no-such-helper"},
        "credsStore": "no-such-store",
    }
    (tmp_path / "config.json").write_text(json.dumps(config_file))
    seen = docker_login({"DOCKER_CONFIG": str(tmp_path)})
    assert seen.registries == ("docker.io", "ghcr.io", "registry.example", "eu.gcr.io")
    assert seen.missing_helpers == ("docker-credential-no-such-helper", "docker-credential-no-such-store")
    assert "secret" not in repr(seen).replace(str(tmp_path), "")
    assert secret not in repr(seen)


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": 3, "credHelpers": [], "credsStore": {}}', "\xff"])
def test_a_broken_docker_config_is_no_reason_to_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    assert docker_login({"DOCKER_CONFIG": str(tmp_path)}).registries == ()


ENGINE = """
import json, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(5)
while True:
    connection, _ = listener.accept()
    path = connection.recv(4096).split()[1].decode()
    body = json.loads(sys.argv[2])[path]
    if body == "hang":
        continue
    text = json.dumps(body) if isinstance(body, dict) else body
    head = "HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(text)
    connection.sendall((head + text).encode())
    connection.close()
"""


@contextmanager
def engine(path: Path, version: object, info: object) -> Iterator[None]:
    """Run a program that answers as an engine does, or does not."""
    script = json.dumps({"/version": version, "/info": info})
    process = subprocess.Popen([sys.executable, "-c", ENGINE, str(path), script])
    try:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


VERSION = {"Version": "4.3.1", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
INFO = {"CgroupVersion": "1", "Architecture": "x86_64", "DockerRootDir": "/var/lib/containers", "Runtimes": {}}


def test_an_engine_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "podman").mkdir()
    path = tmp_path / "podman" / "podman.sock"
    with engine(path, VERSION, INFO):
        found = survey_engines("", {"XDG_RUNTIME_DIR": str(tmp_path)}, timeout_s=5)
    (seen,) = [one for one in found if one.url == f"unix://{path}"]
    assert (seen.error, seen.podman, seen.reports_oom, seen.api_version) == ("", True, False, "1.41")
    assert (seen.host.driver_version, seen.host.architecture) == ("Podman 4.3.1", "amd64")
    assert seen.data_root == "/var/lib/containers"


@pytest.mark.parametrize(
    ("version", "info", "error"),
    [
        ("hang", INFO, "does not answer in time"),
        ("<html>", INFO, "answers something else than an engine"),
        ("[]", INFO, "answers something else than an engine"),
        (VERSION, "hang", ""),
    ],
)
def test_an_engine_that_does_not_answer_well_is_told_apart(
    tmp_path: Path, version: object, info: object, error: str
) -> None:
    with engine(tmp_path / "e.sock", version, info):
        assert look_at_engine(f"unix://{tmp_path / 'e.sock'}", named=True, timeout_s=0.5).error == error


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("unix:///nowhere.sock", "no such file or directory"),
        ("tcp://127.0.0.1:1", "connection refused"),
        ("ssh://host", "cannot be used: no unix:// or tcp:// address"),
        ("nonsense", "cannot be used: no unix:// or tcp:// address"),
        ("tcp://", "cannot be used: no unix:// or tcp:// address"),
    ],
)
def test_an_engine_that_is_not_there_has_a_remedy(url: str, error: str) -> None:
    seen = look_at_engine(url, named=True, timeout_s=1)
    assert seen.error == error
    assert seen.remedy
