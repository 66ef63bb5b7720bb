import importlib.util
import socket

import pytest

from modelport.core.errors import InvalidArgument
from modelport.server.main import hold_rpc_port


def test_a_port_that_is_held_can_be_listened_on_by_those_who_share_it_alone() -> None:
    with hold_rpc_port("127.0.0.1", 0) as held, socket.socket() as worker, socket.socket() as stranger:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(held.getsockname())
        worker.listen()
        with pytest.raises(OSError, match="in use"):
            stranger.bind(held.getsockname())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgument) as refused:
        hold_rpc_port("127.0.0.1", 0)
    assert "modelport[grpc]" in refused.value.status().hint
