"""Rules for containers and routes: what can be started, and where it can be asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.core.errors import Violation
from modelport.core.resources import ContainerSpec

MAX_ENV = 200
MAX_ENV_BYTES = 128 * 1024
MAX_ENV_TOTAL_BYTES = 512 * 1024
MAX_PARTS = 1000
MAX_PART_BYTES = 128 * 1024  # what Linux allows for one argument
MAX_PORTS = 100
MAX_IMAGE = 4096
MAX_ROUTE = 1024

_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A path of RFC 3986; as written it may also hold the braces of a reference such as ${AIP_MODEL_NAME}.
_SEGMENT = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/{braces}]|%[0-9A-Fa-f]{{2}})*"
_WRITTEN_ROUTE = re.compile("/" + _SEGMENT.format(braces="{}"))
_EXPANDED_ROUTE = re.compile("/" + _SEGMENT.format(braces=""))


def container_violations(container: ContainerSpec, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a container; `field` is its path in the request."""
    yield from _image(container.image, f"{field}.image")
    yield from _parts(container.command, f"{field}.command")
    yield from _parts(container.args, f"{field}.args")
    if container.command and not container.command[0]:
        yield Violation(f"{field}.command[0]", "It is empty; it must name the program to start.")
    yield from _env(container, f"{field}.env")
    if len(container.ports) > MAX_PORTS:
        yield Violation(f"{field}.ports", f"There are {len(container.ports)} ports; at most {MAX_PORTS} are allowed.")
    for index, port in enumerate(container.ports[:MAX_PORTS]):
        if not 1 <= port <= 65535:
            yield Violation(f"{field}.ports[{index}].containerPort", f"`{port}` is not a port; write 1 to 65535.")


def _image(image: str, field: str) -> Iterator[Violation]:
    is_path = image.startswith(("/", "file://"))
    if not image:
        yield Violation(field, "It is empty; name an image, such as `registry/name:tag`.")
    elif len(image) > MAX_IMAGE:
        yield Violation(field, f"It has {len(image)} characters; at most {MAX_IMAGE} are allowed.")
    elif _CONTROL.search(image) or (not is_path and re.search(r"\s", image)):
        yield Violation(field, f"`{_shown(image)}` has white space or control characters; an image name has none.")
    elif image.startswith("-"):
        yield Violation(field, f"`{_shown(image)}` starts with `-`; an image name starts with a letter or digit.")


def _parts(parts: tuple[str, ...], field: str) -> Iterator[Violation]:
    if len(parts) > MAX_PARTS:
        yield Violation(field, f"It has {len(parts)} parts; at most {MAX_PARTS} are allowed.")
    for index, part in enumerate(parts[:MAX_PARTS]):
        if len(part.encode()) > MAX_PART_BYTES:
            yield Violation(f"{field}[{index}]", f"It is longer than {MAX_PART_BYTES} bytes, which no system starts.")


def _env(container: ContainerSpec, field: str) -> Iterator[Violation]:
    if len(container.env) > MAX_ENV:
        yield Violation(field, f"There are {len(container.env)} variables; at most {MAX_ENV} are allowed.")
        return
    total = 0
    for index, variable in enumerate(container.env):
        size = len(variable.name.encode()) + 1 + len(variable.value.encode())
        total += size
        if not _C_IDENTIFIER.fullmatch(variable.name):
            yield Violation(
                f"{field}[{index}].name",
                f"`{_shown(variable.name)}` must have letters, digits and `_`, and not start with a digit.",
            )
        elif variable.name.startswith("AIP_"):
            yield Violation(
                f"{field}[{index}].name",
                f"`{_shown(variable.name)}` starts with `AIP_`, which is reserved for what the platform sets.",
            )
        if size >= MAX_ENV_BYTES:
            yield Violation(
                f"{field}[{index}].value", f"Name and value have {size} bytes; {MAX_ENV_BYTES} is too many."
            )
    if total > MAX_ENV_TOTAL_BYTES:
        yield Violation(field, f"All variables have {total} bytes; at most {MAX_ENV_TOTAL_BYTES} are allowed.")


def written_route_violations(route: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a route as written; empty means the default and is fine."""
    if not route:
        return
    if not route.startswith("/"):
        yield Violation(field, f"`{_shown(route)}` must start with `/`: it is a path on the container's port.")
    elif len(route) > MAX_ROUTE:
        yield Violation(field, f"It has {len(route)} characters; at most {MAX_ROUTE} are allowed.")
    elif not _WRITTEN_ROUTE.fullmatch(route):
        yield Violation(
            field,
            f"`{_shown(route)}` is not a URL path: no spaces, queries, fragments or quotes; write others as %XX.",
        )


def expanded_route_violations(route: str, field: str) -> Iterator[Violation]:
    """Yield what is wrong with a route whose references have been replaced."""
    if len(route) > MAX_ROUTE or not _EXPANDED_ROUTE.fullmatch(route):
        yield Violation(field, f"It expands to `{_shown(route)}`, which is not a URL path of at most {MAX_ROUTE}.")


def _shown(value: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value[:80])
