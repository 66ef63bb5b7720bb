"""What runs out, what is taken, what is forbidden, and ends that nothing explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelport.core.facts import HostFacts, ImageFacts, ReplicaFacts
from modelport.core.replicas import Exit
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import ArtifactTree, Evidence, Exchange, Phase, Prediction, Purpose, SpecFacts
from modelport.doctor.findings import Finding, Severity
from modelport.doctor.rules import RULES
from tests.doctor.dying import NOW, codes, ended, evidence, hanging, healthy, recorded

GIB = 1024**3
BOOTS = "[2026-05-04 12:00:00 +0000] [7] [INFO] Booting worker with pid: 9"
TIMEOUT = "[2026-05-04 12:00:30 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)"
KILLED = "[2026-05-04 12:00:31 +0000] [7] [ERROR] Worker (pid:8) was sent SIGKILL! Perhaps out of memory?"


def cause(of: Evidence) -> Finding:
    found = diagnose(of).cause
    assert found is not None
    return found


def memory(**more: Any) -> ReplicaFacts:
    return ReplicaFacts(NOW, memory_limit_bytes=GIB, **more)


def silent(path: str = "/health") -> tuple[Exchange, ...]:
    return (Exchange(NOW, f"http://10.0.0.7:8080{path}", None, "no answer within 10 s", 10.0, times=3),)


def raised(kind: str, *frames: str) -> str:
    places = [f'  File "/app/main.py", line 3, in main\n    {frame}' for frame in frames or ("run()",)]
    return "\n".join(["Traceback (most recent call last):", *places, kind])


LOST = (Prediction(Purpose.SAMPLE, 1, silent("/predict")[0]),)
CASES: list[tuple[Evidence, str]] = [
    # memory
    (ended("", 137, exits=(Exit(137, 9, oom_killed=True),)), "OUT_OF_MEMORY"),
    (ended("Killed", 137, facts=memory(oom_kills=1)), "OUT_OF_MEMORY"),
    (ended("loading", 137, facts=memory(memory_peak_bytes=GIB - 1000)), "OUT_OF_MEMORY"),
    (
        hanging(f"{KILLED}\n{BOOTS}", facts=memory(oom_kills=2), phase=Phase.HEALTH, listening_s=1.0, health=silent()),
        "OUT_OF_MEMORY",
    ),
    (hanging(f"{KILLED}\n{BOOTS}", phase=Phase.HEALTH, listening_s=1.0, health=silent()), "OUT_OF_MEMORY"),
    (
        evidence(phase=Phase.PREDICT, predictions=LOST, facts=memory(oom_kills=1), listening_s=1.0, healthy_s=1.1),
        "OUT_OF_MEMORY",
    ),
    (
        ended("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", 134),
        "OUT_OF_MEMORY",
    ),
    (
        ended('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n\tat Main.main(Main.java:5)', 1),
        "OUT_OF_MEMORY",
    ),
    (
        ended(raised("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array"), 1),
        "OUT_OF_MEMORY",
    ),
    # a bare 137 is no proof
    (ended("loading", 137, facts=memory(memory_peak_bytes=1000)), "CRASHES_AT_START"),
    (ended("loading", 137, facts=memory(memory_peak_bytes=GIB - 1000, reports_oom=True)), "CRASHES_AT_START"),
    (ended("loading", 137), "CRASHES_AT_START"),
    # shared memory
    (
        ended(
            raised("RuntimeError: DataLoader worker (pid 42) is killed by signal: Bus error. It is possible that"), 1
        ),
        "SHARED_MEMORY_TOO_SMALL",
    ),
    (ended("Bus error (core dumped)", 135, facts=memory(shared_memory_bytes=64 * 1024**2)), "SHARED_MEMORY_TOO_SMALL"),
    (ended(raised("OSError: [Errno 28] No space left on device: '/psm_f3a1'"), 1), "SHARED_MEMORY_TOO_SMALL"),
    (ended("", 135), "CRASHES_AT_START"),
    # disk, processor
    (ended(raised("OSError: [Errno 28] No space left on device: '/tmp/model.bin'"), 1), "NO_SPACE"),
    (
        ended("tar: model.bin: Wrote only 512 of 10240 bytes\ncp: error writing '/tmp/x': No space left on device", 2),
        "NO_SPACE",
    ),
    (ended("", 132), "ILLEGAL_INSTRUCTION"),
    (ended("Illegal instruction (core dumped)", 132), "ILLEGAL_INSTRUCTION"),
    # ports
    (ended(recorded("node-port80"), 1), "PRIVILEGED_PORT"),
    (ended(recorded("python-bind80"), 1), "PRIVILEGED_PORT"),
    (ended("nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)", 1), "PRIVILEGED_PORT"),
    (ended("2026/05/04 12:00:00 listen tcp :80: bind: permission denied", 1), "PRIVILEGED_PORT"),
    (
        ended("ERROR:    [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied", 3),
        "PRIVILEGED_PORT",
    ),
    (ended(raised("PermissionError: [Errno 13] Permission denied", "sock.bind(address)"), 1), "PRIVILEGED_PORT"),
    (
        ended(
            "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8080): address already in use",
            1,
        ),
        "ADDRESS_IN_USE",
    ),
    (
        ended(
            "[2026-05-04 12:00:00 +0000] [7] [ERROR] Connection in use: ('0.0.0.0', 8080)\n"
            "[2026-05-04 12:00:05 +0000] [7] [ERROR] Can't connect to ('0.0.0.0', 8080)",
            1,
        ),
        "ADDRESS_IN_USE",
    ),
    (
        ended(
            "Address already in use\nPort 8080 is in use by another program. Either identify and stop that program", 1
        ),
        "ADDRESS_IN_USE",
    ),
    (
        ended(
            "nginx: [emerg] bind() to 0.0.0.0:8080 failed (98: Address already in use)\n"
            "nginx: [emerg] still could not bind()",
            1,
        ),
        "ADDRESS_IN_USE",
    ),
    (
        ended("panic: listen tcp :8080: bind: address already in use\n\ngoroutine 1 [running]:\nmain.main()", 2),
        "ADDRESS_IN_USE",
    ),
    # time
    (
        hanging("\n".join([TIMEOUT, KILLED, BOOTS] * 3), phase=Phase.HEALTH, listening_s=1.0, health=silent()),
        "WORKER_TIMEOUT",
    ),
    (
        evidence(phase=Phase.PREDICT, predictions=LOST, listening_s=1.0, healthy_s=1.1, log=hanging(TIMEOUT).log),
        "WORKER_TIMEOUT",
    ),
    # GPUs
    (ended(raised("RuntimeError: Found no NVIDIA driver on your system. Please check"), 1), "GPU_NOT_REQUESTED"),
    (
        ended(raised("OSError: libcuda.so.1: cannot open shared object file: No such file or directory"), 1),
        "GPU_NOT_REQUESTED",
    ),
    (
        ended(
            raised(
                "RuntimeError: Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False"
            ),
            1,
        ),
        "GPU_NOT_REQUESTED",
    ),
    (
        ended(raised("AssertionError: Torch not compiled with CUDA enabled"), 1, spec=SpecFacts(accelerators=1)),
        "GPU_UNAVAILABLE",
    ),
    (
        evidence(
            error='could not select device driver "" with capabilities: [[gpu]]',
            error_reason="REPLICA_CANNOT_START",
            spec=SpecFacts(accelerators=1),
        ),
        "GPU_UNAVAILABLE",
    ),
    (
        ended(raised("RuntimeError: CUDA error: no kernel image is available for execution on the device"), 1),
        "GPU_UNAVAILABLE",
    ),
    (
        ended(raised("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0)"), 1),
        "GPU_OUT_OF_MEMORY",
    ),
    # surroundings
    (ended(raised("OSError: [Errno 30] Read-only file system: '/mnt/models/cache'"), 1), "READ_ONLY_FILE_SYSTEM"),
    (
        ended('nginx: [emerg] mkdir() "/var/cache/nginx/client_temp" failed (30: Read-only file system)', 1),
        "READ_ONLY_FILE_SYSTEM",
    ),
    (ended("mkdir: cannot create directory ‘/mnt/models/x’: Read-only file system", 1), "READ_ONLY_FILE_SYSTEM"),
    (
        ended('nginx: [emerg] chown("/var/cache/nginx/client_temp", 101) failed (1: Operation not permitted)', 1),
        "PERMISSION_DENIED",
    ),
    (ended("mkdir: cannot create directory ‘/app/data’: Permission denied", 1), "PERMISSION_DENIED"),
    (ended("/start.sh: 2: cannot create /app/log.txt: Permission denied", 2), "PERMISSION_DENIED"),
    (ended("curl: (6) Could not resolve host: models.example", 6), "NO_EGRESS"),
    (
        hanging(
            "WARNING:urllib3.connectionpool:Retrying (Retry(total=1)) after connection broken by 'NameResolutionError("
            "\"Failed to resolve 'huggingface.co' ([Errno -3] Temporary failure in name resolution)\")'"
        ),
        "NO_EGRESS",
    ),
    # nothing explains it
    (ended("done", 0), "EXITED_CLEANLY"),
    (ended("", 0), "EXITED_CLEANLY"),
    (ended("", 1), "CRASHES_AT_START"),
    (ended("loading\nError: bad luck with the weights", 3), "CRASHES_AT_START"),
    (ended("", 139), "CRASHES_AT_START"),
]


@pytest.mark.parametrize(("case", "wanted"), CASES)
def test_the_cause_is_named(case: Evidence, wanted: str) -> None:
    found = cause(case)
    assert found.code == wanted
    assert found.evidence


@pytest.mark.parametrize(("case", "wanted"), CASES)
def test_a_dropped_fact_never_gives_another_cause(case: Evidence, wanted: str) -> None:
    for poorer in (
        replace(case, facts=None),
        replace(case, image=None),
        replace(case, host=HostFacts()),
        replace(case, log=()),
        replace(case, health=()),
        replace(case, error=""),
        replace(case, log=case.log[:-1]),
    ):
        first = diagnose(poorer).cause
        allowed = {wanted, "CRASHES_AT_START", "NEVER_LISTENS", "WORKER_TIMEOUT", "HEALTH_TIMES_OUT"}
        allowed |= {"HEALTHY_BUT_CANNOT_PREDICT", "PREDICT_FAILS", "PREDICT_TIMES_OUT"}
        assert first is None or first.code in allowed


@pytest.mark.parametrize(("case", "wanted"), CASES)
def test_a_server_that_works_may_say_all_of_this(case: Evidence, wanted: str) -> None:
    assert codes(healthy("\n".join(line.text for line in case.log))) == []


def test_a_larger_machine_type_is_the_patch() -> None:
    spec = SpecFacts(machine_type="n1-standard-2")
    found = cause(ended("", 137, exits=(Exit(137, 9, oom_killed=True),), spec=spec))
    assert found.remedy.patch == (("replace", "/machineType", "n1-standard-4"),)


def test_an_end_without_a_word_advises_how_to_get_some() -> None:
    found = diagnose(ended("", 1)).findings
    assert [(one.code, one.severity) for one in found] == [
        ("CRASHES_AT_START", Severity.ERROR),
        ("NO_LOGS", Severity.ADVICE),
    ]


def test_the_fallback_shows_the_most_telling_lines() -> None:
    found = cause(ended("loading\nError: bad luck with the weights\nbye", 3))
    assert "log: Error: bad luck with the weights" in found.evidence


def test_a_cache_that_cannot_be_written_is_sent_elsewhere() -> None:
    found = cause(ended(raised("PermissionError: [Errno 13] Permission denied: '/.cache/huggingface'"), 1))
    assert found.remedy.patch == (("add", "/container/env/-", {"name": "HF_HOME", "value": "/tmp/huggingface"}),)


def test_a_variable_of_the_spec_is_written_as_it_is_expanded() -> None:
    spec = SpecFacts(args=("--port", "$PORT"), written_command=("--port", "$PORT"))
    found = cause(ended(recorded("click-variable"), 2, spec=spec))
    assert found.remedy.patch == (("replace", "/container/args/1", "$(PORT)"),)


def test_an_argument_that_is_not_known_is_removed() -> None:
    spec = SpecFacts(args=("--model", "x", "--swap-space=16"))
    found = cause(ended(recorded("argparse-unrecognized"), 2, spec=spec))
    assert found.remedy.patch == (("remove", "/container/args/2", None),)


TREE = ArtifactTree("gs://bucket/iris", "/mnt/models", (("export/model.pkl", 5), ("readme.md", 2)), 2, 7)


@pytest.mark.parametrize(
    ("path", "storage_uri", "said"),
    [
        ("/mnt/models/model.pkl", "/mnt/models", "gs://bucket/iris/export"),
        ("/app/model.pkl", "/mnt/models", 'os.environ["AIP_STORAGE_URI"]'),
        ("/mnt/models/other.pkl", "/mnt/models", "Upload `other.pkl`"),
        ("/app/other.pkl", "/mnt/models", "COPY other.pkl /app/other.pkl"),
    ],
)
def test_a_missing_file_is_looked_for_among_the_artifacts(path: str, storage_uri: str, said: str) -> None:
    spec = SpecFacts(storage_uri=storage_uri, deployment_uri="gs://bucket/iris")
    text = raised(f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'")
    found = cause(ended(text, 1, spec=spec, artifacts=TREE))
    assert found.code == "MODEL_FILE_MISSING"
    assert said in found.remedy.text


def test_a_system_library_names_its_package() -> None:
    text = raised("ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
    assert "libgl1" in cause(ended(text, 1)).remedy.text
    text = (
        "/app/server: error while loading shared libraries: libssl.so.3: cannot open shared object file: No such file"
    )
    assert "libssl3" in cause(ended(text, 127)).remedy.text


def test_a_module_names_its_package_and_its_own_file_the_working_folder() -> None:
    assert "scikit-learn" in cause(ended(raised("ModuleNotFoundError: No module named 'sklearn'"), 1)).remedy.text
    image = ImageFacts("iris:1", working_dir="/srv/app")
    own = cause(ended(raised("ModuleNotFoundError: No module named 'my_features'"), 1, image=image))
    assert "/srv/app" in own.remedy.text


def test_versions_that_the_log_tells_are_pinned() -> None:
    assert "scikit-learn==1.2.2" in cause(ended(recorded("sklearn-skew"), 1)).remedy.text


def test_every_rule_has_its_page() -> None:
    for rule in RULES:
        for section in ("Symptom", "Cause", "Proof", "Fix"):
            assert f"{section}: " in rule.text, (rule.code, section)
