"""Whole outputs of whole commands: what people and programs read, with the exit codes that shells see."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelport.core.errors import InvalidArgument, ModelNotFound, VersionCannotBecomeReady, Violation
from modelport.sdk.statuses import status_document
from tests.cli.conftest import Ran
from tests.sdk.standin import Answer, standing_in

Cli = Callable[..., Ran]

PROJECT = "/v1/projects/demo"
NAME = "projects/demo/models/churn/versions/v1"
OPERATION = {
    "name": "projects/demo/operations/create_churn_v1-1",
    "metadata": {
        "operationType": "CREATE_VERSION",
        "modelName": "projects/demo/models/churn",
        "version": {"name": NAME},
        "endTime": "2026-11-21T10:00:02.100000Z",
    },
}
VERSION = {"name": NAME, "createTime": "2026-11-21T10:00:00Z", "state": "READY"}
STATUS = {
    "version": "0.1.0",
    "listen": "127.0.0.1:8470",
    "driver": {"name": "docker", "state": "HEALTHY", "version": "28.2", "message": "", "remedy": ""},
    "gateway": {"running": True, "version": "2.8", "message": ""},
    "versions": [],
}


def seen(*steps: tuple[str, str, str, str]) -> Answer:
    conditions = [
        {"type": step, "status": status, "reason": "", "message": message, "since": f"2026-11-21T10:00:{second}Z"}
        for step, status, message, second in steps
    ]
    return Answer(body={"version": VERSION, "conditions": conditions, "replicas": [{"attempt": 1}]})


STARTED = (
    ("ImagePinned", "True", "churn@sha256:" + "ab" * 32, "00.1"),
    ("Started", "True", "container started", "00.2"),
)
READY = (
    *STARTED,
    ("Listening", "True", "0.0.0.0:8080", "01.9"),
    ("Healthy", "True", "GET /health → 200", "02.0"),
    ("Routed", "True", "1 of 1", "02.1"),
)


def deploying(*sights: Answer, **end: Any) -> dict[str, list[Answer]]:
    under_way = [Answer(body=OPERATION)] * (len(sights) - 1)
    return {
        "GET /modelport/v1/status": [Answer(body=STATUS)],
        f"POST {PROJECT}/models": [Answer(409, {"error": {"code": 409, "status": "ALREADY_EXISTS", "message": "is"}})],
        f"POST {PROJECT}/models/churn/versions": [Answer(body=OPERATION)],
        f"GET {PROJECT}/operations/create_churn_v1-1": [*under_way, Answer(body={**OPERATION, "done": True, **end})],
        f"GET /modelport/v1/{NAME}:inspect": list(sights),
        f"GET /v1/{NAME}": [Answer(body={**VERSION, "isDefault": True})],
        f"POST /v1/{NAME}:setDefault": [Answer(body={**VERSION, "isDefault": True})],
    }


PROGRESS = """\
  image     pinned churn@sha256:abababababab…                          0.1 s
  start     container started                                          0.2 s
  listen    0.0.0.0:8080                                               1.9 s
  health    GET /health → 200                                          2.0 s
  READY     projects/demo/models/churn/versions/v1                     2.1 s   (now the default)
"""


def test_deploy_of_an_image_shows_the_way_to_ready_and_the_next_step(cli: Cli) -> None:
    with standing_in(deploying(seen(*STARTED), seen(*READY))) as platform:
        ran = cli("deploy", "registry/churn:1", "--version", "v1", "--port", "9000", "--endpoint", platform.endpoint)

        assert ran.out == PROGRESS + (
            f"\ncurl -X POST {platform.endpoint}/v1/projects/demo/models/churn:predict"
            " -H 'Content-Type: application/json' -d '{\"instances\": [YOUR INSTANCE]}'\n"
        )
        assert (ran.code, ran.err) == (0, "")
        sent = next(one for one in platform.asked if one.path.endswith("/versions"))
        assert json.loads(sent.body) == {
            "name": "v1",
            "container": {"image": "registry/churn:1", "ports": [{"containerPort": 9000}]},
            "machineType": "n1-standard-2",
        }
        assert f"POST /v1/{NAME}:setDefault" in platform.calls()


def test_deploy_for_programs_writes_one_document(cli: Cli) -> None:
    with standing_in(deploying(seen(*READY))) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--output", "json", "--endpoint", platform.endpoint)

    assert json.loads(ran.out) == {**VERSION, "isDefault": True}
    assert ran.err == PROGRESS
    assert ran.code == 0


def test_deploy_with_no_default_leaves_it(cli: Cli) -> None:
    with standing_in(deploying(seen(*READY))) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--no-default", "--endpoint", platform.endpoint)

        assert f"POST /v1/{NAME}:setDefault" not in platform.calls()
    assert "(now the default)" not in ran.out
    assert f"/v1/{NAME}:predict" in ran.out


def test_deploy_without_waiting_says_how_to_go_on(cli: Cli) -> None:
    with standing_in(deploying(seen())) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--no-wait", "--endpoint", platform.endpoint)

    assert ran.out == (
        "Started projects/demo/operations/create_churn_v1-1\n"
        "Watch it with `modelport operations wait create_churn_v1-1`\n"
    )


def failing() -> dict[str, list[Answer]]:
    error = VersionCannotBecomeReady(
        f"Version `{NAME}` cannot become ready (listen): nothing listens on port 8080",
        hint="Listen on 0.0.0.0 and on the port in AIP_HTTP_PORT",
        phase="listen",
    )
    refused = ("Listening", "False", "connection refused", "00.3")
    log = b'{"time": null, "stream": "stdout", "text": " * Running on http://127.0.0.1:5000", "replica": "r-0"}\n'
    return {
        **deploying(seen(*STARTED, refused), error=status_document(error)["error"]),
        f"GET /modelport/v1/{NAME}:logs": [Answer(body=log)],
    }


def test_a_version_that_fails_is_shown_with_its_log_and_a_hint(cli: Cli) -> None:
    with standing_in(failing()) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--endpoint", platform.endpoint)

    assert ran.code == 1
    assert ran.out == (
        "  image     pinned churn@sha256:abababababab…                          0.1 s\n"
        "  start     container started                                          0.2 s\n"
        "  listen    ! connection refused                                       2.1 s\n"
    )
    assert ran.err == (
        "  last lines of the log:\n"
        "     * Running on http://127.0.0.1:5000\n"
        "\n"
        "error: Version `projects/demo/models/churn/versions/v1` cannot become ready (listen): "
        "nothing listens on port 8080\n"
        "\n"
        "hint: Listen on 0.0.0.0 and on the port in AIP_HTTP_PORT\n"
    )


def test_an_error_for_programs_is_the_last_line_of_stderr(cli: Cli) -> None:
    with standing_in(failing()) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--output", "json", "--endpoint", platform.endpoint)

    document = json.loads(ran.err.splitlines()[-1])
    assert (ran.code, ran.out) == (1, "")
    assert document["error"]["details"][0]["reason"] == "VERSION_CANNOT_BECOME_READY"


def test_ctrl_c_stops_watching_and_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelport.cli.watch.operations.wait", interrupted)
    with standing_in(deploying(seen())) as platform:
        ran = cli("deploy", "r/churn", "--version", "v1", "--endpoint", platform.endpoint)

        assert not any("cancel" in one for one in platform.calls())
    assert ran.code == 130
    assert ran.err == (
        "\n"
        "Stopped watching; the operation goes on\n"
        "\n"
        "hint: Watch again with `modelport operations wait create_churn_v1-1`, "
        "or give it up with `modelport operations cancel create_churn_v1-1`\n"
    )


def test_the_next_free_version_name_is_taken(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport.cli.deploy.sources.next_version_id", lambda taken, today: f"v{len(taken) + 1}")
    taken = Answer(409, {"error": {"code": 409, "status": "ALREADY_EXISTS", "message": "is"}})
    script = deploying(seen(*READY))
    script[f"GET {PROJECT}/models/churn/versions"] = [Answer(body={"versions": [{"name": f"{NAME}0"}]})]
    script[f"POST {PROJECT}/models/churn/versions"] = [taken, Answer(body=OPERATION)]
    with standing_in(script) as platform:
        cli("deploy", "r/churn", "--endpoint", platform.endpoint)

        created = [one for one in platform.asked if one.method == "POST" and one.path.endswith("/versions")]
    assert [json.loads(one.body)["name"] for one in created] == ["v2", "v3"]


def test_status_fits_one_screen_and_names_causes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"name": NAME, "state": "READY", "since": "2020-01-01T00:00:00Z", "ready": 2, "wanted": 2, "isDefault": True},
        {
            "name": NAME.replace("v1", "v2"),
            "state": "FAILED",
            "since": None,
            "ready": 0,
            "wanted": 1,
            "cause": f"Version `{NAME.replace('v1', 'v2')}` exited with code 3\nmore",
        },
    ]
    monkeypatch.setattr("modelport.cli.status.ago", lambda since, now: "2 h")
    driver = {**STATUS["driver"], "state": "UNHEALTHY", "message": "no answer", "remedy": "Start Docker"}  # type: ignore[dict-item]
    with standing_in(
        {"GET /modelport/v1/status": [Answer(body={**STATUS, "driver": driver, "versions": rows})]}
    ) as platform:
        ran = cli("status", "--endpoint", platform.endpoint)

    assert ran.out == (
        f"modelport 0.1.0   {platform.endpoint}\n"
        "driver    UNHEALTHY  docker 28.2   no answer\n"
        "                     Start Docker\n"
        "gateway   HEALTHY    2.8\n"
        "\n"
        "VERSION          STATE    SINCE   READY   DEFAULT   CAUSE\n"
        "demo: churn/v1   READY    2 h     2/2     yes\n"
        "demo: churn/v2   FAILED           0/1               exited with code 3\n"
    )


def test_status_of_an_empty_platform_shows_the_next_step(cli: Cli) -> None:
    with standing_in({"GET /modelport/v1/status": [Answer(body=STATUS)]}) as platform:
        assert cli("status", "--endpoint", platform.endpoint).out.endswith(
            "\nNo versions yet\nnext: modelport deploy ./your-folder --model yours\n"
        )


def test_global_options_may_stand_before_the_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in({"GET /v1/projects/other/models": [Answer(body={})]}) as platform:
        before = cli("--endpoint", platform.endpoint, "--project", "other", "--output", "json", "models", "list")
        monkeypatch.setenv("MODELPORT_ENDPOINT", platform.endpoint)
        monkeypatch.setenv("MODELPORT_PROJECT", "other")
        from_environment = cli("models", "list")

    assert (before.code, before.out) == (0, "[]\n")
    assert from_environment.out == "No models in project `other`\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "error: No such command 'nonsense'\n\nhint: See `modelport --help`\n"),
        (
            ("models", "list", "--wrong"),
            "error: No such option: --wrong\n\nhint: See `modelport models list --help`\n",
        ),
        (
            ("models", "describe", "a/b"),
            "error: `a/b` names a version; a model is wanted\n\nhint: Write a\n",
        ),
        (
            ("versions", "delete", "churn/v1"),
            "error: This cannot be undone, and there is no terminal to ask on\n\nhint: Add --yes\n",
        ),
        (
            ("predict", "churn"),
            "error: Nothing to predict\n\n"
            "hint: Give one of --json-instances FILE, --json-request FILE, or - for a request on stdin\n",
        ),
        (
            ("serve", "--listen", "nowhere"),
            "error: --listen (MODELPORT_LISTEN): `nowhere` is not HOST:PORT, such as 127.0.0.1:8470\n\n"
            "hint: See `modelport serve --help`\n",
        ),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert cli(*arguments) == Ran(2, "", message)


def test_a_platform_out_of_reach_ends_with_3(cli: Cli) -> None:
    ran = cli("status", "--endpoint", "http://127.0.0.1:9")

    assert ran == Ran(
        3,
        "",
        "error: Nothing answers at `http://127.0.0.1:9`: connection refused\n\n"
        "hint: Start it with `modelport serve`, or name the right address with --endpoint or MODELPORT_ENDPOINT\n",
    )


def test_a_refusal_ends_with_1_and_its_hint(cli: Cli) -> None:
    refusal = Answer(404, status_document(ModelNotFound("projects/demo/models/nope")))
    with standing_in({f"GET {PROJECT}/models/nope": [refusal]}) as platform:
        ran = cli("models", "describe", "nope", "--endpoint", platform.endpoint)

    assert ran == Ran(
        1,
        "",
        "error: Model `projects/demo/models/nope` does not exist\n\nhint: List models with `modelport models list`\n",
    )


@pytest.mark.parametrize(
    ("violations", "text"),
    [
        ((("version.routs", "Unknown"),), "error: version.routs: Unknown\n"),
        (
            (("version.routs", "Unknown"), ("version.machineType", "Missing")),
            "error: 2 fields are wrong; nothing was changed\n"
            "  version.routs: Unknown\n  version.machineType: Missing\n",
        ),
    ],
)
def test_every_violation_is_shown(cli: Cli, tmp_path: Path, violations: tuple[tuple[str, str], ...], text: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("routs: {}")
    error = InvalidArgument("Field: …", violations=tuple(Violation(*one) for one in violations))
    with standing_in({f"POST {PROJECT}/models/churn/versions": [Answer(400, status_document(error))]}) as platform:
        ran = cli("versions", "create", "v1", "--model", "churn", "-f", str(spec), "--endpoint", platform.endpoint)

    assert ran == Ran(1, "", text)


def test_predict_sends_a_request_byte_for_byte(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{ "instances": [1.0] }'))
    with standing_in({f"POST {PROJECT}/models/churn:predict": [Answer(body={"predictions": ["ü"]})]}) as platform:
        ran = cli("predict", "churn", "-", "--endpoint", platform.endpoint)

        assert platform.asked[0].body == b'{ "instances": [1.0] }'
    assert ran == Ran(0, '{"predictions": ["ü"]}\n', "")


def test_logs_read_as_time_replica_and_text(cli: Cli) -> None:
    lines = [
        {"time": "2026-11-21T10:00:01.234567Z", "stream": "stdout", "text": "hello [bold]", "replica": "mp-x-0"},
        {"time": None, "stream": "stderr", "text": "bye", "replica": "mp-x-1", "attempt": 2},
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    script = {
        f"GET {PROJECT}/models/churn": [Answer(body={"defaultVersion": {"name": NAME}})],
        f"GET /modelport/v1/{NAME}:logs": [Answer(body=body)],
    }
    with standing_in(script) as platform:
        text = cli("logs", "churn", "--tail", "5", "--endpoint", platform.endpoint)
        document = cli("logs", "churn/v1", "--output", "json", "--endpoint", platform.endpoint)

        assert platform.asked[1].query == "tail=5&follow=false"
    assert text.out == "10:00:01.234  0  hello [bold]\n              1#2  bye\n"
    assert [json.loads(line) for line in document.out.splitlines()] == lines


def test_lists_are_aligned_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelport.cli.versions.ago", lambda since, now: "5 min")
    versions = [
        {**VERSION, "isDefault": True, "container": {"image": "registry/churn:1"}},
        {**VERSION, "name": NAME + "0", "state": "FAILED"},
    ]
    with standing_in({f"GET {PROJECT}/models/churn/versions": [Answer(body={"versions": versions})]}) as platform:
        ran = cli("versions", "list", "--model", "churn", "--endpoint", platform.endpoint)

    assert ran.out == (
        "VERSION   STATE    DEFAULT   CREATED     IMAGE\n"
        "v1        READY    yes       5 min ago   registry/churn:1\n"
        "v10       FAILED             5 min ago\n"
    )


def test_no_colour_and_no_wrapping_away_from_a_terminal(cli: Cli) -> None:
    long = "x" * 300
    models = [
        {"name": "projects/demo/models/m", "description": long, "defaultVersion": {"name": NAME, "state": "READY"}}
    ]
    with standing_in({f"GET {PROJECT}/models": [Answer(body={"models": models})]}) as platform:
        ran = cli("models", "list", "--endpoint", platform.endpoint)

    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[1] == f"m       v1                READY   {long}"
