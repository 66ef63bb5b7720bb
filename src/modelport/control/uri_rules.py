"""Rules for URIs of files and folders that the platform copies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelport.core.errors import Violation

MAX_URI = 4096
SCHEMES = ("file", "gs", "s3", "az", "http", "https")


def uri_violations(uri: str, path: str) -> Iterator[Violation]:
    """Yield what is wrong with a URI or an absolute path; `path` is its field. An empty one is none."""
    if not uri:
        return
    scheme, separator, rest = uri.partition("://")
    shown = re.sub(r"[\x00-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", uri[:80])
    if len(uri) > MAX_URI:
        yield Violation(path, f"It has {len(uri)} characters; at most {MAX_URI} are allowed.")
    elif re.search(r"[\x00-\x1f\x7f]", uri):
        yield Violation(path, f"`{shown}` has control characters.")
    elif uri.startswith("/"):
        return
    elif not separator:
        yield Violation(path, f"`{shown}` is neither an absolute path nor a URI such as `gs://bucket/folder`.")
    elif scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        yield Violation(path, f"`{shown}` has an unknown scheme; use an absolute path or one of {known}.")
    elif scheme == "file" and not rest.startswith("/"):
        yield Violation(path, f"`{shown}` needs an absolute path: `file:///folder`.")
    elif not rest or (rest.startswith("/") and scheme != "file"):
        yield Violation(path, f"`{shown}` names no bucket or host after `{scheme}://`.")
