import pytest

from modelport.cli.findings import explained, others, printable, wrapped
from modelport.core.errors import finding_page
from modelport.doctor.findings import Diagnosis, Finding, Remedy, Role, Severity

LOOPBACK = Finding(
    "LISTENS_ON_LOOPBACK",
    Severity.ERROR,
    "The server accepts connections from inside its container only.",
    "app.run() without host binds 127.0.0.1, which belongs to the container alone, and the port is 5000, not 8080.",
    Remedy('Listen on all addresses: `app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))`'),
    (
        "socket table of the container: LISTEN 127.0.0.1:5000 (python, pid 1)",
        'log: " * Running on http://127.0.0.1:5000"',
    ),
    Role.CAUSE,
)


def note(severity: Severity, role: Role = Role.NOTE, remedy: str = "use gunicorn\nor uvicorn") -> Finding:
    return Finding("DEVELOPMENT_SERVER", severity, "Flask's own server runs", "", Remedy(remedy), (), role)


def test_a_finding_is_explained_as_a_doctor_would() -> None:
    assert (
        explained(LOOPBACK, 72)
        == """\
  What     The server accepts connections from inside its container
           only.
  Why      app.run() without host binds 127.0.0.1, which belongs to the
           container alone, and the port is 5000, not 8080.
  Proof    socket table of the container: LISTEN 127.0.0.1:5000 (python, pid 1)
           log: " * Running on http://127.0.0.1:5000"
  Fix      Listen on all addresses:
           `app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))`"""
    )


def test_what_is_not_known_is_left_out() -> None:
    text = explained(Finding("X", Severity.ERROR, "It fails.", "", Remedy(""), ()), 80)

    assert text == "  What     It fails."


def test_code_on_lines_of_its_own_stays_as_it_is() -> None:
    text = (
        "Add to the Dockerfile, before the last line of it, this one:\n\n    RUN  pip install   --no-cache-dir x y z\n"
    )

    assert wrapped(text, 50) == [
        "Add to the Dockerfile, before the last",
        "line of it, this one:",
        "",
        "    RUN  pip install   --no-cache-dir x y z",
    ]


@pytest.mark.parametrize(
    "line",
    [
        'app.run(host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))   (or set container.ports to 5000)',
        "CMD exec gunicorn --threads 8 --bind 0.0.0.0:$AIP_HTTP_PORT main:app",
        "uvicorn main:app --host 0.0.0.0 --port $AIP_HTTP_PORT",
        "client_max_body_size 16m;   (nginx.conf)",
    ],
)
def test_a_remedy_that_is_code_is_never_broken(line: str) -> None:
    finding = Finding("X", Severity.ERROR, "It fails.", "", Remedy(line), ())

    assert explained(finding, 40).splitlines()[1] == f"  Fix      {line}"


@pytest.mark.parametrize(
    "text",
    ["Save the model again (with the same library), then upload it", "Set `a b` to c, and d to what e and f and g are"],
)
def test_a_remedy_in_prose_is_broken(text: str) -> None:
    finding = Finding("X", Severity.ERROR, "It fails.", "", Remedy(text), ())

    assert max(len(line) for line in explained(finding, 40).splitlines()) <= 40


def test_lines_are_never_wider_than_people_read() -> None:
    assert max(len(line) for line in wrapped("word " * 100, 500)) <= 89
    assert max(len(line) for line in wrapped("word " * 100, 3)) <= 29


def test_a_backtick_alone_breaks_nothing() -> None:
    assert wrapped("a ` b", 80) == ["a ` b"]


def test_other_findings_take_a_line_each() -> None:
    diagnosis = Diagnosis((LOOPBACK, note(Severity.ERROR, Role.CONSEQUENCE), note(Severity.WARNING)))

    assert others(diagnosis) == [
        "  consequence DEVELOPMENT_SERVER: Flask's own server runs",
        "  warning DEVELOPMENT_SERVER: Flask's own server runs; use gunicorn",
    ]


def test_advice_without_a_remedy_ends_with_what_is_seen() -> None:
    assert others(Diagnosis((note(Severity.ADVICE, remedy=""),))) == [
        "  advice DEVELOPMENT_SERVER: Flask's own server runs"
    ]


def test_what_a_container_prints_does_not_steer_the_terminal() -> None:
    assert printable("\x1b]0;owned\x07 a\tb\n\u202ec\x00é✓") == "\\x1b]0;owned\\x07 a\tb\n\\u202ec\\x00é✓"
    proof = explained(Finding("X", Severity.ERROR, "It.", "", Remedy(""), ("log: a\x1b[31mred\x1b[0m\x1b7\nb",)), 80)
    assert proof.splitlines()[1:] == ["  Proof    log: ared\\x1b7", "             b"]


def test_every_code_has_its_page() -> None:
    assert finding_page("NO_LOGS") == "docs/reference/findings/NO_LOGS.md"
