import pytest

from modelport.artifacts.stores import _AZURE_VARIABLES, _GCS_VARIABLES, _S3_VARIABLES, open_store
from modelport.artifacts.uri import parse_uri
from modelport.core.errors import ArtifactUnauthorized

VALUES = {"AWS_SKIP_SIGNATURE": "true", "AWS_REQUEST_PAYER": "true", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"}


def config(uri: str, **environ: str) -> dict[str, object]:
    return dict(open_store(parse_uri(uri), environ, stall_timeout_s=5).config)


@pytest.mark.parametrize("variable", _S3_VARIABLES)
def test_every_variable_of_s3_is_known_to_the_store(variable):
    environ = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"} | {variable: VALUES.get(variable, "http://v")}

    assert len(config("s3://bucket/x", **environ)) >= len(environ) + 1


@pytest.mark.parametrize("variable", _AZURE_VARIABLES)
def test_every_variable_of_azure_is_known_to_the_store(variable):
    values = {"AZURE_SKIP_SIGNATURE": "true", "AZURE_STORAGE_SAS_TOKEN": "sig=x", "AZURE_STORAGE_ENDPOINT": "http://v"}
    environ = {"AZURE_STORAGE_ACCOUNT": "name"} | {variable: values.get(variable, "aHR0cDovL3Y=")}

    assert len(config("az://container/x", **environ)) >= 2


def test_skipping_signatures_is_known_to_the_store():
    assert "GOOGLE_SKIP_SIGNATURE" in _GCS_VARIABLES
    assert config("gs://bucket", GOOGLE_SKIP_SIGNATURE="true")["skip_signature"]


@pytest.mark.parametrize("host", ["localhost:4443", "http://localhost:4443", "http://localhost:4443/"])
def test_the_gcs_emulator_is_found_without_credentials(host):
    found = config("gs://bucket", STORAGE_EMULATOR_HOST=host, GOOGLE_APPLICATION_CREDENTIALS="/nowhere.json")

    assert found["base_url"] == "http://localhost:4443"
    assert found["skip_signature"]
    assert "application_credentials" not in found


def test_the_endpoint_of_s3_alone_wins_over_that_of_all_services():
    found = config("s3://bucket", AWS_ENDPOINT_URL="http://all", AWS_ENDPOINT_URL_S3="http://s3")

    assert "http://s3" in found.values()
    assert "http://all" not in found.values()


def test_the_chosen_profile_of_the_aws_command_line_is_used(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n"
        "[mine]\naws_access_key_id = m\naws_secret_access_key = s%cret\n"
    )
    (tmp_path / ".aws/config").write_text("[default]\nregion = eu-north-1\n[profile mine]\nregion = eu-west-3\n")

    default = config("s3://bucket", HOME=str(tmp_path))
    mine = config("s3://bucket", HOME=str(tmp_path), AWS_PROFILE="mine")

    assert (default["access_key_id"], default["region"]) == ("d", "eu-north-1")
    assert (mine["access_key_id"], mine["secret_access_key"], mine["region"]) == ("m", "s%cret", "eu-west-3")


def test_a_key_in_the_environment_wins_over_the_profile(tmp_path):
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = d\naws_secret_access_key = ds\n")

    found = config(
        "s3://bucket",
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"),
        AWS_ACCESS_KEY_ID="e",
        AWS_SECRET_ACCESS_KEY="es",
    )

    assert (found["access_key_id"], found["secret_access_key"]) == ("e", "es")


def test_a_connection_string_of_azure_is_enough():
    string = "DefaultEndpointsProtocol=http;AccountName=me;AccountKey=a2V5PT0=;BlobEndpoint=http://127.0.0.1:1/me;"

    found = config("az://container", AZURE_STORAGE_CONNECTION_STRING=string)

    assert found["account_name"] == "me"
    assert found["account_key"] == "a2V5PT0="
    assert found["endpoint"] == "http://127.0.0.1:1/me"


def test_azure_without_an_account_is_refused_with_what_to_set():
    with pytest.raises(ArtifactUnauthorized) as caught:
        config("az://container/x")

    assert "AZURE_STORAGE_ACCOUNT" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "environ", "told"),
    [
        ("s3://bucket", {"AWS_ACCESS_KEY_ID": "k"}, "SecretAccessKey"),
        ("gs://bucket", {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}, "/nowhere.json"),
        ("gs://bucket", {"GOOGLE_SERVICE_ACCOUNT_KEY": "{}"}, ""),
        ("az://container", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_ENDPOINT": "nonsense"}, "nonsense"),
    ],
)
def test_credentials_that_cannot_be_used_are_told_with_their_variables(uri, environ, told):
    with pytest.raises(ArtifactUnauthorized) as caught:
        config(uri, **environ)

    assert told in caught.value.message
    assert caught.value.hint
