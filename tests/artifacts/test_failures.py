import errno

import httpx
import pytest
from obstore import exceptions as obstore_errors

from modelport.artifacts.failures import OBSTORE_ERRORS, disk_full_is_no_space, translating
from modelport.core.errors import (
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactStoreUnavailable,
    ArtifactUnauthorized,
    NoSpace,
)


def test_every_exception_of_obstore_is_mapped():
    theirs = {item for item in vars(obstore_errors).values() if isinstance(item, type) and issubclass(item, Exception)}

    assert len(theirs) > 10
    assert theirs <= OBSTORE_ERRORS.keys()


def generic(status: int) -> Exception:
    return obstore_errors.GenericError(f"Generic error: x?sig=secret\n\nDebug source:\nX {{\n    status: {status},\n}}")


def answered(status: int) -> Exception:
    request = httpx.Request("GET", "http://host/x?sig=secret")
    return httpx.HTTPStatusError("x", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (FileNotFoundError("x"), ArtifactNotFound),
        (obstore_errors.PermissionDeniedError("x"), ArtifactUnauthorized),
        (obstore_errors.UnauthenticatedError("x"), ArtifactUnauthorized),
        (obstore_errors.InvalidPathError("x"), ArtifactRefused),
        (obstore_errors.PreconditionError("x"), ArtifactStoreUnavailable),
        (obstore_errors.GenericError("no status"), ArtifactStoreUnavailable),
        (obstore_errors.GenericError("says 403 Forbidden and status: 404, in words"), ArtifactStoreUnavailable),
        (generic(403), ArtifactUnauthorized),
        (generic(404), ArtifactNotFound),
        (generic(500), ArtifactStoreUnavailable),
        (answered(401), ArtifactUnauthorized),
        (answered(404), ArtifactNotFound),
        (answered(503), ArtifactStoreUnavailable),
        (httpx.ConnectError("x"), ArtifactStoreUnavailable),
        (httpx.ReadTimeout(""), ArtifactStoreUnavailable),
        (httpx.TooManyRedirects("x"), ArtifactStoreUnavailable),
        (TimeoutError(), ArtifactStoreUnavailable),
        (OSError(errno.ENOTDIR, "x"), ArtifactNotFound),
        (OSError(errno.EACCES, "x"), ArtifactUnauthorized),
        (OSError(errno.EPERM, "x"), ArtifactUnauthorized),
        (OSError(errno.ELOOP, "x"), ArtifactRefused),
        (OSError(errno.EIO, "x"), ArtifactStoreUnavailable),
        (OSError("no errno"), ArtifactStoreUnavailable),
    ],
)
def test_what_a_source_raises_becomes_ours(raised, ours):
    with pytest.raises(ours) as caught, translating("s3://bucket/x", "s3"):
        raise raised

    assert "s3://bucket/x" in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.hint
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_no_space(number):
    with (
        pytest.raises(NoSpace, match="needs 5,000 bytes more; its disk has 12 free"),
        disk_full_is_no_space(5000, lambda: 12),
    ):
        raise OSError(number, "full")


def test_other_failures_of_the_caches_disk_stay_what_they_are():
    with pytest.raises(OSError, match="broken"), disk_full_is_no_space(1, lambda: 1):
        raise OSError(errno.EIO, "broken")
