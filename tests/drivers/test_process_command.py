"""What the process driver runs in a folder."""

from __future__ import annotations

import pytest

from modelport.core.errors import ReplicaCannotStart
from modelport.drivers.process_command import DockerfileStart, Folder, command_line, environment, parse_dockerfile

SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("text", "entrypoint", "cmd"),
    [
        ("", (), ()),
        ('FROM x\nCMD ["python", "a.py"]', (), ("python", "a.py")),
        ("FROM x\nCMD python a.py --x", (), (*SHELL, "python a.py --x")),
        ('FROM x\nENTRYPOINT ["serve"]\nCMD ["--port", "1"]', ("serve",), ("--port", "1")),
        ('from x\ncmd [ "a" ,"b c" ]  ', (), ("a", "b c")),
        ('FROM x\nCMD ["first"]\nCMD ["last"]', (), ("last",)),
        ('FROM x AS build\nCMD ["make"]\nENTRYPOINT ["e"]\nFROM y\nCMD ["run"]', (), ("run",)),
        ("FROM x\nCMD python \\\n  # a comment in between\n  a.py \\\n  --x", (), (*SHELL, "python    a.py    --x")),
        ('FROM x\nRUN echo \\\n  CMD ["no"]\nCMD ["yes"]', (), ("yes",)),
        ('FROM x\n# CMD ["no"]\n', (), ()),
        ('FROM x\nCMD ["not", 1]', (), (*SHELL, '["not", 1]')),
        ("FROM x\nCMD ['single']", (), (*SHELL, "['single']")),
        ("FROM x\nCMD []", (), ()),
        ("\x00\xff not a Dockerfile", (), ()),
    ],
)
def test_a_dockerfile_says_how_it_starts(text: str, entrypoint: tuple[str, ...], cmd: tuple[str, ...]) -> None:
    start = parse_dockerfile(text)
    assert (start.entrypoint, start.cmd) == (entrypoint, cmd)


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("ENV A=1", {"A": "1"}),
        ('ENV A=1 B="two words" C=x\\ y', {"A": "1", "B": "two words", "C": "x y"}),
        ("ENV A one and two", {"A": "one and two"}),
        ("ENV A=", {"A": ""}),
        ("ENV PATH=/opt/bin", {}),
        ("ENV A=$HOME/x B=2", {"B": "2"}),
        ('ENV A="open', {}),
        ("ENV A=1\nENV A=2", {"A": "2"}),
        ("ENV A=1\nFROM y", {}),
    ],
)
def test_plain_variables_of_a_dockerfile_are_kept(line: str, env: dict[str, str]) -> None:
    assert parse_dockerfile(f"FROM x\n{line}").env == env


BOTH = DockerfileStart(("serve",), ("--default",))
CMD_ONLY = DockerfileStart((), ("python", "a.py"))


@pytest.mark.parametrize(
    ("dockerfile", "files", "command", "args", "expected"),
    [
        (BOTH, (), (), (), ("serve", "--default")),
        (BOTH, (), (), ("--x",), ("serve", "--x")),
        (BOTH, (), ("other",), (), ("other",)),
        (BOTH, (), ("other",), ("--x",), ("other", "--x")),
        (CMD_ONLY, (), (), (), ("/py", "a.py")),
        (CMD_ONLY, ("main.py",), (), (), ("/py", "a.py")),
        (CMD_ONLY, (), (), ("./run", "fast"), ("./run", "fast")),
        (None, ("server.py", "main.py"), (), (), ("/py", "main.py")),
        (None, ("app.py", "server.py"), (), (), ("/py", "server.py")),
        (None, ("app.py",), (), ("--x",), ("/py", "app.py", "--x")),
        (DockerfileStart(), ("app.py",), (), (), ("/py", "app.py")),
        (None, (), ("python3", "-m", "x"), (), ("/py", "-m", "x")),
        (None, (), ("python3.12", "x"), (), ("python3.12", "x")),
        (None, (), ("/usr/bin/python3", "x"), (), ("/usr/bin/python3", "x")),
    ],
)
def test_command_and_args_replace_what_the_folder_says(
    dockerfile: DockerfileStart | None,
    files: tuple[str, ...],
    command: tuple[str, ...],
    args: tuple[str, ...],
    expected: tuple[str, ...],
) -> None:
    folder = Folder("/srv/model", frozenset(files), "/py", dockerfile)
    assert command_line(folder, command, args) == expected


def test_a_folder_that_says_nothing_cannot_start() -> None:
    with pytest.raises(ReplicaCannotStart, match="does not say what to run") as caught:
        command_line(Folder("/srv/model", frozenset({"README.md"}), "/py"), (), ())
    assert "container.command" in caught.value.hint


def test_a_replica_inherits_little_and_its_own_variables_win() -> None:
    inherited = {"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "MODELPORT_TOKEN": "x", "LANG": "C"}
    folder = Folder("/f", frozenset(), "/py", DockerfileStart(env={"A": "dockerfile", "B": "dockerfile"}))
    assert environment(folder, {"B": "version", "LANG": "de"}, inherited=inherited, tools="/venv/bin") == {
        "PATH": "/f/.venv/bin:/venv/bin:/bin",
        "HOME": "/root",
        "LANG": "de",
        "PYTHONUNBUFFERED": "1",
        "A": "dockerfile",
        "B": "version",
    }
    assert environment(folder, {"PATH": "/only"}, inherited={}, tools="/t")["PATH"] == "/only"
    assert environment(folder, {}, inherited={}, tools="/t")["PATH"].endswith("/t:/usr/local/bin:/usr/bin:/bin")
