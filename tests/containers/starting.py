"""Containers whose program cannot be started at all: it is not there, not executable, or for another machine."""

from tests.containers.binaries import FOR_ARM, ILLEGAL, ends_with
from tests.containers.container import DOCKER, PODMAN, PYTHON, Container, Edit, Elsewhere, Respec
from tests.containers.servers import FLASK, FLASK_RUN, GUNICORN

BOTH = (PODMAN, DOCKER)
APP = {"app.py": FLASK + FLASK_RUN}
START = "#!/bin/sh\nexec gunicorn --bind 0.0.0.0:8080 --threads 4 app:app\n"
ENTRYPOINT = 'COPY . .\nRUN chmod +x start.sh\nENTRYPOINT ["./start.sh"]\n'

COMMANDS = (
    Container(
        # SageMaker starts an image with `serve`; this one has no such program.
        name="serve-that-is-no-program",
        code="COMMAND_NOT_FOUND",
        files=APP,
        version={"container": {"args": ["serve"]}},
        evidence=r"serve",
        remedy=Respec({"container": {"args": None}}),
        engines=BOTH,
    ),
    Container(
        name="command-of-another-python",
        code="COMMAND_NOT_FOUND",
        files=APP,
        version={"container": {"command": ["python3.9", "app.py"]}},
        evidence=r"python3\.9",
        remedy=Respec({"container": {"command": ["python3", "app.py"]}}),
    ),
    Container(
        name="misspelt-in-a-shell-line",
        code="COMMAND_NOT_FOUND",
        files={"app.py": FLASK},
        dockerfile="COPY . .\nCMD gunicron --bind 0.0.0.0:8080 app:app\n",
        evidence=r"gunicron: not found",
        remedy=(Edit("Dockerfile", "gunicron", "exec gunicorn"),),
    ),
    Container(
        # With an entrypoint of `python`, args are its arguments and not a command.
        name="args-that-repeat-the-command",
        code="COMMAND_NOT_FOUND",
        files=APP,
        dockerfile='COPY . .\nENTRYPOINT ["python"]\nCMD ["app.py"]\n',
        version={"container": {"args": ["python", "app.py"]}},
        evidence=r"can't open file",
        remedy=Respec({"container": {"args": ["app.py"]}}),
    ),
)

ENTRYPOINTS = (
    Container(
        # Checked out on Windows.
        name="entrypoint-with-windows-line-endings",
        code="ENTRYPOINT_LINE_ENDINGS",
        files={"app.py": FLASK, "start.sh": START.replace("\n", "\r\n")},
        dockerfile=ENTRYPOINT,
        evidence=r"\\r|CRLF|carriage",
        remedy=(Edit("Dockerfile", "chmod +x start.sh", "chmod +x start.sh && sed -i 's/\\r$//' start.sh"),),
        engines=BOTH,
    ),
    Container(
        # Started through a shell, which takes `-e\\r` for an option.
        name="shell-reads-windows-line-endings",
        code="ENTRYPOINT_LINE_ENDINGS",
        files={"app.py": FLASK, "start.sh": "set -e\r\nexec gunicorn --bind 0.0.0.0:8080 --threads 4 app:app\r\n"},
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"\\r|CRLF|carriage|Illegal option",
        remedy=(Edit("Dockerfile", "COPY . .\n", "COPY . .\nRUN sed -i 's/\\r$//' start.sh\n"),),
    ),
    Container(
        name="entrypoint-not-executable",
        code="ENTRYPOINT_NOT_EXECUTABLE",
        files={"app.py": FLASK, "start.sh": START},
        dockerfile=ENTRYPOINT.replace("RUN chmod +x start.sh\n", ""),
        evidence=r"(?i)0o?644|rw-r--r--|permission denied|cannot be executed",
        remedy=(Edit("Dockerfile", "COPY . .\n", "COPY . .\nRUN chmod +x start.sh\n"),),
        engines=BOTH,
    ),
    Container(
        # No first line says whose program this is, so a shell reads it, and knows no `import`.
        name="entrypoint-without-shebang",
        code="ENTRYPOINT_WITHOUT_SHEBANG",
        files=APP,
        dockerfile='COPY . .\nRUN chmod +x app.py\nENTRYPOINT ["./app.py"]\n',
        evidence=r"(?i)import|exec format error|app\.py",
        remedy=(Edit("app.py", "import os\n", "#!/usr/bin/env python3\nimport os\n"),),
        engines=BOTH,
    ),
    Container(
        # The interpreter of the first line is not in the image: "no such file", although the script is there.
        name="entrypoint-for-a-shell-that-is-not-there",
        code="COMMAND_NOT_FOUND",
        files={"app.py": FLASK, "start.sh": START.replace("/bin/sh", "/bin/zsh")},
        dockerfile=ENTRYPOINT,
        evidence=r"/bin/zsh",
        remedy=(Edit("start.sh", "/bin/zsh", "/bin/sh"),),
    ),
)

MACHINES = (
    Container(
        # Built on a computer with an ARM processor and pushed as it was.
        name="image-for-arm",
        code="WRONG_ARCHITECTURE",
        files={"server": FOR_ARM},
        base="scratch",
        dockerfile='COPY server /server\nENTRYPOINT ["/server"]\n',
        platform="linux/arm64",
        evidence=r"arm64",
        remedy=Elsewhere(),
        engines=BOTH,
    ),
    Container(
        # The image says amd64, its program is for ARM: copied from another stage.
        name="program-for-arm",
        code="WRONG_ARCHITECTURE",
        files={**APP, "server": FOR_ARM},
        dockerfile='COPY . .\nCMD ["./server"]\n',
        evidence=r"(?i)exec format error|aarch64|arm64|cannot be executed",
        remedy=(Edit("Dockerfile", '"./server"', '"python", "app.py"'),),
        engines=BOTH,
    ),
    Container(
        name="program-for-a-newer-processor",
        code="ILLEGAL_INSTRUCTION",
        files={**APP, "server": ILLEGAL},
        dockerfile='COPY . .\nCMD ["./server"]\n',
        evidence=r"132|signal 4|SIGILL",
        remedy=(Edit("Dockerfile", '"./server"', '"python", "app.py"'),),
        engines=BOTH,
    ),
    Container(
        # The same below a shell, which prints what happened and reports 132 itself.
        name="newer-processor-below-a-shell",
        code="ILLEGAL_INSTRUCTION",
        files={**APP, "server": ILLEGAL, "start.sh": "./server --warm-up || exit $?\nexec python app.py\n"},
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"(?i)illegal instruction|132",
        remedy=(Edit("start.sh", "./server --warm-up || exit $?\n", ""),),
    ),
)

ENDED_AT_ONCE = (
    Container(
        # A script that starts the server in the background, and ends.
        name="server-in-the-background",
        code="EXITED_CLEANLY",
        files={
            "app.py": FLASK,
            "start.sh": 'echo "starting"\ngunicorn --bind 0.0.0.0:8080 app:app &\necho "started"\n',
        },
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"code 0",
        remedy=(Edit("start.sh", "app:app &", "--threads 4 app:app"),),
        engines=BOTH,
    ),
    Container(
        name="gunicorn-as-a-daemon",
        code="EXITED_CLEANLY",
        files={"app.py": FLASK},
        dockerfile=GUNICORN.replace('"--threads", "4"', '"--daemon"'),
        evidence=r"code 0",
        remedy=(Edit("Dockerfile", '"--daemon"', '"--threads", "4"'),),
    ),
    Container(
        # The training script is what the image starts; the server lies beside it.
        name="training-script",
        code="EXITED_CLEANLY",
        files={**APP, "train.py": 'for epoch in range(3):\n    print(f"epoch {epoch} loss {1 / (epoch + 1):.2f}")\n'},
        dockerfile=PYTHON.replace("app.py", "train.py"),
        evidence=r"code 0",
        remedy=(Edit("Dockerfile", "train.py", "app.py"),),
    ),
    Container(
        # It ends with 3 and without a word: nothing else can be said.
        name="ends-without-a-word",
        code="CRASHES_AT_START",
        also=("NO_LOGS",),
        files={**APP, "server": ends_with(3)},
        dockerfile='COPY . .\nCMD ["./server"]\n',
        evidence=r"code 3",
        remedy=(Edit("Dockerfile", '"./server"', '"python", "app.py"'),),
        engines=BOTH,
    ),
    Container(
        # A reason of its own that no rule knows: the line that tells it must be among the evidence.
        name="licence-expired",
        code="CRASHES_AT_START",
        files={
            **APP,
            "start.sh": "echo loading configuration\necho 'FATAL licence check failed: key expired' >&2\n"
            "echo bye\nexit 4\n",
        },
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"licence check failed: key expired",
        remedy=(Edit("Dockerfile", '"sh", "start.sh"', '"python", "app.py"'),),
    ),
    Container(
        # 137, as with too little memory; but no memory was used.
        name="kills-itself",
        code="CRASHES_AT_START",
        files={**APP, "start.sh": "echo watchdog: giving up\nkill -9 $$\n"},
        dockerfile='COPY . .\nCMD ["sh", "start.sh"]\n',
        evidence=r"watchdog: giving up|signal 9",
        remedy=(Edit("Dockerfile", '"sh", "start.sh"', '"python", "app.py"'),),
        engines=BOTH,
    ),
)

CASES = (*COMMANDS, *ENTRYPOINTS, *MACHINES, *ENDED_AT_ONCE)
