"""`modelport check` with a stand-in for the one who runs containers: what it is asked for, and what people read."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from modelport.check.report import Outcome, Report, Stage, StageName
from modelport.core.errors import EngineUnreachable
from modelport.core.facts import ListeningSocket, ReplicaFacts
from modelport.core.replicas import LogLine
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Diagnosis, Finding, Remedy, Severity
from tests.cli.conftest import Ran
from tests.cli.test_findings import LOOPBACK
from tests.engines.fixtures import BASE_IMAGE

Cli = Callable[..., Ran]
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ADVICE = Finding("DEVELOPMENT_SERVER", Severity.ADVICE, "Flask's own server runs", "", Remedy("use gunicorn"), ())
PATCH = (("add", "/container/ports", [{"containerPort": 5000}]),)
OTHER_PORT = replace(LOOPBACK, code="LISTENS_ON_OTHER_PORT", remedy=Remedy("Set the port", PATCH))

FINE = (
    Stage(StageName.SPEC, Outcome.PASSED, "", 0.0),
    Stage(StageName.IMAGE, Outcome.PASSED, "linux/amd64", 0.01),
    Stage(StageName.ARTIFACTS, Outcome.SKIPPED, "", 0.0),
    Stage(StageName.START, Outcome.PASSED, "", 0.24),
    Stage(StageName.CONCURRENCY, Outcome.SKIPPED, "no instances", 0.0),
)
STUCK = (*FINE[:-1], Stage(StageName.LISTEN, Outcome.FAILED, "listens on 127.0.0.1:5000", 1.1))


@dataclass
class Conductor:
    """Stands for `modelport.check.run`: keeps what it was asked, and reports what the test says."""

    stages: tuple[Stage, ...] = FINE
    findings: tuple[Finding, ...] = ()
    error: Exception | None = None
    evidence: Evidence = field(default_factory=lambda: Evidence("v", Phase.LISTEN, "docker", NOW, 1.5))
    asked: dict[str, Any] = field(default_factory=dict)

    async def check(self, subject: Any, **asked: Any) -> Report:
        self.asked = {"subject": subject, **asked}
        if self.error:
            raise self.error
        asked["on_status"]("waiting")
        for stage in self.stages:
            asked["on_stage"](stage)
        return Report(subject.target, self.stages, self.evidence, Diagnosis(self.findings))

    @property
    def version(self) -> dict[str, Any]:
        version: dict[str, Any] = self.asked["subject"].version
        return version


@pytest.fixture
def conductor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Conductor:
    module, standin = ModuleType("modelport.check.run"), Conductor()
    module.check = standin.check  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelport.check.run", module)
    monkeypatch.delenv("MODELPORT_DRIVER", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    return standin


@pytest.fixture
def failing(conductor: Conductor) -> Conductor:
    conductor.stages, conductor.findings = STUCK, (LOOPBACK, ADVICE)
    return conductor


def file(path: str, content: object) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


# What people read.


def test_a_container_that_conforms(cli: Cli, conductor: Conductor) -> None:
    conductor.findings = (ADVICE,)

    ran = cli("check", "registry/churn:1")

    assert ran == Ran(
        0,
        """\
  spec                    ✓
  image                   ✓ linux/amd64
  start                   ✓                                                  0.2 s
  health while predicting - no instances
conforms   (1 advice)
  advice DEVELOPMENT_SERVER: Flask's own server runs; use gunicorn
""",
        "",
    )


def test_a_container_that_does_not_conform(cli: Cli, failing: Conductor) -> None:
    ran = cli("check", "registry/churn:1")

    assert ran == Ran(
        1,
        """\
  spec                    ✓
  image                   ✓ linux/amd64
  start                   ✓                                                  0.2 s
  listen                  ✗ listens on 127.0.0.1:5000                        1.1 s
does not conform: LISTENS_ON_LOOPBACK

  What     The server accepts connections from inside its container only.
  Why      app.run() without host binds 127.0.0.1, which belongs to the container alone, and the
           port is 5000, not 8080.
  Proof    socket table of the container: LISTEN 127.0.0.1:5000 (python, pid 1)
           log: " * Running on http://127.0.0.1:5000"
  Fix      Listen on all addresses: `app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))`

  advice DEVELOPMENT_SERVER: Flask's own server runs; use gunicorn

hint: run `modelport check registry/churn:1` after the change; it touches nothing that is live
docs: docs/reference/findings/LISTENS_ON_LOOPBACK.md
""",
        "",
    )


def test_a_failure_that_no_rule_explains_is_told_as_it_is(cli: Cli, failing: Conductor) -> None:
    failing.findings = ()
    failing.evidence = replace(failing.evidence, error="nothing listens", hint="Listen")

    ran = cli("check", "r/churn")

    assert ran.code == 1
    assert ran.out.endswith("does not conform\n\n  nothing listens\n\nhint: Listen\n")


def test_programs_get_one_document_and_progress_on_stderr(cli: Cli, failing: Conductor) -> None:
    ran = cli("check", "r/churn", "--output", "json")

    document = json.loads(ran.out)
    assert [document["conforms"], document["findings"][0]["code"], len(document["stages"])] == [
        False,
        "LISTENS_ON_LOOPBACK",
        5,
    ]
    assert ran.err.splitlines()[0] == "  spec                    ✓"
    assert ran.code == 1
    assert cli("--output", "json", "check", "r/churn").out == ran.out


def test_ci_gets_a_test_suite(cli: Cli, failing: Conductor) -> None:
    failing.evidence = replace(failing.evidence, log=(LogLine(NOW, "stdout", "x"),))
    failing.findings = (replace(LOOPBACK, evidence=("log: \x1b[31m<red>&\ufffe",)), ADVICE)

    ran = cli("check", "r/churn", "--output", "junit")

    suite = ElementTree.fromstring(ran.out)
    assert suite.tag == "testsuite"
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "5",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    assert [case.get("name") for case in suite.iter("testcase")] == ["spec", "image", "artifacts", "start", "listen"]
    failure = suite.find("testcase[@name='listen']/failure")
    assert failure is not None
    assert failure.get("message") == f"LISTENS_ON_LOOPBACK: {LOOPBACK.summary}"
    assert failure.get("type") == "LISTENS_ON_LOOPBACK"
    assert "  Proof    log: <red>&\\ufffe" in str(failure.text)
    assert suite.find("testcase[@name='artifacts']/skipped") is not None
    assert "advice DEVELOPMENT_SERVER" in suite.findtext("system-out", "")
    assert ran.code == 1


def test_a_suite_fails_where_every_stage_passed_and_something_is_wrong(cli: Cli, conductor: Conductor) -> None:
    conductor.findings = (LOOPBACK,)

    ran = cli("check", "r/churn", "--output", "junit")

    suite = ElementTree.fromstring(ran.out)
    assert suite.get("failures") == "1"
    assert suite.find("testcase[@name='diagnosis']/failure") is not None


def test_other_commands_know_no_junit(cli: Cli) -> None:
    assert cli("status", "--output", "junit").code == 2


def test_the_log_is_shown_where_it_is_asked_for(cli: Cli, conductor: Conductor) -> None:
    assert cli("check", "r/churn", "--log").err == "    (the container wrote nothing)\n"
    conductor.evidence = replace(conductor.evidence, log=(LogLine(NOW, "stdout", "hello\x07"),))
    assert cli("check", "r/churn", "--log").err == "    hello\\x07\n"


# What is checked.


def test_an_image_is_checked_with_what_options_say(cli: Cli, conductor: Conductor) -> None:
    Path("rows.json").write_text("[[1], [2]]")

    ran = cli(
        *("check", "r/churn:1", "--port", "9000", "--health-route", "/h", "--env", "A=1", "--command", "run it"),
        *("--instances", "rows.json", "--no-egress", "--timeout", "7", "--driver", "docker", "--model", "churn"),
    )

    assert ran.code == 0
    assert conductor.version == {
        "container": {
            "image": "r/churn:1",
            "command": ["run", "it"],
            "ports": [{"containerPort": 9000}],
            "env": [{"name": "A", "value": "1"}],
        },
        "routes": {"health": "/h"},
        "machineType": "n1-standard-2",
    }
    assert conductor.asked["subject"].instances == [[1], [2]]
    assert conductor.asked["subject"].model == "churn"
    assert conductor.asked["egress"] is False
    assert conductor.asked["driver_name"] == "docker"
    assert conductor.asked["limits"].startup_timeout_s == 7


@pytest.mark.parametrize("name", ["version.yaml", "version.yml", "version.json"])
def test_a_spec_file_is_checked(cli: Cli, conductor: Conductor, name: str) -> None:
    spec = {"container": {"image": "r/churn:2"}, "machineType": "n1-highmem-2", "sample": [[1]]}
    file(name, json.dumps(spec) if name.endswith("json") else spec)

    assert cli("check", name).code == 0
    assert conductor.version == {"container": {"image": "r/churn:2"}, "machineType": "n1-highmem-2"}
    assert conductor.asked["subject"].instances == [[1]]
    assert conductor.asked["subject"].target == name
    assert conductor.asked["driver_name"] == "auto"


def test_a_spec_that_breaks_rules_is_left_to_the_report(cli: Cli, conductor: Conductor) -> None:
    file("v.yaml", {"conatiner": {"image": "x"}})

    assert cli("check", "v.yaml").code == 0
    assert conductor.version == {"conatiner": {"image": "x"}, "machineType": "n1-standard-2"}


def test_a_folder_without_a_dockerfile_is_for_the_process_driver(
    cli: Cli, conductor: Conductor, tmp_path: Path
) -> None:
    file("churn/modelport.yaml", {"container": {"command": ["python", "main.py"]}, "sample": [[1]]})

    assert cli("check", "churn").code == 0
    assert conductor.version["container"] == {"command": ["python", "main.py"], "image": str(tmp_path / "churn")}
    assert conductor.asked["driver_name"] == "process"
    assert conductor.asked["subject"].dockerfile is False


def test_the_spec_of_a_folder_speaks_of_its_folder(cli: Cli, conductor: Conductor, tmp_path: Path) -> None:
    assert cli("check", file("churn/modelport.fixed.yaml", {"routes": {"health": "/h"}})).code == 0
    assert conductor.version["container"] == {"image": str(tmp_path / "churn")}


def test_the_process_driver_does_not_build(cli: Cli, conductor: Conductor) -> None:
    file("churn/Dockerfile", "FROM scratch")

    assert cli("check", "churn", "--driver", "process").code == 0
    assert conductor.asked["driver_name"] == "process"


def test_a_driver_may_be_named_by_the_environment(
    cli: Cli, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPORT_DRIVER", "process")

    cli("check", "r/churn")

    assert conductor.asked["driver_name"] == "process"


def test_an_engine_that_does_not_answer_is_a_report(cli: Cli, conductor: Conductor, tmp_path: Path) -> None:
    file("churn/Dockerfile", "FROM scratch")
    os.environ["DOCKER_HOST"] = f"unix://{tmp_path}/absent.sock"
    try:
        ran = cli("check", "churn", "--output", "json")
    finally:
        del os.environ["DOCKER_HOST"]

    document = json.loads(ran.out)
    assert ran.code == 1
    assert document["conforms"] is False
    assert {stage["name"]: stage["outcome"] for stage in document["stages"]}["image"] == "failed"
    assert conductor.asked == {}


def test_what_is_no_finding_is_an_error(cli: Cli, conductor: Conductor) -> None:
    conductor.error = EngineUnreachable("No container engine was found", hint="Start one")

    assert cli("check", "r/churn") == Ran(1, "", "error: No container engine was found\n\nhint: Start one\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("./absent",), "error: `./absent` is not a folder"),
        (("absent.yaml",), "error: `absent.yaml` does not exist"),
        (("notes.txt",), "error: `notes.txt` is not a spec"),
        (("v.yaml", "--spec", "v.yaml"), "error: `v.yaml` and --spec v.yaml are both specs"),
        (("r/churn", "--instances", "absent"), "error: Cannot read `absent`"),
        (("r/churn", "--deployment-uri", "gs://b", "--artifacts", "."), "error: --deployment-uri and --artifacts"),
        (("r/churn", "--timeout", "0"), "error: Invalid value for '--timeout'"),
        (("r/churn", "--model", "a-b"), "error: A model name"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    cli: Cli, conductor: Conductor, arguments: tuple[str, ...], message: str
) -> None:
    file("notes.txt", "a: b")
    file("v.yaml", {"container": {"image": "x"}})

    ran = cli("check", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)


# What is written.


def test_fix_writes_the_corrected_spec_beside_the_old_one(cli: Cli, failing: Conductor) -> None:
    failing.findings = (OTHER_PORT, ADVICE)
    file("churn/version.yaml", {"container": {"image": "r/c"}, "machine_type": "n1-standard-4", "sample": [[1]]})

    ran = cli("check", "churn/version.yaml", "--fix", "--health-route", "/h")

    assert ran.out.endswith(
        "wrote churn/version.fixed.yaml: check it with `modelport check churn/version.fixed.yaml`\n"
    )
    assert yaml.safe_load(Path("churn/version.fixed.yaml").read_text()) == {
        "container": {"image": "r/c", "ports": [{"container_port": 5000}]},
        "machine_type": "n1-standard-4",
        "sample": [[1]],
        "routes": {"health": "/h"},
    }
    assert cli("check", "churn/version.fixed.yaml", "--fix").code == 1
    assert sorted(path.name for path in Path("churn").iterdir()) == ["version.fixed.yaml", "version.yaml"]


def test_fix_never_writes_over_a_file(cli: Cli, failing: Conductor) -> None:
    failing.findings = (OTHER_PORT,)
    file("v.json", '{"container": {"image": "r/c"}}')

    for name in ("v.fixed.json", "v.fixed.2.json", "v.fixed.3.json"):
        assert f"wrote {name}:" in cli("check", "v.json", "--fix").out
        assert json.loads(Path(name).read_text())["container"]["ports"] == [{"containerPort": 5000}]


def test_fix_of_an_image_writes_here_and_names_the_image(cli: Cli, failing: Conductor) -> None:
    failing.findings = (OTHER_PORT,)

    assert "wrote modelport.fixed.yaml" in cli("check", "r/churn:1", "--fix", "--output", "json").err
    assert yaml.safe_load(Path("modelport.fixed.yaml").read_text())["container"]["image"] == "r/churn:1"


def test_fix_of_a_folder_writes_there_and_names_no_image(cli: Cli, failing: Conductor) -> None:
    failing.findings = (OTHER_PORT,)
    file("churn/main.py", "")

    assert "wrote churn/modelport.fixed.yaml" in cli("check", "churn", "--fix").out
    assert yaml.safe_load(Path("churn/modelport.fixed.yaml").read_text()) == {
        "container": {"ports": [{"containerPort": 5000}]}
    }


def test_fix_says_where_the_spec_is_not_to_blame(cli: Cli, failing: Conductor, tmp_path: Path) -> None:
    assert cli("check", "r/churn", "--fix").out.endswith(
        "nothing to correct in the spec: what is wrong is in the container\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_case_is_judged_anew_and_nothing_is_run(cli: Cli, failing: Conductor) -> None:
    sockets = (ListeningSocket("127.0.0.1", 5000, 1, "python"),)
    failing.evidence = replace(failing.evidence, facts=ReplicaFacts(NOW, sockets=sockets))
    saved = cli("check", "r/churn", "--save", "case.json")
    failing.asked.clear()

    again = cli("check", "case.json")

    assert saved.out.endswith("saved case.json: judge it again with `modelport check case.json`\n")
    assert failing.asked == {}
    assert again.code == 1
    assert again.out.splitlines()[:4] == saved.out.splitlines()[:4]
    cause = diagnose(failing.evidence).cause
    assert again.out.splitlines()[4] == f"does not conform{f': {cause.code}' if cause else ''}"


def test_a_case_takes_no_options_that_would_change_it(cli: Cli, conductor: Conductor) -> None:
    cli("check", "r/churn", "--save", "case.json")

    for option in (("--fix",), ("--port", "1")):
        ran = cli("check", "case.json", *option)
        assert ran.code == 2
        assert ran.err.startswith("error: `case.json` is a case")


def test_a_broken_case_is_an_error(cli: Cli, conductor: Conductor) -> None:
    file("case.json", '{"modelportCase": 99}')

    ran = cli("check", "case.json")

    assert ran.code == 1
    assert ran.err.startswith("error: `case.json` is a case of schema 99")


def test_a_place_that_cannot_be_written_is_a_usage_problem(cli: Cli, conductor: Conductor) -> None:
    ran = cli("check", "r/churn", "--save", "absent/case.json")

    assert ran.code == 2
    assert ran.err == "error: Cannot write `absent/case.json`: no such file or directory\n"
    assert "conforms" in ran.out


# With the real one.

SERVER = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer({"predictions": [0 for _ in body["instances"]]})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

print("listening", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["AIP_HTTP_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file("model/main.py", SERVER)
    file("model/modelport.yaml", {"container": {"command": [sys.executable, "main.py"]}, "sample": [[1], [2]]})
    return tmp_path / "model"


@pytest.mark.slow
def test_a_folder_is_really_checked(cli: Cli, folder: Path) -> None:
    ran = cli("check", "model", "--driver", "process", "--output", "json", "--save", "case.json")

    document = json.loads(ran.out)
    assert document["conforms"] is True, ran.out
    assert {stage["name"]: stage["text"] for stage in document["stages"]}["predict"] == "2 instances → 2 predictions"
    assert ran.code == 0
    assert json.loads(cli("check", "case.json", "--output", "json").out) == document


@pytest.mark.slow
@pytest.mark.engine
def test_a_dockerfile_that_cannot_be_built_is_the_finding(
    cli: Cli, folder: Path, echo_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", echo_engine)
    file(
        "model/Dockerfile",
        f'FROM {BASE_IMAGE}\nARG HF_TOKEN\nRUN echo "with $HF_TOKEN" && echo gone wrong && false\n',
    )

    ran = cli("check", "model", "--build-arg", "HF_TOKEN=correct-horse", "--save", "case.json", "--output", "json")

    assert ran.code == 1
    assert [one["code"] for one in json.loads(ran.out)["findings"]] == ["IMAGE_BUILD_FAILED"]
    assert "the Dockerfile cannot be built" in ran.err
    case = Path("case.json").read_text()
    assert "gone wrong" in case
    assert "with [redacted]" in case
    assert "correct-horse" not in case + ran.out + ran.err
