"""Translates what object stores, web servers and disks raise into modelport's errors: by type, status and errno."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx
from obstore import exceptions as obstore_errors

from modelport.core.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactStoreUnavailable,
    ArtifactUnauthorized,
    Error,
    Internal,
    NoSpace,
)

# obstore gives the status of a failed listing only in the dump of its source, one field a line.
_DUMPED_STATUS = re.compile(r"^ +status: (\d{3}),$", re.MULTILINE)
_QUERY = re.compile(r"\?\S+")
_DETAIL_CHARACTERS = 400

CREDENTIALS = {
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS for the control plane, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "s3": "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION (or AWS_PROFILE) for the control plane,"
    " or AWS_SKIP_SIGNATURE=true for a public bucket",
    "az": "Set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or AZURE_STORAGE_CONNECTION_STRING, for the control plane",
    "file": "Let the user that runs the control plane read it (chmod or chown)",
    "http": "Use a URL that needs no login, such as a signed one",
    "https": "Use a URL that needs no login, such as a signed one",
}


def not_found(uri: object, scheme: str, detail: str = "") -> ArtifactNotFound:
    """Return the error for a URI that names nothing."""
    what = "folder or file" if scheme == "file" else "object, and no object has it as its folder"
    message = f"`{uri}` names no {what}" if scheme not in ("http", "https") else f"`{uri}` names no file"
    return ArtifactNotFound(
        message + (f": {detail}" if detail else ""), hint="Check the spelling, and that the upload is done"
    )


def unauthorized(uri: object, scheme: str, detail: str = "") -> ArtifactUnauthorized:
    """Return the error for credentials that were refused."""
    return ArtifactUnauthorized(
        f"`{uri}` may not be read" + (f": {detail}" if detail else ""), hint=CREDENTIALS[scheme], uri=str(uri)
    )


def unavailable(uri: object, scheme: str, detail: str = "") -> ArtifactStoreUnavailable:
    """Return the error for a store that did not do its work."""
    return ArtifactStoreUnavailable(
        f"`{uri}` cannot be read now" + (f": {detail}" if detail else ""),
        hint=f"Check the network and the store's address. {CREDENTIALS[scheme]}",
        uri=str(uri),
    )


def changed(uri: object, path: str) -> ArtifactStoreUnavailable:
    """Return the error for a source that was written to while it was copied."""
    return ArtifactStoreUnavailable(
        f"`{uri}` changed while it was copied: `{path}` is not what was listed",
        hint="Try again when the upload is done",
        uri=str(uri),
    )


def _refused(uri: object, scheme: str, detail: str = "") -> ArtifactRefused:
    return ArtifactRefused(f"`{uri}` has a name that cannot become a path: {detail}", hint="Rename it", uri=str(uri))


def _changed(uri: object, scheme: str, detail: str = "") -> ArtifactStoreUnavailable:
    return changed(uri, detail)


def _defect(uri: object, scheme: str, detail: str = "") -> Internal:
    return Internal(f"Reading `{uri}` failed in a way that modelport does not expect: {detail}")


Make = Callable[[object, str, str], Error]

OBSTORE_ERRORS: Mapping[type[Exception], Make] = {
    FileNotFoundError: not_found,
    obstore_errors.NotFoundError: not_found,
    obstore_errors.PermissionDeniedError: unauthorized,
    obstore_errors.UnauthenticatedError: unauthorized,
    obstore_errors.InvalidPathError: _refused,
    obstore_errors.PreconditionError: _changed,
    obstore_errors.NotModifiedError: _changed,
    obstore_errors.AlreadyExistsError: unavailable,
    obstore_errors.GenericError: unavailable,
    obstore_errors.JoinError: unavailable,
    obstore_errors.NotSupportedError: _defect,
    obstore_errors.UnknownConfigurationKeyError: _defect,
    obstore_errors.BaseError: unavailable,
}

STATUS_ERRORS: Mapping[int, Make] = {401: unauthorized, 403: unauthorized, 404: not_found, 410: not_found}

ERRNO_ERRORS: Mapping[int, Make] = {
    errno.ENOTDIR: not_found,
    errno.EACCES: unauthorized,
    errno.EPERM: unauthorized,
    errno.ELOOP: _refused,
    errno.ENAMETOOLONG: _refused,
}


@contextmanager
def translating(uri: object, scheme: str) -> Iterator[None]:
    """Turn what obstore, httpx and a source's disk raise into errors about `uri`."""
    try:
        yield
    except obstore_errors.BaseError as error:
        raise _from_obstore(error)(uri, scheme, first_line(error)) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        detail = f"the server answered {status} {error.response.reason_phrase}"
        raise STATUS_ERRORS.get(status, unavailable)(uri, scheme, detail) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unavailable(uri, scheme, first_line(error) or type(error).__name__) from error
    except TimeoutError as error:
        raise unavailable(uri, scheme, "nothing came for too long") from error
    except FileNotFoundError as error:
        raise not_found(uri, scheme) from error
    except OSError as error:
        raise ERRNO_ERRORS.get(error.errno or 0, unavailable)(
            uri, scheme, error.strerror or first_line(error)
        ) from error


@contextmanager
def disk_full_is_no_space(needed_bytes: int, free_bytes: Callable[[], int]) -> Iterator[None]:
    """Turn a full disk or quota under the cache into NoSpace; other errors of the cache's disk are defects."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise no_space(needed_bytes, free_bytes()) from error


def no_space(needed_bytes: int, free_bytes: int) -> NoSpace:
    """Return the error for a cache that does not fit on its disk."""
    return NoSpace(
        f"The artifact cache needs {needed_bytes:,} bytes more; its disk has {free_bytes:,} free",
        hint="Delete versions that are no longer used, or move --data-dir to a larger disk",
        needed_bytes=str(needed_bytes),
        free_bytes=str(free_bytes),
    )


def _from_obstore(error: obstore_errors.BaseError) -> Make:
    if isinstance(error, obstore_errors.GenericError) and (match := _DUMPED_STATUS.search(str(error))):
        return STATUS_ERRORS.get(int(match[1]), unavailable)
    return OBSTORE_ERRORS.get(type(error), unavailable)


def first_line(error: Exception) -> str:
    """Return what an exception says, without the dump that obstore appends and without queries of URLs."""
    # A query may hold a signature.
    return _QUERY.sub("", str(error).partition("\n")[0])[:_DETAIL_CHARACTERS]
