"""A child whose url leaves the port to the listener gets one that is free, and another than its neighbours."""

import socket

import pytest

from modelport.server.listener.children.free_ports import with_ports
from modelport.server.listener.declaration import Listener, Model, Server
from modelport.server.listener.validation.violations import violations
from modelport.server.listener.wire.upstream import Address

ANY = "http://127.0.0.1:0"


def listener(*servers: Server) -> Listener:
    return Listener(servers, (Model("iris", servers[0].name, "/predict"),))


def test_each_child_gets_a_free_port_of_its_own() -> None:
    found = with_ports(listener(*(Server(name, ANY, ("serve",)) for name in "abc")))

    ports = {Address.of(one.url).port for one in found.servers}
    assert len(ports) == 3
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://models.example", "unix:/run/model.sock"])
def test_other_addresses_stay_as_they_are(url: str) -> None:
    before = listener(Server("a", url, ("serve",)))

    assert with_ports(before) == before


def test_an_address_of_ip_six_keeps_its_brackets() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")

    (server,) = with_ports(listener(Server("a", "http://[::1]:0", ("serve",)))).servers

    assert server.url.startswith("http://[::1]:")
    assert not server.url.endswith(":0")


def test_children_may_leave_the_port_where_nobody_else_runs_them() -> None:
    children = listener(Server("a", ANY, ("serve",)), Server("b", ANY, ("serve",)))
    foreign = listener(Server("a", ANY))

    assert violations(children) == ()
    assert [one.field for one in violations(foreign)] == ["servers.a.url"]
