"""Opens the object store of a URI, with the credentials and endpoints that its own SDKs would take from `environ`."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from modelport.artifacts.failures import first_line, unauthorized
from modelport.artifacts.uri import ArtifactUri
from modelport.core.errors import ArtifactUnauthorized

Store = AzureStore | GCSStore | S3Store
Environ = Mapping[str, str]

# Three tries of two seconds: a store that is not there is reported within ten seconds.
_RETRIES = 2
_RETRY_TIMEOUT = timedelta(seconds=8)
_CONNECT_TIMEOUT = timedelta(seconds=2)

_S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_SKIP_SIGNATURE",
    "AWS_REQUEST_PAYER",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
_GCS_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SKIP_SIGNATURE",
)
_AZURE_VARIABLES = (
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "AZURE_SKIP_SIGNATURE",
)


def open_store(uri: ArtifactUri, environ: Environ, *, stall_timeout_s: float) -> Store:
    """Return the store of `uri`; its keys are those of the whole bucket. May read credential files: call in a thread.

    Raises:
        ArtifactUnauthorized: the environment names no account, half of a credential, or a file that cannot be read.
    """
    try:
        return _OPENERS[uri.scheme](uri, environ, stall_timeout_s)
    except (BaseError, OSError, ValueError, configparser.Error) as error:
        raise unauthorized(uri, uri.scheme, f"the environment of the control plane: {first_line(error)}") from error


def _open_s3(uri: ArtifactUri, environ: Environ, stall_timeout_s: float) -> S3Store:
    config = _chosen(_S3_VARIABLES, environ)
    if "aws_access_key_id" not in config and "aws_web_identity_token_file" not in config:
        config = _shared_aws_credentials(environ) | config
    if not {"aws_region", "aws_default_region"} & config.keys():
        config["aws_region"] = "us-east-1"
    endpoint = config.pop("aws_endpoint_url_s3", "") or config.get("aws_endpoint_url", "")
    if endpoint:
        config["aws_endpoint_url"] = endpoint
    return S3Store(uri.bucket, config=cast("Any", config), **_client(endpoint, stall_timeout_s))


def _shared_aws_credentials(environ: Environ) -> dict[str, str]:
    """Read the profile that the AWS command line would use; a machine without one gives nothing."""
    home = Path(environ.get("HOME", "/nonexistent"))
    profile = environ.get("AWS_PROFILE", "default")
    secrets = configparser.ConfigParser(interpolation=None)
    secrets.read(environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws/credentials")
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(environ.get("AWS_CONFIG_FILE") or home / ".aws/config")
    config: dict[str, str] = {}
    for parser, section, names in (
        (secrets, profile, ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")),
        (settings, "default" if profile == "default" else f"profile {profile}", ("region",)),
    ):
        for name in names:
            if parser.has_option(section, name):
                config[name if name.startswith("aws_") else f"aws_{name}"] = parser.get(section, name)
    return config


def _open_gcs(uri: ArtifactUri, environ: Environ, stall_timeout_s: float) -> GCSStore:
    config = _chosen(_GCS_VARIABLES, environ)
    endpoint = environ.get("STORAGE_EMULATOR_HOST", "")
    if endpoint:
        # Google's own libraries accept it without a scheme, too; emulators take no credentials.
        endpoint = endpoint if "://" in endpoint else f"http://{endpoint}"
        config = {"google_base_url": endpoint.rstrip("/"), "google_skip_signature": "true"}
    return GCSStore(uri.bucket, config=cast("Any", config), **_client(endpoint, stall_timeout_s))


def _open_azure(uri: ArtifactUri, environ: Environ, stall_timeout_s: float) -> AzureStore:
    config = _chosen(_AZURE_VARIABLES, environ)
    # The names that the az command line has, and the ones inside a connection string.
    for theirs, ours in (
        ("AZURE_STORAGE_ACCOUNT", "azure_storage_account_name"),
        ("AZURE_STORAGE_KEY", "azure_storage_account_key"),
    ):
        if environ.get(theirs):
            config.setdefault(ours, environ[theirs])
    fields = dict(
        field.split("=", 1) for field in environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";") if "=" in field
    )
    for theirs, ours in (
        ("AccountName", "azure_storage_account_name"),
        ("AccountKey", "azure_storage_account_key"),
        ("BlobEndpoint", "azure_storage_endpoint"),
        ("SharedAccessSignature", "azure_storage_sas_token"),
    ):
        if fields.get(theirs):
            config.setdefault(ours, fields[theirs])
    if "azure_storage_account_name" not in config:
        raise ArtifactUnauthorized(
            f"`{uri}` names a container, and the environment of the control plane names no storage account",
            hint="Set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or AZURE_STORAGE_CONNECTION_STRING",
        )
    endpoint = config.get("azure_storage_endpoint", "")
    return AzureStore(uri.bucket, config=cast("Any", config), **_client(endpoint, stall_timeout_s))


def _chosen(variables: tuple[str, ...], environ: Environ) -> dict[str, str]:
    return {name.lower(): environ[name] for name in variables if environ.get(name)}


def _client(endpoint: str, stall_timeout_s: float) -> dict[str, Any]:
    return {
        "client_options": {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": _CONNECT_TIMEOUT,
            "read_timeout": timedelta(seconds=stall_timeout_s),
            # The whole of one large file may take long; silence is what read_timeout bounds.
            "timeout": timedelta(days=1),
        },
        "retry_config": {
            "max_retries": _RETRIES,
            "retry_timeout": _RETRY_TIMEOUT,
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=1),
                "base": 2,
            },
        },
    }


_OPENERS: dict[str, Callable[[ArtifactUri, Environ, float], Store]] = {
    "s3": _open_s3,
    "gs": _open_gcs,
    "az": _open_azure,
}
