"""`modelport doctor`: one line for each thing, exit code 1 where the platform cannot run."""

from __future__ import annotations

import json
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import Ran
from tests.cli.test_base_install import run as run_base
from tests.ports import free_port

Cli = Callable[..., Ran]

NOWHERE = ("--endpoint", "http://127.0.0.1:9")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:  # short: sockets lie below a data directory
        monkeypatch.setenv("HOME", folder)
        yield "--data-dir", f"{folder}/data", "--listen", f"127.0.0.1:{free_port()}"


def test_a_host_is_examined(cli: Cli, site: tuple[str, ...]) -> None:
    ran = cli("doctor", *site, *NOWHERE)
    lines = ran.out.splitlines()
    subjects = [line[2:18].strip() for line in lines if line[0] != " "]
    assert set(subjects) >= {"python", "packages", "engine", "data directory", "disk", "haproxy", "port", "clock"}
    assert ran.code == int(any(line.startswith("✗") for line in lines))
    assert all(line.startswith(("✓ ", "! ", "✗ ", " " * 18)) for line in lines)
    assert f"✓ port            {site[-1]} is free" in lines
    assert not Path(site[1]).exists()


def test_what_is_wrong_is_told_with_its_remedy(
    cli: Cli, site: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        ran = cli("doctor", *site[:2], "--listen", f"127.0.0.1:{port}", *NOWHERE, "--output", "json")
    assert ran.code == 1
    document = json.loads(ran.out)
    assert document["ok"] is False
    lines = {line["subject"]: line for line in document["lines"]}
    assert lines["engine"] == {
        "subject": "engine",
        "state": "error",
        "fact": "unix:///nowhere.sock: no such file or directory",
        "remedy": lines["engine"]["remedy"],
    }
    assert lines["engine"]["remedy"]
    assert lines["port"]["state"] == "error"
    assert f"127.0.0.1:{port} is taken by " in lines["port"]["fact"]


def test_the_clock_of_a_running_platform_is_compared(cli: Cli, site: tuple[str, ...]) -> None:
    late = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.1 200 OK\r\ndate: {late}\r\ncontent-length: 0\r\n\r\n".encode())

        thread = Thread(target=answer)
        thread.start()
        ran = cli("doctor", *site, "--endpoint", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert re.search(r"^! clock +\+60\d s from that of the platform$", ran.out, re.MULTILINE)


def test_the_host_is_examined_without_the_platforms_packages_too(site: tuple[str, ...]) -> None:
    ran = run_base("doctor", *site, *NOWHERE)
    assert "haproxy" in ran.stdout, ran.stderr


def test_a_wrong_option_is_a_usage_problem(cli: Cli) -> None:
    assert cli("doctor", "--listen", "nowhere").code == 2
