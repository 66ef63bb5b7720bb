"""Evidence of real containers, recorded by `MODELPORT_RECORD_CASES=1`, and what the doctor makes of it today."""

import re

import pytest

from modelport.doctor.diagnose import diagnose
from modelport.doctor.findings import Severity
from modelport.doctor.rules import RULES
from tests.containers.corpus import BROKEN
from tests.doctor.recorded import Recorded, recorded

CASES = recorded()
# These need what no test machine has, or a program beside the doctor that gathers the evidence.
NOT_PROVOKED = {"ENVIRONMENT_BUILD_FAILED", "MODEL_CANNOT_BE_LOADED"}  # of versions without a container


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_first_finding_of_a_recorded_case_is_its_cause(case: Recorded) -> None:
    findings = diagnose(case.evidence).findings
    if not case.code:
        assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
        return
    assert [finding.code for finding in findings[:1]] == [case.code]
    assert any(re.search(case.container.evidence, line) for line in findings[0].evidence), findings[0].evidence


def test_every_code_has_a_container() -> None:
    provoked = {container.code for container in BROKEN} | {code for container in BROKEN for code in container.also}
    assert {rule.code for rule in RULES} - provoked == NOT_PROVOKED
