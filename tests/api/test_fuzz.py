"""Specifications that nobody would write: each is taken or refused with a reason, and nothing else happens."""

import os
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings

from modelport.core.resources import Version
from tests.api.world import Api, open_api

VERSIONS = "/v1/projects/p/models/iris/versions"
CRAFTED = (
    "../../etc/passwd",
    "/../../etc/passwd",
    "v1; rm -rf /",
    "$(reboot)",
    "`id`",
    "a\r\nX-Evil: 1",
    "x\n\nset server s/a state maint",
    "%00",
    "\0",
    "AIP_HTTP_PORT",
    "gs://bucket/../../x",
    "file:///proc/self/environ",
    "-v/:/host",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "'; DROP TABLE versions; --",
    "\N{RIGHT-TO-LEFT OVERRIDE}v1",
    "v1 ",
    "v" * 200,
    "NaN",
)
text = st.one_of(st.sampled_from(CRAFTED), st.text(max_size=30))
anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def sometimes_wrong(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, now and then anything."""
    return st.one_of(strategy, strategy, strategy, strategy, anything)


def message(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: sometimes_wrong(value) for name, value in fields.items()})


number = st.one_of(st.integers(-2, 3), st.integers(-(2**40), 2**40), st.integers(-2, 3).map(str))
container = message(
    image=st.one_of(st.just("registry/iris:1"), text),
    command=st.lists(sometimes_wrong(text), max_size=3),
    args=st.lists(sometimes_wrong(text), max_size=3),
    env=st.lists(sometimes_wrong(message(name=st.one_of(st.just("A"), text), value=text)), max_size=3),
    ports=st.lists(sometimes_wrong(message(containerPort=st.one_of(st.just(8080), number))), max_size=2),
)
versions = message(
    name=st.one_of(st.from_regex(r"\A[a-z][a-z0-9_]{0,8}\Z"), text),
    container=st.one_of(st.just({"image": "registry/iris:1"}), container),
    routes=message(predict=st.one_of(st.just("/p"), text), health=text),
    deploymentUri=st.one_of(st.just("gs://b/m"), text),
    machineType=st.one_of(st.just("n1-standard-4"), text),
    acceleratorConfig=message(count=number, type=st.one_of(st.just("NVIDIA_TESLA_T4"), text)),
    autoScaling=message(
        minNodes=number, maxNodes=number, metrics=st.lists(message(name=text, target=number), max_size=1)
    ),
    manualScaling=message(nodes=number),
    labels=st.dictionaries(text, sometimes_wrong(text), max_size=3),
    description=text,
    state=text,
    etag=text,
    framework=st.one_of(st.just("SCIKIT_LEARN"), text),
    runtimeVersion=st.one_of(st.just("2026.11"), text),
    pythonVersion=text,
    packageUris=st.lists(sometimes_wrong(text), max_size=2),
    predictionClass=st.one_of(st.just("a.B"), text),
    serviceAccount=text,
    autoScale=anything,
    manual_scaling=anything,
)


class Fuzzed:
    """The API on one event loop for all examples."""

    def __init__(self, api: Api, portal: BlockingPortal) -> None:
        self._api = api
        self._portal = portal
        portal.call(api.model)

    def survive(self, spec: dict[str, Any]) -> bool:
        """Send a specification; return whether it was taken."""
        return self._portal.call(self._survive, spec)

    async def _survive(self, spec: dict[str, Any]) -> bool:
        response = await self._api.call("POST", VERSIONS, json=spec)
        assert response.status_code in (200, 400), response.text
        stored = await self._api.store.read(lambda tx: tx.all(Version))
        if response.status_code == 400:
            assert response.json()["error"]["details"][1]["fieldViolations"]
            assert stored == ()
            return False
        (version,) = stored
        shown = await self._api.ok("GET", f"/v1/{version.name}")
        if spec.get("container") is not None:
            assert shown["container"]["image"] == spec["container"]["image"]
        else:
            assert shown["deploymentUri"] == spec["deploymentUri"]
            assert shown["runtimeVersion"] == "2026.11"
        await self._api.store.write(lambda tx: tx.delete(Version, version.name))
        return True


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    api = open_api(tmp_path_factory.mktemp("fuzzed"))
    with start_blocking_portal() as portal:
        yield Fuzzed(api, portal)
    api.store.close()


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=300, derandomize=True, **QUIET)
@given(spec=versions)
def test_a_fuzzed_specification_is_taken_or_refused(fuzzed: Fuzzed, spec: dict[str, Any]) -> None:
    fuzzed.survive(spec)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=10_000 if os.environ.get("MODELPORT_WHOLE_CORPUS") == "1" else 2_000, **QUIET)
@given(spec=versions)
def test_thousands_of_fuzzed_specifications_are_taken_or_refused(fuzzed: Fuzzed, spec: dict[str, Any]) -> None:
    fuzzed.survive(spec)
