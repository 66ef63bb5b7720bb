"""A case: evidence written to a file and read back exactly, so that rules can be replayed on it anywhere.

It is a support bundle and a test at once. Reading and writing files is left to the caller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from modelport.core.errors import InvalidArgument
from modelport.doctor.evidence import Evidence

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = 1
KEY = "modelportCase"
_MAX_CHARACTERS = 32 * 1024**2


@dataclass(frozen=True)
class CaseStage:
    """One stage of the check that gathered the evidence."""

    name: str
    outcome: str
    text: str
    took_s: float


@dataclass(frozen=True)
class Case:
    """Evidence, and where it comes from.

    Attributes:
        target: what was checked, as it was written.
        evidence: what was seen; see `redaction` for what must not be in it.
        stages: how the check went.
        modelport: version of the program that wrote it.
    """

    target: str
    evidence: Evidence
    stages: tuple[CaseStage, ...] = ()
    modelport: str = ""


def is_case(document: object) -> bool:
    """Return whether a JSON document says that it is a case, of whatever schema."""
    return isinstance(document, dict) and KEY in document


def to_json(case: Case) -> str:
    """Return the case as a JSON document."""
    document = {KEY: SCHEMA, **_adapter().dump_python(case, mode="json")}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, source: str) -> Case:
    """Read a case; facts that a later modelport added are passed over.

    Args:
        text: what `to_json` returned.
        source: name of the file, for the words of the error.

    Raises:
        InvalidArgument: it is no case, of another schema, or broken.
    """
    from pydantic import ValidationError

    if len(text) > _MAX_CHARACTERS:
        raise InvalidArgument(f"`{source}` has {len(text)} characters; a case has at most {_MAX_CHARACTERS}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"`{source}` is not JSON: {error}", hint=_AGAIN) from error
    if not is_case(document):
        raise InvalidArgument(f"`{source}` is not a case: it has no `{KEY}`", hint=_AGAIN)
    schema = document.pop(KEY)
    if schema != SCHEMA or isinstance(schema, bool):
        raise InvalidArgument(
            f"`{source}` is a case of schema {json.dumps(schema)[:40]}; this modelport reads schema {SCHEMA}",
            hint=f"Read it with the modelport that wrote it: {str(document.get('modelport') or 'unknown')[:40]}",
        )
    try:
        return _adapter().validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise InvalidArgument(f"`{source}` is a broken case: `{place}`: {problem['msg']}", hint=_AGAIN) from error


_AGAIN = "Write it again with `modelport check TARGET --save FILE`"


@cache
def _adapter() -> TypeAdapter[Case]:
    from pydantic import TypeAdapter  # the base install has no pydantic

    return TypeAdapter(Case)
