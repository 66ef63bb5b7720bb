"""Requests made from the OpenAPI description, good and bad: never a defect, never an undescribed answer."""

from collections.abc import Iterator

import anyio
import hypothesis.strategies as st
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.test_error_shape import IDS
from tests.api.world import open_api

pytestmark = pytest.mark.slow

PATHS = {"project": "p", "model": "iris", "version": "v1"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    api = open_api(tmp_path_factory.mktemp("described"))
    anyio.run(api.model)
    anyio.run(api.version)
    anyio.run(api.settle)
    yield schemathesis.openapi.from_asgi("/modelport/v1/openapi.json", api.app)
    api.store.close()


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("paths", [None, PATHS], ids=["any-name", "real-names"])
def test_no_request_is_a_defect(described: schemathesis.BaseSchema, name: str, paths: dict[str, str] | None) -> None:
    operation = described.find_operation_by_id(name)
    known = {key: value for key, value in (paths or {}).items() if f"{{{key}}}" in operation.path}
    cases = st.one_of(
        operation.as_strategy(generation_mode=mode, path_parameters=known or None)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    )

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases)
    def run(case: schemathesis.Case) -> None:
        response = case.call()
        checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
        # A prediction that has no route is 503 by contract; it is never anything else from 500 on.
        if not (":predict" in case.path and response.status_code == 503):
            checks.append(not_a_server_error)
        case.validate_response(response, checks=checks)

    run()
