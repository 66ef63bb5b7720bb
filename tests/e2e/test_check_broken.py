"""`modelport check` on broken containers, with real engines: the first finding is the cause, and its remedy helps."""

import re

import pytest

from tests.containers.container import DOCKER, PODMAN, Container, Elsewhere
from tests.containers.corpus import broken
from tests.e2e.checked import Checked

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(900)]  # the first waits for all checks

each_case = pytest.mark.parametrize(
    ("engine", "case"),
    [pytest.param(engine, case, id=f"{engine}-{case.name}") for engine in (PODMAN, DOCKER) for case in broken(engine)],
)


@each_case
def test_the_first_finding_is_the_cause(checked: Checked, engine: str, case: Container) -> None:
    outcome = checked.outcome(engine, case)
    assert not outcome.problem
    assert outcome.first["code"] == case.code, outcome.report["findings"]
    assert outcome.report["conforms"] is case.serves
    lines = outcome.first["evidence"]
    assert any(re.search(case.evidence, line) for line in lines), lines
    assert {*case.also} <= {finding["code"] for finding in outcome.report["findings"]}


@each_case
def test_a_remedy_makes_it_conform(checked: Checked, engine: str, case: Container) -> None:
    if isinstance(case.remedy, Elsewhere):
        pytest.skip("there is no remedy to apply, or not in the usual run")
    fixed = checked.outcome(engine, case).fixed
    assert fixed is not None, "the finding brings no patch"
    assert fixed["conforms"], fixed["findings"]
    assert case.code not in {finding["code"] for finding in fixed["findings"]}


@pytest.mark.parametrize("engine", [PODMAN, DOCKER])
def test_no_container_stays_behind(checked: Checked, engine: str) -> None:
    assert checked.on(engine).left_behind == ()
