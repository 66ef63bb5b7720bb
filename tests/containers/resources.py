"""Containers that want what they do not get: memory, space, rights, a network, a GPU."""

from tests.containers.container import DOCKER, PODMAN, PYTHON, Container, Edit, Respec
from tests.containers.servers import FLASK, FLASK_RUN, flask

BOTH = (PODMAN, DOCKER)
SMALL = {"machineType": "n1-highcpu-2"}  # 1.8 GiB
LARGE = {"machineType": "n1-standard-2"}  # 7.5 GiB


def prints(*lines: str, code: int = 1) -> str:
    """Return a program that ends as others do: with these lines on stderr, and this code."""
    return "import sys\n\n" + "".join(f"print({line!r}, file=sys.stderr)\n" for line in lines) + f"sys.exit({code})\n"


MEMORY = (
    Container(
        name="model-larger-than-memory",
        code="OUT_OF_MEMORY",
        files={
            "app.py": 'print("loading weights", flush=True)\n'
            + "weights = [b'x' * (64 << 20) for _ in range(36)]\n"
            + FLASK
            + FLASK_RUN
        },
        version=SMALL,
        evidence=r"(?i)oom|memory",
        remedy=Respec(LARGE),
        engines=BOTH,
    ),
    Container(
        # The main process lives on: gunicorn boots one worker after the other, and each is killed.
        name="gunicorn-workers-are-killed",
        code="OUT_OF_MEMORY",
        files={"app.py": "weights = [b'x' * (64 << 20) for _ in range(36)]\n" + FLASK},
        dockerfile='COPY . .\nCMD ["gunicorn", "--bind", "0.0.0.0:8080", "app:app"]\n',
        version=SMALL,
        evidence=r"(?i)oom|out of memory|memory",
        remedy=Respec(LARGE),
        engines=BOTH,
    ),
    Container(
        # Shared memory of 64 MB, and more put into it: what data loaders with many workers do.
        name="shared-memory-too-small",
        code="SHARED_MEMORY_TOO_SMALL",
        files={
            "app.py": "import mmap\nimport os\n\n"
            + 'segment = os.open("/dev/shm/batch", os.O_RDWR | os.O_CREAT)\n'
            + "os.ftruncate(segment, 96 << 20)\n"
            + "batch = mmap.mmap(segment, 96 << 20)\nbatch.write(bytes(96 << 20))\n"
            + FLASK
            + FLASK_RUN
        },
        evidence=r"135|signal 7|SIGBUS|/dev/shm",
        remedy=(Edit("app.py", "batch.write(bytes(96 << 20))", "batch.write(bytes(8 << 20))"),),
        engines=BOTH,
    ),
    Container(
        name="disk-full",
        code="NO_SPACE",
        files={
            "app.py": 'with open("/dev/shm/cache.bin", "wb") as cache:\n    cache.write(bytes(96 << 20))\n'
            + FLASK
            + FLASK_RUN
        },
        evidence=r"No space left on device",
        remedy=(Edit("app.py", "96 << 20", "8 << 20"),),
    ),
)

RIGHTS = (
    Container(
        # The model's folder is mounted read-only; this program wants to unpack beside it.
        name="writes-beside-the-model",
        code="READ_ONLY_FILE_SYSTEM",
        files={"app.py": flask(top='os.mkdir(os.path.join(os.environ["AIP_STORAGE_URI"], "unpacked"))\n') + FLASK_RUN},
        version={"deploymentUri": "{model}"},
        model={"model.bin": b"weights"},
        evidence=r"Read-only file system",
        remedy=(Edit("app.py", 'os.path.join(os.environ["AIP_STORAGE_URI"], "unpacked")', '"/tmp/unpacked"'),),
        engines=BOTH,
    ),
    Container(
        name="cache-folder-of-an-ordinary-user",
        code="PERMISSION_DENIED",
        files={"app.py": flask(top='os.makedirs("/app/.cache/tokenizer")\n') + FLASK_RUN},
        dockerfile=f"USER nobody\n{PYTHON}",
        evidence=r"Permission denied: '/app/\.cache'",
        remedy=(Edit("app.py", "/app/.cache/tokenizer", "/tmp/cache/tokenizer"),),
    ),
    Container(
        # Root without capabilities is no longer above file modes.
        name="model-of-another-user",
        code="PERMISSION_DENIED",
        files={"app.py": 'weights = open("weights.bin", "rb").read()\n' + FLASK + FLASK_RUN, "weights.bin": b"weights"},
        dockerfile='COPY . .\nRUN chmod 600 weights.bin && chown nobody weights.bin\nCMD ["python", "app.py"]\n',
        evidence=r"Permission denied: 'weights\.bin'",
        remedy=(Edit("Dockerfile", "600", "644"),),
    ),
    Container(
        # Weights are downloaded when the container starts, and there is no way out.
        name="downloads-without-a-network",
        code="NO_EGRESS",
        files={
            "app.py": "import urllib.request\n\n"
            + 'print("downloading weights", flush=True)\n'
            + 'urllib.request.urlopen("https://huggingface.co/gpt2/resolve/main/config.json", timeout=20).read()\n'
            + FLASK
            + FLASK_RUN
        },
        egress=False,
        evidence=r"(?i)name resolution|not known|unreachable|huggingface\.co",
        remedy=(
            Edit(
                "app.py",
                'urllib.request.urlopen("https://huggingface.co/gpt2/resolve/main/config.json", timeout=20).read()\n',
                "",
            ),
        ),
        engines=BOTH,
    ),
)

# No GPU here: these programs print what CUDA's libraries print, and end as they do.
GPUS = (
    Container(
        name="no-nvidia-driver",
        code="GPU_NOT_REQUESTED",
        files={
            "app.py": prints(
                "Traceback (most recent call last):",
                '  File "/app/app.py", line 7, in <module>',
                "    model = torch.load(path).cuda()",
                '  File "/usr/local/lib/python3.11/site-packages/torch/cuda/__init__.py", line 314, in _lazy_init',
                "    torch._C._cuda_init()",
                "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
                "installed a driver from http://www.nvidia.com/Download/index.aspx",
            ),
            "cpu.py": FLASK + FLASK_RUN,
        },
        evidence=r"Found no NVIDIA driver",
        remedy=(Edit("Dockerfile", "app.py", "cpu.py"),),
    ),
    Container(
        name="gpu-on-a-machine-without",
        code="GPU_UNAVAILABLE",
        files={"app.py": FLASK + FLASK_RUN},
        version={"acceleratorConfig": {"count": "1", "type": "NVIDIA_TESLA_T4"}, "machineType": "n1-standard-4"},
        evidence=r"(?i)gpu",
        remedy=Respec({"acceleratorConfig": None}),
        engines=BOTH,
    ),
    Container(
        name="cuda-out-of-memory",
        code="GPU_OUT_OF_MEMORY",
        files={
            "app.py": prints(
                "Traceback (most recent call last):",
                '  File "/app/app.py", line 9, in <module>',
                "    model.to('cuda')",
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
                "14.58 GiB of which 1.21 GiB is free.",
            ),
            "cpu.py": FLASK + FLASK_RUN,
        },
        evidence=r"CUDA out of memory",
        remedy=(Edit("Dockerfile", "app.py", "cpu.py"),),
    ),
)

CASES = (*MEMORY, *RIGHTS, *GPUS)
