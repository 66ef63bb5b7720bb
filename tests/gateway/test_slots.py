"""Records and paths: what is written is read back, and nothing in them means anything to HAProxy."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.core.errors import GatewayRejected
from modelport.core.routes import Limits
from modelport.gateway.slots import Record, checked_limits, container_path, model_key, name_of, version_key

whole = st.integers(1, 2**31)
seconds = st.integers(1, 10**6).map(lambda milliseconds: milliseconds / 1000)
limits = st.builds(
    Limits,
    concurrency=whole,
    queue=whole,
    queue_timeout_s=seconds,
    timeout_s=seconds,
    request_bytes=whole,
    response_bytes=whole,
)


@given(st.text(max_size=50), limits)
def test_a_record_is_read_back(path: str, wanted: Limits) -> None:
    record = Record("projects/p/models/m/versions/v", container_path("/" + path), checked_limits(wanted))
    assert Record.decode(record.encode()) == record
    assert record.limits == wanted


@given(st.text(max_size=50))
def test_a_path_keeps_its_meaning_and_loses_its_teeth(path: str) -> None:
    encoded = container_path("/" + path)
    assert unquote(encoded) == unquote("/" + path)
    assert encoded.isascii()
    assert set(encoded).isdisjoint(" ;\n\r\t\0'\"\\|<>#?[]{}^`")
    assert container_path(encoded) == encoded


@pytest.mark.parametrize("text", ["", "1|2|3", "a|1|1|1|1|1|v|/", "1|1|1|1|1|1|v|/|x", "1|1|1|1|1|-1|v|/"])
def test_what_is_no_record_is_none(text: str) -> None:
    assert Record.decode(text) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "projects/p",
        "projects/P/models/m",
        "projects/p/models/m/versions/v\n",
        "projects/p/models/m/versions/ä",
        "/v1/x",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(GatewayRejected):
        version_key(name)
    with pytest.raises(GatewayRejected):
        model_key(name)


def test_a_key_leads_back_to_its_name() -> None:
    assert version_key("projects/p/models/m/versions/v") == "/v1/projects/p/models/m/versions/v:predict"
    assert name_of(version_key("projects/p/models/m/versions/v")) == "projects/p/models/m/versions/v"
    assert name_of(model_key("projects/p/models/m")) == "projects/p/models/m"
