"""`modelport check` on containers that are fine, and on those that only look as if they were not: no error."""

import pytest

from tests.containers.container import DOCKER, PODMAN, Container
from tests.containers.corpus import HEALTHY
from tests.e2e.checked import Checked

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("engine", "case"),
    [
        pytest.param(engine, case, id=f"{engine}-{case.name}")
        for engine in (PODMAN, DOCKER)
        for case in HEALTHY
        if engine in case.engines
    ],
)
def test_a_container_that_is_fine_conforms(checked: Checked, engine: str, case: Container) -> None:
    outcome = checked.outcome(engine, case)
    assert not outcome.problem
    assert [f for f in outcome.report["findings"] if f["severity"] == "error"] == []
    assert outcome.report["conforms"], outcome.report["stages"]
