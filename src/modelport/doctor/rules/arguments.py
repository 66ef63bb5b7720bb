"""Rules for programs that are started in a wrong way: variables, arguments, the application's name, standard input."""

from __future__ import annotations

import difflib
import re

from modelport.doctor.evidence import Evidence
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import died, failed, fatal, proof, raised_by, said
from modelport.doctor.rule import Found, Rule, rule

_REFERENCE = re.compile(r"\$(?:\((\w+)\)|\{(\w+)\}|([A-Za-z_]\w*))")
_FROM_ENVIRON = re.compile(r'"(?:<frozen os>|[^"]*[/\\]os\.py)", line \d+, in __getitem__')
# A reference that nobody expanded, as a value or the beginning of a path in some message.
_REFERENCE_IN_TEXT = r"""(?:^|['"`\s=:/(])(\$(?:\([A-Z_]\w*\)|\{[A-Z_]\w*\}|[A-Z_]\w*))(?=$|['"`\s/:,.)])"""
_READING = re.compile(r"\bstdin\.(?:buffer|read)|\bin sys\.stdin\b|\(sys\.stdin[,)]|\bopen\(0\b|(?<![\w.])input\(")
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_USAGE = (
    # argparse of every Python 3
    r"^(?P<program>[\w./-]+): error: (?P<what>.+)$",
    # click 7 and later, and typer without rich; then typer with rich
    r"^Error: (?P<what>(?:No such (?:option|command)|Missing (?:option|argument|parameter)|Invalid value|Got unexpected"
    r"|Option ).*)$",
    r"^│ (?P<what>(?:No such (?:option|command)|Missing (?:option|argument)|Invalid value|Got unexpected).*?) *│$",
    # Go: flag, then cobra and pflag
    r"^(?P<what>flag provided but not defined: .+)$",
    r"^(?:Error: )?(?P<what>unknown (?:shorthand )?flag: .+)$",
    # getopt_long of glibc and musl
    r"^[\w./-]+: (?P<what>(?:unrecognized|invalid|unknown) option.*)$",
    # clap 3 and 4
    r"^error: (?P<what>(?:unexpected argument|Found argument|the following required arguments|invalid value).*)$",
    # absl, node, java, python itself, gunicorn
    r"^FATAL Flags parsing error: ?(?P<what>.*)$",
    r"^[\w./-]*node: (?P<what>bad option: .+)$",
    r"^(?P<what>Unrecognized (?:VM )?option:? .+)$",
    r"^(?P<what>[Uu]nknown option:? -.+)$",
    r"^Error: (?P<what>'.+' is not a valid port number\.)$",
)
# argparse, click and getopt end with 2; node with 9; cobra, java and gunicorn with 1; EX_USAGE is 64.
_USAGE_CODES = (1, 2, 9, 64)


@rule("VARIABLE_NOT_EXPANDED")
def variable_not_expanded(evidence: Evidence) -> Found | None:
    """A variable reached the program as its name, not as its value.

    Symptom: `Error: Invalid value for '--port': '$PORT' is not a valid integer.`, `'$PORT' is not a valid port
    number.`, `No such file or directory: '$AIP_STORAGE_URI/model.pkl'`, `invalid literal for int() with base 10:
    '$AIP_HTTP_PORT'`.

    Cause: only a shell expands `$NAME`. An ENTRYPOINT or CMD in brackets starts the program without one, and in
    command, args and env of a version only `$(NAME)` is expanded, for AIP_* variables and for the version's own env.

    Proof: the program complains of a value that is still the name of a variable.

    Fix: write `$(AIP_HTTP_PORT)` in container.args; in the Dockerfile use the shell form, `CMD exec uvicorn main:app
    --host 0.0.0.0 --port $AIP_HTTP_PORT`; or read `os.environ["AIP_HTTP_PORT"]` in the program.
    """
    if not failed(evidence):
        return None
    found = raised_by(evidence, _REFERENCE_IN_TEXT)
    match = found[1] if found else None
    if match is None and died(evidence) and _used(evidence) and evidence.exit and evidence.exit.code in _USAGE_CODES:
        match = said(evidence, _REFERENCE_IN_TEXT, within=8)
    if match is None:
        return None
    reference = match[1]
    patch, better = _expanded(evidence, reference)
    return Found(
        summary=f"`{reference}` reached the program as it is written, not as a value.",
        cause="Only a shell expands `$NAME`, and the program is started without one; a version expands `$(NAME)`.",
        remedy=Remedy(
            f"Write `{better}` in container.command or container.args"
            if patch
            else f"Start it through a shell, `CMD exec … {reference}` without brackets in the Dockerfile, or write"
            f" `{better}` in container.args",
            patch,
        ),
        evidence=(*_where(evidence, reference), *proof(evidence, str(found[0]) if found else match.string)),
    )


@rule("APPLICATION_NOT_FOUND")
def application_not_found(evidence: Evidence) -> Found | None:
    """The server finds the module, and in it no application of the name that it was given.

    Symptom: `Failed to find attribute 'app' in 'main'.` and `App failed to load.` (gunicorn), `Error loading ASGI app.
    Attribute "app" not found in module "main".` (uvicorn), `Failed to find Flask application or factory in module
    'main'`.

    Cause: `main:app` names a module and a variable in it; the variable has another name, is made inside a function, or
    the module is another one of the same name.

    Proof: the server's own message, and its exit.

    Fix: name the variable that holds the application: `uvicorn main:application`; for a function that makes it
    `gunicorn 'main:create_app()'` or `uvicorn --factory main:create_app`.
    """
    match = said(
        evidence,
        r"^Failed to find attribute '(?P<name>[^']+)' in '(?P<module>[^']+)'\.$",  # gunicorn 20 and later
        r'Error loading ASGI app\. Attribute "(?P<name>[^"]+)" not found in module "(?P<module>[^"]+)"\.$',  # uvicorn
        r"Failed to find Flask application or factory in module '(?P<module>[^']+)'",  # flask 1 and later
        r"^Error: Could not locate a Flask application\.",
        r'Error loading ASGI app\. Import string "(?P<module>[^"]+)" must be in format',
    )
    if match is None:
        return None
    groups = match.groupdict()
    name, module = groups.get("name") or "an application", groups.get("module") or "the program"
    return Found(
        summary=f"The server finds no `{name}` in `{module}`."
        if groups.get("name")
        else f"The server finds no application in `{module}`.",
        cause="The part behind the colon must be the name of the variable that holds the application.",
        remedy=f"Name the right variable, `{module}:NAME`, or call it `{name}` in `{module}.py`",
        evidence=proof(evidence, match.string),
    )


@rule("READS_STANDARD_INPUT")
def reads_standard_input(evidence: Evidence) -> Found | None:
    """The program is a script that reads its input from standard input; it is no server.

    Symptom: `json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)` in a line with `sys.stdin`,
    `EOFError: EOF when reading a line`, right after the start. Elsewhere "Model server exited unexpectedly".

    Cause: predictions come as HTTP requests. Nobody writes to a container's standard input, so a script that reads it
    finds it empty.

    Proof: what ended the program is an error of reading standard input, in the line that the traceback shows.

    Fix: put the model behind a server that answers 200 on the health route and `{"predictions": […]}` on the predict
    route: `app = Flask(__name__)`, `@app.get("/health")`, `@app.post("/predict")`, and start that.
    """
    found = raised_by(evidence, r"^EOFError: EOF when reading a line", r"^(?:JSONDecodeError|ValueError|IndexError): ")
    if found is None:
        return None
    reads = next((frame for frame in found[0].frames if _READING.search(frame)), "")
    if not reads and found[0].kind != "EOFError":
        return None
    return Found(
        summary="The program reads its input from standard input; it is not a server.",
        cause="Predictions come over HTTP, and a container's standard input is empty.",
        remedy=f"Serve the model over HTTP on port {evidence.spec.port}, in Flask: `@app.post("
        f'"{evidence.spec.predict_route or "/predict"}")` and `app.run(host="0.0.0.0", port={evidence.spec.port})`',
        evidence=proof(evidence, str(found[0]), reads),
    )


@rule("BAD_ARGUMENTS")
def bad_arguments(evidence: Evidence) -> Found | None:
    """The program does not understand its arguments.

    Symptom: a usage text, then `error: unrecognized arguments: --swap-space=16`, `error: the following arguments are
    required: --model`, `Error: No such option: --foo`, `flag provided but not defined: -foo`; exit code 2. Vertex AI's
    Model Garden says "Model server exited unexpectedly. Please use recommended machine spec."

    Cause: container.args has a flag that is misspelt, that a newer version of the server has dropped, or that belongs
    to another program; or a required one is not given.

    Proof: the exit code that programs use for wrong usage, and the message of the parser as the last words.

    Fix: correct `container.args`; `docker run --rm IMAGE --help` lists what this version of the program knows.
    """
    if not died(evidence) or evidence.exit is None or evidence.exit.code not in _USAGE_CODES:
        return None
    chain = fatal(evidence)
    if chain and chain[0].kind == "IndexError" and any("sys.argv[" in frame for frame in chain[0].frames):
        reads = next(frame for frame in chain[0].frames if "sys.argv[" in frame)
        return _bad(evidence, "An argument that the program needs is not given", (str(chain[0]), reads), "")
    match = said(evidence, *_USAGE, within=8) if not chain else None
    if match is None or re.match(r"While importing|Could not import", match["what"]):
        return None
    return _bad(evidence, match["what"].rstrip("."), (match.string,), match["what"])


def _bad(evidence: Evidence, what: str, lines: tuple[str, ...], message: str) -> Found:
    args = evidence.spec.args
    wrong = next((at for at, arg in enumerate(args) if arg.startswith("-") and _names(message, arg)), None)
    patch = (("remove", f"/container/args/{wrong}", None),) if wrong is not None and "unrecog" in message else ()
    given = f"spec: args {list(args)}" if args else ""
    return Found(
        summary=f"The program does not understand its arguments: {what}.",
        cause="The program printed how it is used, and ended.",
        remedy=Remedy(
            f"Remove `{args[wrong]}` from container.args" if patch and wrong is not None else "Correct container.args",
            patch,
        ),
        evidence=(*((given,) if given else ()), *proof(evidence, *lines)),
    )


def _names(message: str, arg: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(arg)}(?![\w-])", message))


def _used(evidence: Evidence) -> bool:
    """Return whether the command line that was started has a reference in it, and no shell that would expand it."""
    words = _command_line(evidence)
    if words and words[0].rpartition("/")[2] in _SHELLS:
        return False
    return not words or any(_REFERENCE.search(word) for word in words)


def _command_line(evidence: Evidence) -> tuple[str, ...]:
    if evidence.facts and evidence.facts.command:
        return evidence.facts.command
    image = evidence.image
    command = evidence.spec.command or (image.entrypoint if image else ())
    args = evidence.spec.args or (image.command if image and not evidence.spec.command else ())
    return (*command, *args)


def _where(evidence: Evidence, reference: str) -> tuple[str, ...]:
    words = _command_line(evidence)
    return (f"command line: {' '.join(words)[:300]}",) if any(reference in word for word in words) else ()


def _expanded(evidence: Evidence, reference: str) -> tuple[tuple[tuple[str, str, str], ...], str]:
    """Return the patch that writes the reference in the way that is expanded, and how it is then written."""
    match = _REFERENCE.fullmatch(reference)
    name = next(filter(None, match.groups()), "") if match else ""
    known = [variable.name for variable in evidence.spec.env] or ["AIP_HTTP_PORT", "AIP_STORAGE_URI", "PORT"]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        name = near[0] if near else name
    better = f"$({name})"
    commands = len(evidence.spec.command)
    for at, word in enumerate(evidence.spec.written_command):
        if reference in word and word.replace(reference, better) != word:
            path = f"/container/command/{at}" if at < commands else f"/container/args/{at - commands}"
            return (("replace", path, word.replace(reference, better)),), better
    return (), better


@rule("ENVIRONMENT_VARIABLE_MISSING")
def environment_variable_missing(evidence: Evidence) -> Found | None:
    """The program reads an environment variable that is not set.

    Symptom: `KeyError: 'MODEL_NAME'` out of `os.environ`, `MODEL_NAME: unbound variable`, `MODEL_NAME: parameter not
    set`; by hand, with `docker run -e MODEL_NAME=…`, it works. "Model server exited unexpectedly" (Vertex AI).

    Cause: a variable that is set on one's own machine, or by another platform, is not part of the version; or the name
    of one of the platform's variables is misspelt.

    Proof: the program ended when it asked the environment for a name that is not there.

    Fix: add it to the version, `env: [{name: MODEL_NAME, value: …}]` in container; or read the platform's own variable:
    `os.environ["AIP_HTTP_PORT"]`.
    """
    chain = fatal(evidence)
    name, line = "", ""
    if chain and chain[0].kind == "KeyError" and any(_FROM_ENVIRON.search(frame) for frame in chain[0].frames[-3:]):
        name, line = chain[0].message.strip("'\""), str(chain[0])
    elif match := said(evidence, r"(?:^|[\s:])([A-Za-z_]\w*): (?:unbound variable|parameter not set)$", within=3):
        name, line = match[1], match.string
    known = {variable.name for variable in evidence.spec.env}
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name in known:
        return None
    near = difflib.get_close_matches(name, [one for one in known if one.startswith("AIP_")], n=1, cutoff=0.7)
    return Found(
        summary=f"The program reads the environment variable `{name}`, which is not set.",
        cause=f"The platform's variable is called `{near[0]}`."
        if near
        else "Neither the image nor the version sets it.",
        remedy=f'Read `os.environ["{near[0]}"]`'
        if near
        else f"Add it to the version: `container.env: [{{name: {name}, value: …}}]`",
        evidence=proof(evidence, line),
    )


RULES: tuple[Rule, ...] = (
    variable_not_expanded,
    environment_variable_missing,
    application_not_found,
    reads_standard_input,
    bad_arguments,
)
