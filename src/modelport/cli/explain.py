"""`modelport explain`: what an error means and what to do; of a request that failed, also what has happened to it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from modelport.cli.findings import printable, wrapped
from modelport.cli.output import parse_time
from modelport.cli.pasted import Pasted, read_pasted
from modelport.cli.session import Session
from modelport.cli.status import short
from modelport.cli.usage import UsageProblem
from modelport.core.errors import ControlPlaneUnreachable, RequestNotFound, Unavailable, finding_page
from modelport.doctor.reasons import Explanation, Kind, nearest, told_by
from modelport.doctor.reasons import explain as explanation_of
from modelport.sdk.client import Json

_MAX_INPUT = 1024**2
_LABEL = 9

_BY = {
    Kind.GATEWAY: "an answer of the gateway",
    Kind.ERROR: "an error of the platform",
    Kind.FINDING: "a finding about a container",
}
_STEPS = (
    ("received", "the request came in"),
    ("queued", "waited for a free replica"),
    ("connected", "connecting to the replica"),
    ("answered", "the replica, up to its answer"),
    ("total", "altogether"),
)


def explain(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(
            metavar="REASON|REQUEST_ID|MESSAGE",
            help="A reason or code, the id of a failed request, a message, or a whole error; - reads it from stdin.",
        ),
    ],
) -> None:
    """Explain an error: what it means, why it comes, what to do.

    Reasons, finding codes and messages (also those of other platforms) are explained without a platform. The id of a
    failed request is looked up at the endpoint. A whole error, as JSON or as it was printed, may be pasted.
    """
    pasted = read_pasted(sys.stdin.read(_MAX_INPUT) if what == "-" else what)
    request, unknown = _looked_up(session, pasted)
    name = (request or {}).get("reason") or pasted.name
    found = explanation_of(name) if name else None
    told = () if found or request else told_by(pasted.message)
    if found is None and request is None and len(told) == 1:
        found = told[0]
    if found is None and request is None and not told:
        raise _not_understood(pasted)
    document: Json = {
        "request": request,
        "explanation": _document(found) if found else None,
        "candidates": [_document(one) for one in told] if not found else [],
    }
    if unknown:
        session.out.note(f"{unknown}\n")
    session.out.show(document, _text(request, found, told, session.out.width))


def _looked_up(session: Session, pasted: Pasted) -> tuple[Json | None, str]:
    """Return what the platform remembers of the request; where a reason is known without it, why that is nothing."""
    if not pasted.request_id:
        return None, ""
    try:
        return session.client.request(pasted.request_id), ""
    except (ControlPlaneUnreachable, RequestNotFound, Unavailable) as error:
        if not explanation_of(pasted.name):
            raise
        return None, f"{error.message}; what follows is what `{pasted.name}` means in general"


def _not_understood(pasted: Pasted) -> UsageProblem:
    said = pasted.name or pasted.message
    shown = printable(" ".join(said.split()))[:80]
    close = nearest(said) if len(said) <= 80 else ()
    hint = f"Did you mean {' or '.join(f'`{one}`' for one in close)}?" if close else ""
    return UsageProblem(
        f"`{shown}` is no reason, no code, no id of a request and no message that is known",
        hint=hint or "Give a reason such as QUEUE_FULL, the `x-request-id` of an answer, or the whole error",
    )


def _document(found: Explanation) -> Json:
    document: dict[str, Any] = {
        "name": found.name,
        "kind": found.kind.value,
        "meaning": found.meaning,
        "why": found.why,
        "fix": found.fix,
    }
    if found.kind is Kind.FINDING:
        document |= {
            "symptom": found.symptom,
            "proof": found.proof,
            "also": found.also,
            "docs": finding_page(found.name),
        }
    return document


def _text(request: Json | None, found: Explanation | None, told: tuple[Explanation, ...], width: int) -> str:
    parts = []
    if request:
        parts.append("\n".join(_request_lines(request)))
    if found:
        parts.append("\n".join(_explanation_lines(_spoken_of(found, request), width)))
    elif request:
        parts.append("\n".join(_unreasoned(request, width)))
    if not found and told:
        lines = [f"  {one.name:<28}{' '.join(one.meaning.split())}" for one in told]
        parts.append("\n".join(["This message comes with:", *lines]))
        parts.append(f"next: modelport explain {told[0].name}, or `modelport check IMAGE`, which tells them apart")
    if request and request.get("version"):
        parts.append("\n".join(_version_lines(request)))
    return "\n\n".join(parts)


def _spoken_of(found: Explanation, request: Json | None) -> Explanation:
    """Return the explanation with the version's own name in the commands, where one is known."""
    if not request or not request.get("version"):
        return found
    target = _target(request)
    model, _, version = target.partition("/")
    fix = found.fix.replace("MODEL/VERSION", target).replace("VERSION --model MODEL", f"{version} --model {model}")
    return replace(found, fix=fix)


def _explanation_lines(found: Explanation, width: int) -> list[str]:
    lines = [f"{found.name}   ({_BY[found.kind]})"]
    for label, text in (("What", found.meaning), ("Sign", found.symptom), ("Why", found.why), ("Fix", found.fix)):
        lines += _labelled(label, wrapped(text, width)) if text else []
    if found.also:
        lines += _labelled("Else", wrapped(f"As an error of the platform: {found.also}", width))
    if found.kind is Kind.FINDING:
        lines += ["", f"docs: {finding_page(found.name)}"]
    return lines


def _request_lines(request: Json) -> list[str]:
    """Return what is known of the request; of the steps only those that it came to."""
    when = parse_time(str(request["time"]))
    status = request.get("httpStatus")
    answered = "nothing: the client had left" if not status else str(status)
    if status and request.get("reason"):
        answered += f" {request['reason']}, by the gateway itself"
    elif status:
        answered += " by " + (f"replica {request['replica']}" if request.get("version") else "the control plane")
    lines = [f"request {request['requestId']}"]
    lines += _labelled("When", [f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"])
    asked = f"{request.get('method', '')} {request.get('path', '')}".strip()
    lines += _labelled("Asked", [printable(asked) or "not known"])
    if request.get("version"):
        lines += _labelled("Version", [short(str(request["version"]))])
    lines += _labelled("Answer", [answered])
    seconds = request.get("seconds") or {}
    steps = [f"{seconds[key]:8.3f} s  {words}" for key, words in _STEPS if seconds.get(key) is not None]
    lines += _labelled("Times", steps) if steps else []
    if retries := request.get("retries"):
        lines += _labelled("Retries", [f"{retries}: the connection failed"])
    if (times := request.get("times", 1)) > 1:
        lines += _labelled("Seen", [f"{times} times with this id; this is the last one"])
    return lines


def _unreasoned(request: Json, width: int) -> list[str]:
    if not request.get("httpStatus"):
        what = "The client closed the connection before there was an answer."
        why = "Its own time limit is shorter than the time that the prediction took; see the times above."
        fix = "Allow more time in the client, or make the prediction faster."
    elif request.get("version"):
        what = "The container itself answered so; the gateway passed it on untouched."
        why = "An exception in the server, or its own idea of being unavailable."
        fix = f"`modelport logs {_target(request)}` shows what it wrote at that time."
    else:
        what = "The control plane itself answered so."
        why = "A defect, or something that it stands on does not answer."
        fix = "Look at its log at that time, and at `modelport status`."
    parts = (("What", what), ("Why", why), ("Fix", fix))
    return [line for label, text in parts for line in _labelled(label, wrapped(text, width))]


def _version_lines(request: Json) -> list[str]:
    now = request.get("versionNow")
    if not now:
        return [f"now: version {short(str(request['version']))} is not there any more"]
    line = f"now: {short(str(now['name']))} {now['state']}, {now['ready']} of {now['wanted']} replicas ready"
    cause = printable(str(now.get("cause", "")).partition("\n")[0])
    return [f"{line}: {cause}" if cause else line, f"next: modelport logs {_target(request)}"]


def _target(request: Json) -> str:
    return short(str(request["version"])).rpartition(" ")[2]


def _labelled(label: str, lines: list[str]) -> list[str]:
    return [f"  {label if index == 0 else '':<{_LABEL}}{line}".rstrip() for index, line in enumerate(lines)]
