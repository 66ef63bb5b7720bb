"""Redaction: evidence without secrets, and not longer than anybody reads. Pure.

What is secret is told by the name of a variable, header or flag, by the shape of a token, and by being the value of a
secret-looking variable, wherever it occurs. Facts that rules need (addresses, ports, switches) are left alone: a
variable such as AUTH_HOST=127.0.0.1 must not hide the address from the socket table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

from modelport.core.replicas import EnvVar, LogLine
from modelport.doctor.evidence import Evidence, Exchange

T = TypeVar("T")

MASK = "[redacted]"
LOG_LINES = 400
LINE_CHARACTERS = 1000

_LITERAL_CHARACTERS = 6  # shorter values would be found in half of all words
_ANYWHERE_CHARACTERS = 12  # shorter values are masked as whole words only

_SECRET_NAME = re.compile(
    r"SECRET|PASSW|CREDENTIAL|APIKEY|CONNECTION"
    r"|(?:TOKEN|KEY|AUTH|AUTHORIZATION|DSN|COOKIE|SIGNATURE|_PASS|_PWD)(?:_|$)"
)
_SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
_FILE_NAME = re.compile(r"(?:FILE|PATH|DIR|SOCK|CREDENTIALS)$")
_HARMLESS = re.compile(
    r"\$\([^()]*\)|true|false|yes|no|on|off|none|null|\d{0,5}"
    r"|(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-f:]*::[0-9a-f:]*\]?)(?::\d{1,5})?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[\d.,+-]{1,11}")

_KEY_NAMES = (
    r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|secret[_-]?key"
    r"|account[_-]?key|shared[_-]?access[_-]?signature|credential"
)
# Each keeps its first group, and has at most one unbounded repetition: none takes longer than the text is long.
_SHAPES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # A key in one text, also where its newlines are escaped. Keys over several log lines: `_without_keys`.
        (r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^\"']*?(?=-----END|[\"']|\Z)", re.DOTALL),
        # scheme://user:password@host
        (r"(?<=://)()[^\s/?#\"'<>\\]{1,2000}(?=@)", 0),
        (
            r"([?&;](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig|signature"
            r"|(?:access_|id_|refresh_|auth_)?token|(?:api_?)?key|pass(?:word|wd)?|(?:client_)?secret|auth)=)"
            r"[^&\s\"'#<>]+",
            re.IGNORECASE,
        ),
        (r"\b(Bearer\s{1,3})(?:[\w.~+/=-]{16,}|(?=[^\s\"'\d]{0,15}\d)[\w.~+/=-]{6,})", re.IGNORECASE),
        (r"\b(Authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:Basic|Digest|Token|Negotiate)\s{1,2})[^\s\"',]+", re.I),
        (rf"((?:{_KEY_NAMES})\s?=\s?[\"']?)(?!\[redacted\])[^\s\"',;&)}}\]]{{4,}}", re.IGNORECASE),
        (rf"((?:{_KEY_NAMES})\\?[\"']\s?:\s?\\?[\"'])[^\s\"',;\\]{{4,}}", re.IGNORECASE),
        (r"\b()(?:AKIA|ASIA)[A-Z0-9]{16}\b", 0),
        (r"\b()(?:gh[pousr]_|github_pat_|hf_|glpat-|xox[abprs]-|ya29\.|AIza)[\w-]{16,}", 0),
        (r"\b()sk-(?=[\w-]{0,60}\d)[\w-]{16,}", 0),
        (r"\b()eyJ[\w-]{8,4000}\.[\w-]{8,4000}\.[\w-]*", 0),
    )
)
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_END = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_LINE = re.compile(r"(?:[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/]{0,16}={1,2})\s*")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")


def redacted(evidence: Evidence, secrets: Iterable[str] = ()) -> Evidence:
    """Return the evidence without secrets, with at most 400 log lines of at most 1,000 characters.

    Args:
        evidence: as it was gathered.
        secrets: further values that must not be seen, such as a registry's password.
    """
    mask = _masker({*secrets, *_values_of_secret_variables(evidence)})
    kept = evidence.log[-LOG_LINES:]
    dropped = len(evidence.log) - len(kept)
    clean = _applied(replace(evidence, log=kept, log_dropped=evidence.log_dropped + dropped), mask)
    return replace(clean, log=tuple(_cut(line) for line in clean.log))


def masked_text(text: str) -> str:
    """Return the text without anything that has the shape of a secret."""
    return _masker(())(text)


def is_secret_name(name: str) -> bool:
    """Return whether a variable or flag of this name holds a secret."""
    return bool(_SECRET_NAME.search(re.sub(r"[^A-Z0-9]", "_", name.upper())))


@dataclass(frozen=True)
class _Masker:
    """Masks in texts; `literals` finds values that are known to be secret."""

    literals: re.Pattern[str] | None

    def __call__(self, text: str) -> str:
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # bytes that were no text could not be written as JSON
        if self.literals is not None:
            text = self.literals.sub(MASK, text)
        for shape in _SHAPES:
            text = shape.sub(rf"\g<1>{MASK}", text)
        return text


def _masker(secrets: Iterable[str]) -> Callable[[str], str]:
    forms = {form for secret in secrets for form in _written_forms(secret) if not _is_ordinary(form)}
    # The longest first: a secret may hold another.
    patterns = [_literal(form) for form in sorted(forms, key=lambda form: (-len(form), form))]
    return _Masker(re.compile("|".join(patterns)) if patterns else None)


def _is_ordinary(form: str) -> bool:
    return len(form) < _LITERAL_CHARACTERS or form == MASK or bool(_HARMLESS.fullmatch(form) or _NUMBER.fullmatch(form))


def _written_forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, as in JSON and in URLs, and line by line."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield from (line.strip() for line in secret.splitlines())


def _literal(form: str) -> str:
    pattern = re.escape(form)
    return pattern if len(form) >= _ANYWHERE_CHARACTERS else rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"


def _values_of_secret_variables(evidence: Evidence) -> Iterator[str]:
    images = [evidence.image, evidence.facts.image if evidence.facts else None]
    for variable in (*evidence.spec.env, *(one for image in images if image for one in image.env)):
        if _is_secret(variable):
            yield variable.value
        if match := re.search(r"://[^\s/?#@:]*:([^\s/?#]+)@", variable.value):
            yield match[1]


def _is_secret(variable: EnvVar) -> bool:
    is_file = variable.value.startswith(("/", "./")) and _FILE_NAME.search(variable.name.upper())
    return is_secret_name(variable.name) and not is_file and not _HARMLESS.fullmatch(variable.value)


def _applied(value: T, mask: Callable[[str], str]) -> T:
    """Return a value with all texts in it masked, however deep."""
    result: Any = value
    match value:
        case Enum():
            pass
        case str():
            result = mask(value)
        case EnvVar():
            result = EnvVar(value.name, MASK if _is_secret(value) else mask(value.value))
        case Exchange():
            headers = tuple((name, MASK if _is_secret_header(name) else mask(text)) for name, text in value.headers)
            result = replace(_members(value, mask), headers=headers)
        case tuple():
            result = _sequence(value, mask)
        case dict():
            result = {key: _applied(one, mask) for key, one in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            result = _members(value, mask)
    return result  # type: ignore[no-any-return]


def _members(value: Any, mask: Callable[[str], str]) -> Any:
    return replace(value, **{one.name: _applied(getattr(value, one.name), mask) for one in fields(value)})


def _sequence(values: tuple[Any, ...], mask: Callable[[str], str]) -> tuple[Any, ...]:
    if values and all(isinstance(one, LogLine) for one in values):
        return tuple(_applied(line, mask) for line in _without_keys(values))
    # The value of `--token VALUE` stands by itself in a command line.
    return tuple(
        MASK if index and isinstance(one, str) and _is_secret_flag(values[index - 1]) else _applied(one, mask)
        for index, one in enumerate(values)
    )


def _is_secret_flag(word: object) -> bool:
    return isinstance(word, str) and bool(_FLAG.fullmatch(word)) and is_secret_name(word)


def _is_secret_header(name: str) -> bool:
    return name.lower() in _SECRET_HEADERS or (is_secret_name(name) and name.lower() != "www-authenticate")


def _without_keys(lines: tuple[LogLine, ...]) -> Iterator[LogLine]:
    """Yield the lines; those of a private key are masked, also where its beginning or its end is not in the log."""
    texts = [line.text for line in lines]
    inside: set[int] = set()
    for index, text in enumerate(texts):
        if _KEY_BEGIN.search(text):
            inside |= _run(texts, index, 1)
        if _KEY_END.search(text):
            inside |= _run(texts, index, -1)
    for index, line in enumerate(lines):
        yield replace(line, text=MASK) if index in inside else line


def _run(texts: list[str], start: int, step: int) -> set[int]:
    """Return the lines next to `start` in one direction that look like the inside of a key."""
    found = set()
    index = start + step
    while 0 <= index < len(texts) and _KEY_LINE.fullmatch(texts[index].strip()):
        found.add(index)
        index += step
    return found


def _cut(line: LogLine) -> LogLine:
    return line if len(line.text) <= LINE_CHARACTERS else replace(line, text=f"{line.text[: LINE_CHARACTERS - 1]}…")
