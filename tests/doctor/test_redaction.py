import dataclasses
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from modelport.core.facts import ImageFacts, ListeningSocket, ProcessFacts, ReplicaFacts
from modelport.core.replicas import EnvVar, LogLine
from modelport.doctor.evidence import Evidence, Exchange, Phase, Prediction, Purpose, SpecFacts
from modelport.doctor.redaction import MASK, is_secret_name, masked_text, redacted

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"


def evidence(**facts: Any) -> Evidence:
    return Evidence("projects/p/models/m/versions/v", Phase.START, "docker", NOW, 1.0, **facts)


def lines(*texts: str) -> tuple[LogLine, ...]:
    return tuple(LogLine(NOW, "stderr", text) for text in texts)


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "hf-token",
        "GITHUBTOKEN",
        "DB_PASSWORD",
        "PASSWD",
        "DB_PWD",
        "AWS_SECRET_ACCESS_KEY",
        "APIKEY",
        "SENTRY_DSN",
        "BASIC_AUTH",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GCP_CREDENTIALS",
        "SESSION_COOKIE",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "AUTHOR", "MODEL_PATH", "PWD", "KEYS"])
def test_other_names_are_not_secret(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Authorization: Bearer abcdefghijklmnopqrst", f"Authorization: Bearer {MASK}"),
        ("bearer abc123", f"bearer {MASK}"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {MASK}"),
        ("key AKIAIOSFODNN7EXAMPLE refused", f"key {MASK} refused"),
        ("using ghp_abcdefghijklmnopqrstuvwxyz0123456789", f"using {MASK}"),
        ("hf_abcdefghijklmnopqrstuvwxyz", MASK),
        ("openai sk-proj-abcdef0123456789abcdef", f"openai {MASK}"),
        (f"jwt {JWT}.", f"jwt {MASK}."),
        ("postgres://me:hunter2@db:5432/x", f"postgres://{MASK}@db:5432/x"),
        ("https://u:p@ss@h/x", f"https://{MASK}@h/x"),
        ("GET /a?X-Amz-Signature=abcd&x=1", f"GET /a?X-Amz-Signature={MASK}&x=1"),
        ("https://h/a?sv=1&sig=aBc%2B&x", f"https://h/a?sv=1&sig={MASK}&x"),
        ("https://h/?token=abc", f"https://h/?token={MASK}"),
        ("connect(password=hunter2, host=db)", f"connect(password={MASK}, host=db)"),
        ('{"api_key": "abcdef", "x": 1}', f'{{"api_key": "{MASK}", "x": 1}}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----" + MASK
         + "-----END RSA PRIVATE KEY-----"),
        ('{"k": "-----BEGIN PRIVATE KEY-----\\nabc", "x": 1}', f'{{"k": "-----BEGIN PRIVATE KEY-----{MASK}", "x": 1}}'),
    ],
)  # fmt: skip
def test_what_has_the_shape_of_a_secret_is_masked(text: str, wanted: str) -> None:
    assert masked_text(text) == wanted
    assert masked_text(wanted) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'sk-learn'",
        "KeyError: 'SECRET_KEY'",
        "SyntaxError: Unexpected token } in JSON at position 3",
        'WWW-Authenticate: Bearer realm="models"',
        "the Bearer authentication scheme",
        "http://10.88.0.7:8080/health → connection refused",
        "mail me@example.com about http://h/a@b",
        "pip install torch==2.1 --no-cache-dir",
        "gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>",
        '{"predictions": [0.123456, "setosa"]}',
        "max_tokens=128 eos_token_id=2",
        "DefaultCredentialsError: Your default credentials were not found",
    ],
)
def test_what_rules_read_is_left_alone(text: str) -> None:
    assert masked_text(text) == text


def test_values_of_secret_variables_are_masked_wherever_they_occur() -> None:
    secret = 'p"4/ss w=rd'
    body = '{"seen": "p\\"4/ss w=rd"}'
    exchange = Exchange(NOW, "http://h/p%224%2Fss%20w%3Drd", 200, "", 0.1, body=body)
    clean = redacted(
        evidence(
            spec=SpecFacts(env=(EnvVar("DB_PASSWORD", secret), EnvVar("MODE", "fast"))),
            error=f"cannot log in with {secret}",
            log=lines(f"password is {secret}!"),
            predictions=(Prediction(Purpose.SAMPLE, 1, exchange),),
            image=ImageFacts("i", env=(EnvVar("LICENSE_KEY", "abcdef-123456"), EnvVar("PATH", "/bin"))),
            facts=ReplicaFacts(
                NOW,
                command=("serve", "--license=abcdef-123456"),
                processes=(ProcessFacts(1, ("login", "--db-password", "swordfish", "--port", "8080")),),
            ),
        )
    )

    assert clean.spec.env == (EnvVar("DB_PASSWORD", MASK), EnvVar("MODE", "fast"))
    assert clean.error == f"cannot log in with {MASK}"
    assert clean.log[0].text == f"password is {MASK}!"
    assert clean.predictions[0].exchange.url == f"http://h/{MASK}"
    assert clean.predictions[0].exchange.body == f'{{"seen": "{MASK}"}}'
    assert clean.image
    assert clean.image.env == (EnvVar("LICENSE_KEY", MASK), EnvVar("PATH", "/bin"))
    assert clean.facts
    assert clean.facts.command == ("serve", f"--license={MASK}")
    assert clean.facts.processes == (ProcessFacts(1, ("login", "--db-password", MASK, "--port", "8080")),)


def test_secrets_that_are_told_are_masked() -> None:
    clean = redacted(evidence(error="denied for correct-horse"), ["correct-horse"])

    assert clean.error == f"denied for {MASK}"


def test_the_password_in_a_url_of_the_environment_is_a_secret() -> None:
    env = (EnvVar("DATABASE", "postgres://me:swordfish@db/x"),)

    clean = redacted(evidence(spec=SpecFacts(env=env), log=lines("auth failed: swordfish")))

    assert clean.spec.env[0].value == f"postgres://{MASK}@db/x"
    assert clean.log[0].text == f"auth failed: {MASK}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_HOST", "127.0.0.1"),
        ("AUTH_HOST", "::1"),
        ("CONNECTION", "localhost:5432"),
        ("USE_AUTH", "true"),
        ("AUTH_PORT", "8080"),
        ("API_KEY", "$(OTHER)"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/secrets/key.json"),
        ("API_KEY", ""),
    ],
)
def test_addresses_switches_and_paths_hide_no_facts(name: str, value: str) -> None:
    given = evidence(
        spec=SpecFacts(env=(EnvVar(name, value),)),
        log=lines(f"listening on {value}"),
        facts=ReplicaFacts(NOW, sockets=(ListeningSocket("127.0.0.1", 8080), ListeningSocket("::1", 8080))),
    )

    assert redacted(given) == given


def test_a_short_or_numeric_secret_is_masked_in_its_variable_only() -> None:
    env = (EnvVar("API_KEY", "admin"), EnvVar("PIN_PASSWORD", "123456"))

    clean = redacted(evidence(spec=SpecFacts(env=env), log=lines("admin page", "0.123456")))

    assert [one.value for one in clean.spec.env] == [MASK, MASK]
    assert [line.text for line in clean.log] == ["admin page", "0.123456"]


def test_headers_that_carry_secrets_are_masked() -> None:
    headers = (("set-cookie", "id=1"), ("x-api-key", "abc"), ("www-authenticate", "Basic realm=x"), ("server", "nginx"))
    clean = redacted(evidence(health=(Exchange(NOW, "http://h/", 401, "", 0.1, headers=headers),)))

    assert clean.health[0].headers == (
        ("set-cookie", MASK),
        ("x-api-key", MASK),
        ("www-authenticate", "Basic realm=x"),
        ("server", "nginx"),
    )


def test_a_private_key_over_many_lines_of_log_is_masked() -> None:
    key = [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEF",
        "AASCBKcwggSj+/==",
        "-----END PRIVATE KEY-----",
    ]

    def texts(given: list[str]) -> list[str]:
        return [line.text for line in redacted(evidence(log=lines(*given))).log]

    assert texts(["start", *key, "end"])[2:4] == [MASK, MASK]
    assert texts(["start", *key, "end"])[::5] == ["start", "end"]
    assert texts([*key[:2], "then it fell"])[1:] == [MASK, "then it fell"]
    assert texts([*key[2:], "end"])[::2] == [MASK, "end"]


def test_logs_are_cut_and_say_so() -> None:
    clean = redacted(evidence(log=lines(*(f"{number} " + "x" * 2000 for number in range(450))), log_dropped=7))

    assert len(clean.log) == 400
    assert clean.log[0].text.startswith("50 xxx")
    assert {len(line.text) for line in clean.log} == {1000}
    assert clean.log[0].text.endswith("x…")
    assert clean.log_dropped == 57


def test_a_secret_across_the_cut_is_masked_whole() -> None:
    clean = redacted(evidence(log=lines("x" * 990 + " swordfish-and-chips")), ["swordfish-and-chips"])

    assert "sword" not in clean.log[0].text


def test_bytes_that_were_no_text_become_text() -> None:
    assert redacted(evidence(error="caf\udce9")).error == "caf?"


def test_nothing_else_is_changed() -> None:
    given = evidence(log=lines("a", "b"), spec=SpecFacts(image="i", args=("--port", "1")), error="x")

    assert redacted(given) == given
    assert redacted(dataclasses.replace(given, passed=True)).passed


def test_long_texts_take_no_longer_than_they_are_long() -> None:
    start = time.monotonic()
    for text in (
        "token" * 40_000,
        "://" * 60_000,
        "eyJa-" * 10_000,
        "Bearer " * 20_000,
        "-----BEGIN PRIVATE KEY" * 8000,
    ):
        masked_text(text)

    assert time.monotonic() - start < 30
