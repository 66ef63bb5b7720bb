"""Rules for a program that could not be executed: wrong processor, no interpreter, no permission, not there."""

from __future__ import annotations

import json
import re

from modelport.core.facts import EntryFile
from modelport.doctor.architecture import foreign, normal, of_program
from modelport.doctor.evidence import Evidence
from modelport.doctor.execution import Refusal, Unexecuted, unexecuted, unopened
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import died, fatal, proof, said
from modelport.doctor.rule import Found, Rule, rule

# What running a program of another processor, or a script without an interpreter, ends with.
_START_CODES = (1, 2, 126, 127, 255)
_SCRIPT = re.compile(r"\.(?:sh|bash|py|js|rb|pl)$")
# A shell, to which execvp falls back, reads a program as if it were a script.
_READ_AS_SCRIPT = (r": \d+: .{0,20}ELF", r"cannot execute binary file", r"^qemu-\w+: Could not open '/lib")


@rule("WRONG_ARCHITECTURE")
def wrong_architecture(evidence: Evidence) -> Found | None:
    """The image, or the program in it, is made for another kind of processor.

    Symptom: `exec /usr/local/bin/python: exec format error`, `standard_init_linux.go:228: exec user process caused:
    exec format error`, and nothing else in the log. "Model server exited unexpectedly" on Vertex AI, "terminated:
    Application failed to start: Failed to load /app: exec format error" on Cloud Run. It works on the laptop where it
    was built.

    Cause: an image that is built on an Apple-silicon Mac or another ARM machine is for arm64 unless told otherwise;
    servers mostly are amd64. Or a single downloaded binary in an otherwise right image is for another processor.

    Proof: the architecture that the image declares, or the header of the program's file, against that of the machine;
    and the kernel's refusal to execute it.

    Fix: `docker build --platform linux/amd64 -t NAME:TAG .`, or `FROM --platform=linux/amd64 …`; for several kinds of
    machines `docker buildx build --platform linux/amd64,linux/arm64`.
    """
    machine = normal(evidence.host.architecture)
    image = evidence.image or (evidence.facts.image if evidence.facts else None)
    made_for = image.architecture if image else ""
    entry = _entry(evidence)
    program = of_program(entry.head) if entry else ""
    refused = unexecuted(evidence)
    ended = died(evidence) and evidence.exit is not None and evidence.exit.code in _START_CODES
    started_nothing = refused is not None or (ended and not fatal(evidence))
    if started_nothing and foreign(program, machine):
        what, kind = f"The program `{entry.path if entry else ''}`", normal(program)
    elif started_nothing and foreign(made_for, machine) and (not program or not evidence.log or refused):
        what, kind = f"The image `{evidence.spec.image}`", normal(made_for)
    elif refused is not None and refused.refusal is Refusal.FORMAT and _is_program(refused, entry):
        what, kind = f"The program `{refused.program or 'of this image'}`", ""
    else:
        return None
    line = refused.line if refused else ""
    heard = said(evidence, *_READ_AS_SCRIPT)
    return Found(
        summary=f"{what} is made for {kind or 'another kind of processor'}"
        + (f"; this machine is {machine}." if machine else "."),
        cause="It was built on a machine of another kind, such as a Mac with Apple silicon, or with --platform.",
        remedy=f"Build it with `docker build --platform linux/{machine or 'amd64'} -t NAME:TAG .`",
        evidence=(
            *((f"image: {made_for}",) if made_for else ()),
            *((f"program: {entry.path} is an ELF file for {program}",) if entry and program else ()),
            *((f"host: {machine}",) if machine else ()),
            *proof(evidence, line or (heard.string if heard else "")),
        ),
    )


@rule("ENTRYPOINT_LINE_ENDINGS")
def entrypoint_line_endings(evidence: Evidence) -> Found | None:
    r"""The script that starts the container has Windows line endings.

    Symptom: `exec /entrypoint.sh: no such file or directory` although the file is there, `/usr/bin/env: 'python3\r':
    No such file or directory`, `/bin/bash^M: bad interpreter`, `$'\r': command not found`, `set: Illegal option -`.

    Cause: the file was saved, or checked out by git on Windows, with CR LF at the end of its lines. The kernel takes
    the CR for a part of the interpreter's name, `bash\r`, and no such program exists.

    Proof: the first line of the script as it lies in the image ends with CR; or a shell or env names a program that
    ends with CR.

    Fix: save it with LF, and keep it so with `*.sh text eol=lf` in `.gitattributes`; or repair it in the Dockerfile:
    `RUN sed -i 's/\r$//' /entrypoint.sh`.
    """
    entry = _entry(evidence)
    in_file = died(evidence) and entry is not None and bool(re.match(r"#!.*\r(\n|$)", entry.head))
    match = said(
        evidence,
        r"^(?:/usr/bin/)?env: \S*\\r\S*: No such file",  # GNU coreutils 9
        r"^(?:/usr/bin/)?env: .*\r.*: No such file",  # GNU coreutils 8, busybox
        r"\$'\\r': command not found$",  # bash
        r"(?:\^M|\r): bad interpreter",  # bash of a script that a script starts
        r"^\S+: (?:line )?\d+: \S*\r: not found$",  # dash, busybox
        r"^\S+: (?:line )?\d+: set: (?:Illegal|illegal) option -$",  # dash, busybox: `set -e\r`
    )
    if not in_file and match is None:
        return None
    path = entry.path if entry and in_file else "/entrypoint.sh"
    first = entry.head.partition("\n")[0] if entry and in_file else ""
    refused = unexecuted(evidence)
    return Found(
        summary=f"The script `{path}` has Windows line endings." if first else "A script has Windows line endings.",
        cause="Each line ends with CR LF, and CR becomes part of the interpreter's or a command's name.",
        remedy=f"Save it with LF endings, or write `RUN sed -i 's/\\r$//' {path}` into the Dockerfile",
        evidence=(
            *((f"file: {path} begins with {first!r}",) if first else ()),
            *proof(evidence, match.string if match else refused.line if refused else ""),
        ),
    )


@rule("ENTRYPOINT_WITHOUT_SHEBANG")
def entrypoint_without_shebang(evidence: Evidence) -> Found | None:
    """The script that starts the container does not say which interpreter it is for.

    Symptom: `exec /entrypoint.sh: exec format error` on a machine of the right architecture; it works when it is
    started from a shell.

    Cause: the first line is not `#!/bin/sh` or alike. A shell runs such a file itself; the kernel, which starts a
    container's first process, refuses.

    Proof: the first bytes of the file are text and not `#!`, and the kernel said `exec format error`.

    Fix: make `#!/bin/sh` its very first line, without an empty line or a byte order mark before it; or start it with
    its interpreter: `ENTRYPOINT ["sh", "/entrypoint.sh"]`.
    """
    refused, entry = unexecuted(evidence), _entry(evidence)
    if entry is None or not entry.exists or not entry.head:
        return None
    if entry.head.startswith(("#!", "\x7fELF")) or "\x00" in entry.head:
        return None
    by_kernel = refused is not None and refused.refusal is Refusal.FORMAT
    # With an init it is a shell that reads the script, and understands those that are for a shell.
    by_shell = _read_by_shell(evidence, entry)
    if not by_kernel and by_shell is None:
        return None
    line = by_shell.string if by_shell else refused.line if refused else ""
    return Found(
        summary=f"The script `{entry.path}` does not begin with `#!`, so the kernel cannot tell how to run it.",
        cause="A shell would run it all the same; what starts a container does not.",
        remedy="Make `#!/bin/sh` its first line"
        if not entry.path.endswith(".py")
        else "Make `#!/usr/bin/env python3` its first line",
        evidence=(f"file: {entry.path} begins with {entry.head[:40]!r}", *proof(evidence, line)),
    )


@rule("ENTRYPOINT_NOT_EXECUTABLE")
def entrypoint_not_executable(evidence: Evidence) -> Found | None:
    """The program that starts the container may not be executed.

    Symptom: exit code 126; `exec: "/entrypoint.sh": permission denied: unknown`, `[FATAL tini (7)] exec /entrypoint.sh
    failed: Permission denied`, `sh: 1: ./serve: Permission denied`.

    Cause: the file lacks the x bit, often since it was checked out on Windows or unpacked from an archive; or the name
    is that of a folder; or the image's user may not enter a folder above it.

    Proof: the refusal to execute it, and the mode of the file as it lies in the image.

    Fix: `COPY --chmod=755 entrypoint.sh /` or `RUN chmod +x /entrypoint.sh`; or start it with its interpreter, which
    needs no x bit: `ENTRYPOINT ["sh", "/entrypoint.sh"]`.
    """
    refused = unexecuted(evidence)
    if refused is None or refused.refusal is not Refusal.DENIED:
        return None
    entry = _entry(evidence)
    path = refused.program or (entry.path if entry else "the program")
    same = entry is not None and not refused.by_shell and entry.exists
    mode = f"file: {entry.path} has mode {entry.mode:o}" if entry and same else ""
    return Found(
        summary=f"`{path}` may not be executed.",
        cause="It has no x bit, is a folder, or lies where this user may not go.",
        remedy=f"Write `RUN chmod +x {path}` into the Dockerfile, after the COPY of it",
        evidence=(*((mode,) if mode else ()), *proof(evidence, refused.line)),
    )


@rule("COMMAND_NOT_FOUND")
def command_not_found(evidence: Evidence) -> Found | None:
    """The program that is to be started does not exist in the container.

    Symptom: exit code 127; `exec: "serve": executable file not found in $PATH: unknown`, `[FATAL tini (7)] exec
    gunicorn failed: No such file or directory`, `sh: 1: uvicorn: not found`, `/start.sh: line 3: foo: command not
    found`, `python3: can't open file '/app/main.py': [Errno 2] No such file or directory`.

    Cause: a name is misspelt; the program was not installed or not copied; it lies in a folder that is not on PATH; a
    script's first line names an interpreter that this image lacks (bash in alpine); or `container.args` was given to an
    image without ENTRYPOINT, so that its first argument is taken for the program.

    Proof: the engine, the init or the shell that was to start it says that it is not there, and where it can be seen
    the file system of the image agrees.

    Fix: install it in the Dockerfile, `RUN pip install gunicorn`; write its absolute path; correct `container.command`;
    or set `container.command` to what the image's CMD is and leave `container.args` to arguments.
    """
    refused, script = unexecuted(evidence), unopened(evidence)
    if refused is not None and refused.refusal is Refusal.MISSING:
        return _missing_program(evidence, refused)
    if script is None:
        return None
    path = script["program"]
    return Found(
        summary=f"`{path}`, the file that is to be run, does not exist in the container.",
        cause=f"It was not copied into the image, or lies elsewhere{_working_dir(evidence)}.",
        remedy=f"Copy it in the Dockerfile, `COPY {path.rpartition('/')[2]} {path}`, or correct the command",
        evidence=proof(evidence, script.string),
    )


def _missing_program(evidence: Evidence, refused: Unexecuted) -> Found | None:
    program, entry = refused.program, None if refused.by_shell else _entry(evidence)
    if entry is not None and entry.exists and entry.path.rpartition("/")[2] == program.rpartition("/")[2]:
        return _missing_interpreter(evidence, refused, entry)
    if not program or (entry is None and not refused.certainly_absent and _may_be_line_endings(program)):
        return None
    if found := _args_as_command(evidence, program):
        return found
    caller = " A script that starts the container calls it." if refused.by_shell else ""
    return Found(
        summary=f"`{program}` does not exist in the container.",
        cause=f"It is not installed, not copied, misspelt, or in a folder that is not on PATH.{caller}",
        remedy=_how_to_get(program),
        evidence=proof(evidence, refused.line),
    )


def _missing_interpreter(evidence: Evidence, refused: Unexecuted, entry: EntryFile) -> Found | None:
    """Return the finding for a file that is there: what the kernel misses is what runs it."""
    if of_program(entry.head):
        return Found(
            summary=f"`{entry.path}` needs a dynamic loader that this image does not have.",
            cause="It is linked for another C library: for glibc while the image has musl (alpine), or the reverse.",
            remedy="Use an image of the same kind, such as `FROM debian:bookworm-slim`, or link it statically"
            " (`CGO_ENABLED=0 go build`)",
            evidence=(f"file: {entry.path} exists and is an ELF file", *proof(evidence, refused.line)),
        )
    first = entry.head.partition("\n")[0]
    if "\r" in first or not (match := re.match(r"#!\s*(\S+)", first)):
        return None
    return Found(
        summary=f"`{entry.path}` needs the interpreter `{match[1]}`, which is not there.",
        cause="The first line of the script names a program that this image does not have.",
        remedy=f"Install `{match[1]}` in the Dockerfile, or begin the script with `#!/bin/sh`",
        evidence=(f"file: {entry.path} begins with {first!r}", *proof(evidence, refused.line)),
    )


def _args_as_command(evidence: Evidence, program: str) -> Found | None:
    """Return the finding for arguments that are taken for the program, because the image has no ENTRYPOINT."""
    image, args = evidence.image, evidence.spec.args
    if evidence.spec.command or not args or args[0] != program or image is None or image.entrypoint:
        return None
    command = list(image.command)
    patch = (("add", "/container/command", command),) if command else ()
    return Found(
        summary=f"`{program}` is started as a program, and it is an argument.",
        cause="container.args replaces the image's CMD, and this image has no ENTRYPOINT for it to be passed to.",
        remedy=Remedy(f"Set container.command to {json.dumps(command) if command else 'the program to start'}", patch),
        evidence=(f"image: ENTRYPOINT is empty, CMD is {json.dumps(command)}", f"spec: args {json.dumps(list(args))}"),
    )


def _how_to_get(program: str) -> str:
    known = {"gunicorn", "uvicorn", "hypercorn", "flask", "fastapi", "waitress-serve", "granian", "bentoml", "mlflow"}
    if program in known:
        package = {"waitress-serve": "waitress", "fastapi": "'fastapi[standard]'"}.get(program, program)
        return f"Write `RUN pip install {package}` into the Dockerfile"
    if program in ("python", "python3", "bash", "node", "curl", "java"):
        other = {"python": "python3", "bash": "sh"}.get(program)
        return f"Install `{program}` in the Dockerfile" + (f", or use `{other}`" if other else "")
    if "/" in program:
        return f"Copy it to `{program}` in the Dockerfile, or correct the command"
    return f"Install `{program}` in the Dockerfile, or write its absolute path in container.command"


def _read_by_shell(evidence: Evidence, entry: EntryFile) -> re.Match[str] | None:
    """Return what a shell said of a script that is for another interpreter, and ended by that."""
    if not died(evidence) or entry.path.endswith((".sh", ".bash")) or fatal(evidence):
        return None
    if evidence.exit is None or evidence.exit.code not in (2, 126, 127):
        return None
    name = re.escape(entry.path.rpartition("/")[2])
    return said(
        evidence, rf"^\S*{name}: (?:line )?\d+: (?:\S+: not found|\S+: command not found|[Ss]yntax error)", within=8
    )


def _may_be_line_endings(program: str) -> bool:
    """Return whether the kernel's "no such file" may be about the interpreter of a script that is there."""
    return "/" in program and bool(_SCRIPT.search(program))


def _is_program(refused: Unexecuted, entry: EntryFile | None) -> bool:
    if entry is not None and entry.head:
        return False  # its header would have told
    return not _SCRIPT.search(refused.program) and not refused.line.startswith("`")


def _entry(evidence: Evidence) -> EntryFile | None:
    return evidence.facts.entry if evidence.facts else None


def _working_dir(evidence: Evidence) -> str:
    image = evidence.image
    return f" (the working folder is `{image.working_dir}`)" if image and image.working_dir else ""


RULES: tuple[Rule, ...] = (
    wrong_architecture,
    entrypoint_line_endings,
    entrypoint_without_shebang,
    entrypoint_not_executable,
    command_not_found,
)
