"""Reads a `deploymentUri` into a frozen value, or says what is wrong with it; touches no disk and no network."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from modelport.core.errors import InvalidArgument, Violation

FIELD = "deploymentUri"
_MAX_LENGTH = 4096
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# The union of what the three services allow (Google 3-222, the others 3-63, Azure neither dots nor underscores).
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# What other tools call the same services.
_ALIASES = {
    "gcs": "gs",
    "google": "gs",
    "s3a": "s3",
    "s3n": "s3",
    "aws": "s3",
    "azure": "az",
    "abfs": "az",
    "abfss": "az",
    "wasb": "az",
    "wasbs": "az",
    "adl": "az",
    "local": "file",
}


@dataclass(frozen=True)
class ArtifactUri:
    """Where artifacts come from.

    Attributes:
        scheme: `file`, `gs`, `s3`, `az`, `http` or `https`.
        bucket: bucket, container or HOST[:PORT]; empty for `file`.
        path: key prefix without slashes at its ends; the absolute path for `file`; the decoded path for `http(s)`.
        text: the whole URI, as it was given.
    """

    scheme: str
    bucket: str
    path: str
    text: str

    def __str__(self) -> str:
        """Return the URI for people: the query of an HTTP URL, which may be a signature, is left out."""
        return self.text.partition("?")[0] if self.scheme in ("http", "https") else self.text


def parse_uri(text: str) -> ArtifactUri:
    """Read a local path or a URI.

    Raises:
        InvalidArgument: it is neither; the hint names what was probably meant.
    """
    _check_characters(text)
    if text.startswith("/"):
        return ArtifactUri("file", "", _local_path(text, text), text)
    match = _SCHEME.match(text)
    if match is None:
        raise _wrong(
            f"`{text}` is neither an absolute path nor a URI",
            "Write an absolute path such as /models/v1, or a URI such as gs://BUCKET/FOLDER",
        )
    scheme = match[1].lower()
    reader = _READERS.get(scheme)
    if reader is None:
        raise _wrong(f"`{text}` has the unknown scheme `{match[1]}`", _scheme_hint(scheme, text))
    if not text[match.end() :].startswith("//"):
        rest = text[match.end() :].lstrip("/")
        slashes = "///" if scheme == "file" else "//"
        raise _wrong(f"`{text}` lacks `//` after the scheme", f"Did you mean `{scheme}:{slashes}{rest}`?")
    return reader(scheme, text, text[match.end() + 2 :])


def _check_characters(text: str) -> None:
    if not text:
        raise _wrong("`deploymentUri` is empty", "Leave the field out when the container needs no artifacts")
    if len(text) > _MAX_LENGTH:
        raise _wrong(f"`deploymentUri` has {len(text):,} characters; at most {_MAX_LENGTH:,}")
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise _wrong(f"{text!r} has the control character {character!r} at position {position}", "Remove it")
    if text != text.strip():
        raise _wrong(f"`{text}` begins or ends with a space", f"Did you mean `{text.strip()}`?")


def _scheme_hint(scheme: str, text: str) -> str:
    known = sorted(_READERS)
    close = difflib.get_close_matches(scheme, known, n=1, cutoff=0.5)
    meant = _ALIASES.get(scheme) or (close[0] if close else None)
    if meant is None:
        return "Use an absolute path, or one of " + ", ".join(f"{name}://" for name in known)
    rest = text.partition(":")[2].lstrip("/")
    return f"Did you mean `{meant}://{rest}`?"


def _bucket_uri(scheme: str, text: str, rest: str) -> ArtifactUri:
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise _wrong(f"`{text}` names no bucket", f"Write {scheme}://BUCKET/FOLDER")
    if not _BUCKET.fullmatch(bucket):
        raise _wrong(
            f"`{text}` has the bucket `{bucket}`; bucket names have 3 to 222 of a-z, 0-9, dot, dash and underscore",
            f"Write {scheme}://BUCKET/FOLDER",
        )
    key = key.removesuffix("/")
    if key:
        _check_segments(key, text)
    return ArtifactUri(scheme, bucket, key, text)


def _file_uri(scheme: str, text: str, rest: str) -> ArtifactUri:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise _wrong(
            f"`{text}` names the host `{host}`; files are read from the machine of the control plane",
            f"Did you mean `file:///{rest}`?",
        )
    if not slash:
        raise _wrong(f"`{text}` names no path", "Write file:///ABSOLUTE/PATH")
    return ArtifactUri("file", "", _local_path("/" + unquote(path, errors="surrogateescape"), text), text)


def _local_path(path: str, text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise _wrong(f"`{text}` has control characters in its path", "Rename the folder")
    if ".." in path.split("/"):
        raise _wrong(f"`{text}` has `..` in its path", "Write the path without `..`")
    # Two leading slashes have a meaning of their own to PurePosixPath; here they have none.
    return str(PurePosixPath("/" + path.lstrip("/")))


def _web_uri(scheme: str, text: str, rest: str) -> ArtifactUri:
    parts, host = _split(text)
    if not host:
        raise _wrong(f"`{text}` names no host", f"Write {scheme}://HOST/FILE")
    if parts.username is not None or parts.password is not None:
        raise _wrong(
            f"`{scheme}://…@{rest.rpartition('@')[2]}` carries a user name or password, which everybody who can read"
            " the version would see",
            "Use a URL without them, or an object store with credentials in its environment",
        )
    if parts.fragment:
        raise _wrong(f"`{text}` has the fragment `#{parts.fragment}`", "Remove it; write a `#` of the path as %23")
    path = unquote(parts.path, errors="surrogateescape")
    if path.endswith("/") or not path:
        raise _wrong(
            f"`{text}` names no file; over {scheme} exactly one file can be copied",
            "Name a file, or put folders into an object store",
        )
    _check_segments(path.lstrip("/"), text)
    return ArtifactUri(scheme, host, path.lstrip("/"), text)


def _split(text: str) -> tuple[SplitResult, str]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(f"`{text}` is no URL: {error}") from error
    host = parts.hostname or ""
    return parts, f"{host}:{port}" if host and port else host


def _check_segments(path: str, text: str) -> None:
    for segment in path.split("/"):
        if segment in ("", ".", ".."):
            raise _wrong(
                f"`{text}` has the path segment `{segment}`" if segment else f"`{text}` has an empty path segment",
                "Write the path without `//`, `.` and `..`",
            )
        if "\\" in segment:
            raise _wrong(f"`{text}` has a backslash in its path", "Separate folders with `/`")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in segment):
            raise _wrong(f"`{text}` has control characters in its path", "Rename the file")


def _wrong(message: str, hint: str = "") -> InvalidArgument:
    return InvalidArgument(message, hint=hint, violations=(Violation(FIELD, message),))


_READERS: dict[str, Callable[[str, str, str], ArtifactUri]] = {
    "file": _file_uri,
    "gs": _bucket_uri,
    "s3": _bucket_uri,
    "az": _bucket_uri,
    "http": _web_uri,
    "https": _web_uri,
}
