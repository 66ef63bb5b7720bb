"""Programs that could not be executed: messages are those of runc, tini, shells and env, seen on Docker and Podman."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelport.core.facts import EntryFile, HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import EnvVar
from modelport.doctor.architecture import foreign, of_program
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Phase, SpecFacts
from modelport.doctor.findings import Finding
from tests.doctor.dying import NOW, codes, ended, evidence, healthy

AMD64 = HostFacts(architecture="x86_64")
ARM_PROGRAM = "\x7fELF\x02\x01\x01" + "\x00" * 9 + "\x02\x00\xb7\x00\x01"
AMD_PROGRAM = "\x7fELF\x02\x01\x01" + "\x00" * 9 + "\x03\x00\x3e\x00\x01"
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
PODMAN = "runc: runc create failed: unable to start container process: "


def entry(path: str, head: str = "", *, exists: bool = True, mode: int = 0o755) -> ReplicaFacts:
    return ReplicaFacts(NOW, entry=EntryFile(path, exists, mode, head))


def refused(error: str, **more: Any) -> Evidence:
    return evidence(error=error, error_reason="REPLICA_CANNOT_START", **more)


def cause(of: Evidence) -> Finding:
    found = diagnose(of).cause
    assert found is not None
    return found


CRLF = entry("/crlf.sh", "#!/bin/bash\r\necho hi\r\n")
NO_SHEBANG = entry("/start.sh", "echo hi\npython3 main.py\n")
ZSH = entry("/noint.sh", "#!/bin/zsh\necho hi\n")
PLAIN = entry("/noexec.sh", "#!/bin/sh\necho hi\n", mode=0o644)
ABSENT = entry("/missing", exists=False)

CASES = [
    # Windows line endings: without and with an init, then as shells and env see them
    (ended("exec /crlf.sh: no such file or directory", 1, facts=CRLF), "ENTRYPOINT_LINE_ENDINGS", "/crlf.sh"),
    (
        ended("[FATAL tini (7)] exec /crlf.sh failed: No such file or directory", 127, facts=CRLF),
        "ENTRYPOINT_LINE_ENDINGS",
        "/crlf.sh",
    ),
    (
        ended(
            "/usr/bin/env: 'python3\\r': No such file or directory\n"
            "/usr/bin/env: use -[v]S to pass options in shebang lines",
            127,
        ),
        "ENTRYPOINT_LINE_ENDINGS",
        "line endings",
    ),
    (ended("/usr/bin/env: 'bash\r': No such file or directory", 127), "ENTRYPOINT_LINE_ENDINGS", "line endings"),
    (ended("/crlf2.sh: 2: set: Illegal option -", 2), "ENTRYPOINT_LINE_ENDINGS", "line endings"),
    (ended("/run.sh: line 2: $'\\r': command not found", 127), "ENTRYPOINT_LINE_ENDINGS", "line endings"),
    # no interpreter line
    (ended("exec /start.sh: exec format error", 1, facts=NO_SHEBANG), "ENTRYPOINT_WITHOUT_SHEBANG", "/start.sh"),
    # another processor: by the image, by the program's header, by the words alone
    (
        ended(
            "exec /usr/local/bin/python: exec format error",
            1,
            host=AMD64,
            image=ImageFacts("iris:1", architecture="arm64"),
        ),
        "WRONG_ARCHITECTURE",
        "arm64",
    ),
    (
        ended("exec /arm: exec format error", 1, host=AMD64, facts=entry("/arm", ARM_PROGRAM)),
        "WRONG_ARCHITECTURE",
        "arm64",
    ),
    (
        ended("/arm: 1: \ufffdELF\ufffd\ufffd: not found", 127, host=AMD64, facts=entry("/arm", ARM_PROGRAM)),
        "WRONG_ARCHITECTURE",
        "arm64",
    ),
    (ended("exec /usr/local/bin/python: exec format error", 1), "WRONG_ARCHITECTURE", "processor"),
    (
        ended("standard_init_linux.go:228: exec user process caused: exec format error", 1),
        "WRONG_ARCHITECTURE",
        "processor",
    ),
    # no x bit
    (refused(RUNC + 'exec: "/noexec.sh": permission denied: unknown'), "ENTRYPOINT_NOT_EXECUTABLE", "/noexec.sh"),
    (
        refused(PODMAN + 'exec: "/noexec.sh": permission denied: OCI permission denied'),
        "ENTRYPOINT_NOT_EXECUTABLE",
        "/noexec.sh",
    ),
    (
        ended("[FATAL tini (7)] exec /noexec.sh failed: Permission denied", 126, facts=PLAIN),
        "ENTRYPOINT_NOT_EXECUTABLE",
        "/noexec.sh",
    ),
    (ended("sh: 1: /noexec.sh: Permission denied", 126), "ENTRYPOINT_NOT_EXECUTABLE", "/noexec.sh"),
    (ended("", 126, error="`./serve` is not executable (in `/srv`)"), "ENTRYPOINT_NOT_EXECUTABLE", "./serve"),
    # not there
    (refused(RUNC + 'exec: "serve": executable file not found in $PATH: unknown'), "COMMAND_NOT_FOUND", "serve"),
    (
        refused(PODMAN + 'exec: "/missing": stat /missing: no such file or directory: OCI runtime attempted to invoke'),
        "COMMAND_NOT_FOUND",
        "/missing",
    ),
    (
        ended("[FATAL tini (6)] exec /missing failed: No such file or directory", 127, facts=ABSENT),
        "COMMAND_NOT_FOUND",
        "/missing",
    ),
    (
        ended("[FATAL tini (6)] exec gunicorn failed: No such file or directory", 127),
        "COMMAND_NOT_FOUND",
        "gunicorn",
    ),
    (refused("crun: executable file `serve` not found in $PATH: No such file"), "COMMAND_NOT_FOUND", "serve"),
    (ended("sh: 1: foo: not found", 127), "COMMAND_NOT_FOUND", "foo"),
    (ended("sh: foo: not found", 127), "COMMAND_NOT_FOUND", "foo"),
    (ended("bash: line 1: foo: command not found", 127), "COMMAND_NOT_FOUND", "foo"),
    (ended("/start.sh: line 3: uvicorn: command not found", 127), "COMMAND_NOT_FOUND", "uvicorn"),
    (ended("env: 'foo': No such file or directory", 127), "COMMAND_NOT_FOUND", "foo"),
    (ended("/usr/bin/env: 'python': No such file or directory", 127), "COMMAND_NOT_FOUND", "python"),
    (ended("", 127, error="`serve` is not on PATH (in `/srv/app`)"), "COMMAND_NOT_FOUND", "serve"),
    (ended("bash: /nofile.sh: No such file or directory", 127), "COMMAND_NOT_FOUND", "/nofile.sh"),
    (ended("sh: 0: cannot open /nofile.sh: No such file", 2), "COMMAND_NOT_FOUND", "/nofile.sh"),
    # the file is there, and what runs it is not
    (ended("exec /noint.sh: no such file or directory", 1, facts=ZSH), "COMMAND_NOT_FOUND", "/bin/zsh"),
    (
        ended("[FATAL tini (6)] exec /noint.sh failed: No such file or directory", 127, facts=ZSH),
        "COMMAND_NOT_FOUND",
        "/bin/zsh",
    ),
    (
        ended("exec /app/server: no such file or directory", 1, host=AMD64, facts=entry("/app/server", AMD_PROGRAM)),
        "COMMAND_NOT_FOUND",
        "dynamic loader",
    ),
]


@pytest.mark.parametrize(("case", "wanted", "named"), CASES)
def test_what_could_not_be_executed_is_named(case: Evidence, wanted: str, named: str) -> None:
    found = cause(case)
    assert found.code == wanted
    assert named in found.summary


@pytest.mark.parametrize(("case", "wanted", "named"), CASES)
def test_a_dropped_fact_never_gives_another_cause(case: Evidence, wanted: str, named: str) -> None:
    for poorer in (
        replace(case, facts=None),
        replace(case, image=None),
        replace(case, host=HostFacts()),
        replace(case, log=()),
        replace(case, error=""),
    ):
        first = diagnose(poorer).cause
        assert first is None or first.code in (wanted, "CRASHES_AT_START")


@pytest.mark.parametrize(("case", "wanted", "named"), CASES)
def test_a_server_that_works_may_say_all_of_this(case: Evidence, wanted: str, named: str) -> None:
    text = "\n".join(line.text for line in case.log) + "\n" + case.error
    assert codes(healthy(text, facts=replace(case.facts, entry=None) if case.facts else None)) == []


def test_arguments_without_an_entrypoint_are_no_program() -> None:
    image = ImageFacts("iris:1", command=("python3", "main.py"))
    spec = SpecFacts(args=("--port", "8080"))
    found = cause(refused(RUNC + 'exec: "--port": executable file not found in $PATH', image=image, spec=spec))
    assert found.code == "COMMAND_NOT_FOUND"
    assert found.remedy.patch == (("add", "/container/command", ["python3", "main.py"]),)


def test_an_emulated_image_that_fails_for_its_own_reason_is_not_of_the_wrong_kind() -> None:
    arm = ImageFacts("iris:1", architecture="arm64")
    text = 'Traceback (most recent call last):\n  File "/main.py", line 1, in <module>\n    import flask\n'
    text += "ModuleNotFoundError: No module named 'flask'"
    assert cause(ended(text, 1, host=AMD64, image=arm)).code == "MODULE_MISSING"


def test_a_script_that_goes_on_after_a_missing_command_did_not_end_by_it() -> None:
    later = ended("sh: 1: nvidia-smi: not found\nstarting\nbad luck", 3)
    assert cause(later).code == "CRASHES_AT_START"


def test_a_script_of_which_nothing_is_known_is_left_to_the_fallback() -> None:
    assert cause(ended("exec /entrypoint.sh: no such file or directory", 1)).code == "CRASHES_AT_START"


def test_installing_what_is_missing_is_the_remedy() -> None:
    found = cause(ended("/start.sh: line 3: waitress-serve: not found", 127, spec=SpecFacts(env=(EnvVar("A", "b"),))))
    assert "RUN pip install waitress" in found.remedy.text


def test_a_program_header_tells_its_processor() -> None:
    assert of_program(ARM_PROGRAM) == "arm64"
    assert of_program(AMD_PROGRAM) == "amd64"
    assert of_program("#!/bin/sh\n") == ""
    assert foreign("arm64", "x86_64")
    assert not foreign("386", "amd64")
    assert not foreign("", "amd64")


def test_what_ends_later_than_the_start_is_not_unexecuted() -> None:
    late = ended("sh: 1: foo: not found", 127, phase=Phase.PREDICT, healthy_s=1.0)
    assert "COMMAND_NOT_FOUND" not in codes(late)
