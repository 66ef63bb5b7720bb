import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelport.core.errors import InvalidArgument
from modelport.doctor.case import KEY, Case, CaseStage, from_json, is_case, to_json
from modelport.doctor.evidence import Evidence, Exchange, Phase

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
CASE = Case("./churn", Evidence("projects/p/models/m/versions/v", Phase.LISTEN, "docker", NOW, 1.5), modelport="0.1.0")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.builds(Case, target=TEXT, evidence=st.from_type(Evidence), stages=st.tuples(st.from_type(CaseStage))))
def test_a_case_is_read_as_it_was_written(case: Case) -> None:
    assert from_json(to_json(case), "case.json") == case


def test_every_kind_of_fact_is_read_as_it_was_written() -> None:
    exchange = Exchange(NOW, "http://h/", None, "refused", 0.1, headers=(("a", "b"),))
    case = dataclasses.replace(CASE, evidence=dataclasses.replace(CASE.evidence, health=(exchange,), passed=True))

    read = from_json(to_json(case), "case.json")

    assert read == case
    assert isinstance(read.evidence.health[0].headers, tuple)
    assert isinstance(read.evidence.phase, Phase)


def test_a_case_says_that_it_is_one() -> None:
    document = json.loads(to_json(CASE))

    assert document[KEY] == 1
    assert is_case(document)
    assert not is_case({"container": {}})
    assert not is_case([])


def test_facts_of_a_later_modelport_are_passed_over() -> None:
    document = json.loads(to_json(CASE))
    document["evidence"]["humidity"] = 0.5

    assert from_json(json.dumps(document), "case.json") == CASE


def broken(**changes: object) -> str:
    return json.dumps({**json.loads(to_json(CASE)), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{oops", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a case: it has no `modelportCase`"),
        ('{"container": {}}', "is not a case"),
        (broken(modelportCase=2), "is a case of schema 2; this modelport reads schema 1"),
        (broken(modelportCase=True), "is a case of schema true"),
        (broken(evidence={}), "is a broken case: `evidence.version`: "),
        (broken(evidence=None), "is a broken case: `evidence`: "),
        (broken(target=5), "is a broken case: `target`: "),
        (broken(target="\ud800"), "is a broken case: "),
    ],
)
def test_what_is_no_case_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_json(text, "some.json")

    assert caught.value.message.startswith("`some.json` ")
    assert message in caught.value.message
    assert caught.value.hint


def test_the_hint_names_the_modelport_that_wrote_it() -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_json(broken(modelportCase=7, modelport="9.1"), "some.json")

    assert caught.value.hint.endswith("wrote it: 9.1")
