import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.artifacts.uri import ArtifactUri, parse_uri
from modelport.core.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "scheme", "bucket", "path"),
    [
        ("/models/v1", "file", "", "/models/v1"),
        ("/models/v1/", "file", "", "/models/v1"),
        ("//models//v1", "file", "", "/models/v1"),
        ("file:///models/v1", "file", "", "/models/v1"),
        ("file://localhost/models", "file", "", "/models"),
        ("file:///my%20models/%C3%BC", "file", "", "/my models/ü"),
        ("FILE:///models", "file", "", "/models"),
        ("/my models/v1", "file", "", "/my models/v1"),
        ("/", "file", "", "/"),
        ("gs://bucket", "gs", "bucket", ""),
        ("gs://bucket/", "gs", "bucket", ""),
        ("gs://bucket/a/b/", "gs", "bucket", "a/b"),
        ("gs://bucket.example.com/my model", "gs", "bucket.example.com", "my model"),
        ("GS://bucket/x%20y?z#1", "gs", "bucket", "x%20y?z#1"),
        ("s3://my-bucket/model.joblib", "s3", "my-bucket", "model.joblib"),
        ("s3://bucket/..a/b..", "s3", "bucket", "..a/b.."),
        ("az://container/folder", "az", "container", "folder"),
        ("https://example.com/m.bin", "https", "example.com", "m.bin"),
        ("http://127.0.0.1:8000/a/m%20x.bin?sig=a%2Fb", "http", "127.0.0.1:8000", "a/m x.bin"),
        ("http://[::1]:8000/m", "http", "::1:8000", "m"),
    ],
)
def test_every_form_of_a_uri_is_read(text, scheme, bucket, path):
    assert parse_uri(text) == ArtifactUri(scheme, bucket, path, text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "is empty", "Leave the field out"),
        ("models/v1", "neither an absolute path nor a URI", "absolute path"),
        ("./v1", "neither an absolute path nor a URI", "absolute path"),
        ("~/v1", "neither an absolute path nor a URI", "absolute path"),
        ("../../etc", "neither an absolute path nor a URI", "absolute path"),
        ("gcs://bucket/x", "unknown scheme `gcs`", "Did you mean `gs://bucket/x`?"),
        ("s3a://bucket/x", "unknown scheme `s3a`", "Did you mean `s3://bucket/x`?"),
        ("abfss://c@a.dfs.core.windows.net/x", "unknown scheme `abfss`", "Did you mean `az://"),
        ("htps://host/x", "unknown scheme `htps`", "Did you mean `https://host/x`?"),
        ("hdfs://host/x", "unknown scheme `hdfs`", ""),
        ("ftp://host/x", "unknown scheme `ftp`", ""),
        ("javascript:alert(1)", "unknown scheme", "Use an absolute path, or one of az://"),
        ("C:\\models", "unknown scheme `C`", ""),
        ("gs:/bucket/x", "lacks `//`", "Did you mean `gs://bucket/x`?"),
        ("s3:bucket/x", "lacks `//`", "Did you mean `s3://bucket/x`?"),
        ("file:/models", "lacks `//`", "Did you mean `file:///models`?"),
        ("gs://", "names no bucket", "gs://BUCKET/FOLDER"),
        ("gs:///x", "names no bucket", "gs://BUCKET/FOLDER"),
        ("gs://B/x", "has the bucket `B`", ""),
        ("gs://my bucket/x", "has the bucket `my bucket`", ""),
        ("s3://user:secret@bucket/x", "has the bucket", ""),
        ("s3://../x", "has the bucket `..`", ""),
        ("s3://bucket/../x", "has the path segment `..`", "without"),
        ("s3://bucket/a/./x", "has the path segment `.`", "without"),
        ("s3://bucket//x", "empty path segment", "without"),
        ("s3://bucket/a//", "empty path segment", "without"),
        ("gs://bucket/a\\b", "backslash", "`/`"),
        ("file:///../../etc", "has `..` in its path", "without `..`"),
        ("file:///a/%2e%2e/etc", "has `..` in its path", "without `..`"),
        ("/models/../etc", "has `..` in its path", "without `..`"),
        ("file:///a%00b", "control characters", ""),
        ("file:///a%0ab", "control characters", ""),
        ("file://otherhost/path", "names the host `otherhost`", "Did you mean `file:///otherhost/path`?"),
        ("file://models", "names the host `models`", "Did you mean `file:///models`?"),
        ("file://", "names no path", "file:///"),
        ("gs://bucket/a\nb", "control character", "Remove"),
        ("gs://bucket/a\x00", "control character", "Remove"),
        ("/a\x1b[31m", "control character", "Remove"),
        ("gs://bucket/a\u2028b", "control character", "Remove"),
        ("/a\udcffb", "control character", "Remove"),
        (" gs://bucket/x", "begins or ends with a space", "Did you mean `gs://bucket/x`?"),
        ("/" + "x" * 5000, "5,001 characters", ""),
        ("http://", "names no host", "http://HOST/FILE"),
        ("http:///x", "names no host", "http://HOST/FILE"),
        ("http://host", "names no file", "Name a file"),
        ("http://host/folder/", "names no file", "Name a file"),
        ("http://host/a/../b", "has the path segment `..`", "without"),
        ("http://host/a/%2e%2e", "has the path segment `..`", "without"),
        ("http://host/a%2f..%2fb", "has the path segment `..`", "without"),
        ("http://host/a%00", "control characters", ""),
        ("http://host/a#b", "has the fragment `#b`", "%23"),
        ("http://host:99999/a", "is no URL", ""),
        ("http://[::1/a", "is no URL", ""),
        ("https://user:secret@host/a", "carries a user name or password", ""),
    ],
)
def test_a_wrong_uri_is_refused_with_what_was_meant(text, message, hint):
    with pytest.raises(InvalidArgument) as caught:
        parse_uri(text)

    assert message in caught.value.message
    assert hint in caught.value.hint
    assert [violation.field for violation in caught.value.violations] == ["deploymentUri"]
    assert "secret" not in caught.value.message or text.startswith("s3")


def test_the_signature_of_a_url_is_not_shown():
    assert str(parse_uri("https://host/m.bin?sig=secret")) == "https://host/m.bin"
    assert str(parse_uri("gs://bucket/what?")) == "gs://bucket/what?"


@given(st.one_of(st.text(), st.builds("{}{}".format, st.sampled_from(["gs://", "file://", "http://", "/"]), st.text())))
def test_any_text_is_a_clean_uri_or_refused(text):
    try:
        uri = parse_uri(text)
    except InvalidArgument:
        return
    assert ".." not in uri.path.split("/")
    assert not any(character in uri.path for character in "\0\n\r")
    assert uri.path.startswith("/") == (uri.scheme == "file")
