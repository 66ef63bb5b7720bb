"""Listeners as processes, which end with the test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.listener.listener_process import ListenerProcess


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Any]:
    started: list[ListenerProcess] = []

    def begin(declaration: dict[str, Any], *flags: str, environ: dict[str, str] | None = None) -> ListenerProcess:
        started.append(ListenerProcess(tmp_path, declaration, *flags, environ=environ))
        return started[-1]

    yield begin
    for one in started:
        one.clear_up()
