"""What `modelport explain` can say without a platform: everything has an explanation, and is found by what it says."""

import re

import pytest

import modelport.cli.usage  # noqa: F401 - has an error of its own
from docs.facts import error_reasons
from modelport.doctor.reason_texts import COMMAND_LINE, CONTROL_PLANE, GATEWAY
from modelport.doctor.reasons import Kind, explain, explanations, named_in, nearest, sections, told_by
from modelport.doctor.rule import rule
from modelport.doctor.rules import RULES

NAMES = sorted(error_reasons() | {one.code for one in RULES})
VARIABLE = re.compile(r"MODELPORT_([A-Z_]+)")


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_and_every_code_is_explained(name: str) -> None:
    found = explain(name)
    assert found is not None
    assert found.name == name
    assert all((found.meaning, found.why, found.fix)), found
    if found.kind is Kind.FINDING:
        assert found.symptom


def test_nothing_else_is_explained() -> None:
    written = {*GATEWAY, *COMMAND_LINE, *CONTROL_PLANE}
    assert written - error_reasons() <= {"HTTP_ERROR"}
    assert set(explanations()) == {*NAMES, *written}


def test_the_settings_that_are_named_exist() -> None:
    from modelport.settings import Settings

    settings = {name.upper() for name in Settings.model_fields} | {"ENDPOINT"}
    for one in explanations().values():
        assert set(VARIABLE.findall(one.why + one.fix)) <= settings, one.name


@pytest.mark.parametrize("text", ["QUEUE_FULL", "queue_full", "queue full", " Queue-Full \n"])
def test_a_name_is_known_in_any_spelling(text: str) -> None:
    found = explain(text)
    assert found is not None
    assert found.name == "QUEUE_FULL"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("QUEUE_FUL", "QUEUE_FULL"), ("no healthy replicas", "NO_HEALTHY_REPLICA"), ("loopback", "LISTENS_ON_LOOPBACK")],
)
def test_a_misspelt_name_has_neighbours(text: str, meant: str) -> None:
    assert explain(text) is None
    assert meant in nearest(text)


@pytest.mark.parametrize("text", ["", "x", "zzzzzz", "a" * 5000])
def test_nonsense_has_none(text: str) -> None:
    assert explain(text) is None
    assert nearest(text) == ()
    assert told_by(text) == ()


@pytest.mark.parametrize(
    "message",
    [
        "Model server never became ready",
        '"Model server NEVER became ready."',
        "error: Model server never became ready. Please validate that your model file or container configuration are"
        " valid.",
        "  * Running on http://127.0.0.1:5000  ",
    ],
)
def test_a_message_of_another_platform_leads_to_the_finding(message: str) -> None:
    assert "LISTENS_ON_LOOPBACK" in [one.name for one in told_by(message)]


def test_names_are_found_in_running_text() -> None:
    text = "503 UNAVAILABLE: NO_HEALTHY_REPLICA (see QUEUE_FULL, NO_HEALTHY_REPLICA) MODELPORT_SLOTS INTERNAL"
    assert named_in(text) == ("NO_HEALTHY_REPLICA", "QUEUE_FULL")


def test_the_documentation_of_a_rule_is_read_by_sections() -> None:
    @rule("X")
    def look(evidence: object) -> None:
        """It is broken.

        Symptom: one
        two `a:
        b`.

        * first
        * second

        Cause: because: of that.

        Fix: do it.
        """

    assert sections(look.text) == {
        "": "It is broken.",
        "Symptom": "One two `a: b`.\n* first\n* second",
        "Cause": "Because: of that.",
        "Fix": "Do it.",
    }
