"""Rules for what runs out or is not there: memory, shared memory, disk, instructions of the processor, time."""

from __future__ import annotations

import re

from modelport.core.machine_types import MACHINE_TYPES
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import died, failed, fatal, hangs, proof, raised_by, said, said_times
from modelport.doctor.log_text import matching, quoted
from modelport.doctor.rule import Found, Rule, rule
from modelport.doctor.trials import lines_with

_SIGILL, _SIGABRT, _SIGBUS, _SIGKILL = 4, 6, 7, 9
# V8 prints its native stack after what happened.
_AFTER_ABORT = 40
_MIB = 1024**2
_SMALL_SHARED_MEMORY = 64 * _MIB
_NEARLY_ALL = 0.9
# gunicorn 19.4 to 23; its own timeout kills in the same way, and then it says that as well.
_WORKER_KILLED = r"Worker \(pid:(?P<pid>\d+)\) was sent SIGKILL! Perhaps out of memory\?"
_WORKER_TIMEOUT = r"WORKER TIMEOUT \(pid:(?P<pid>\d+)\)"


@rule("OUT_OF_MEMORY")
def out_of_memory(evidence: Evidence) -> Found | None:
    """The container needs more memory than it has.

    Symptom: exit code 137, `Killed`, `MemoryError`, `std::bad_alloc`, `JavaScript heap out of memory`, `Worker (pid:7)
    was sent SIGKILL! Perhaps out of memory?`; often no log line at all. "Model requires more memory than allowed" on
    the original service, "INTERNAL" or "Model server exited unexpectedly" on Vertex AI, `OOMKilled` in Kubernetes.

    Cause: the model, times the number of worker processes that each load it, is larger than the memory of the machine
    type.

    Proof: the kernel's kill as the engine or the memory cgroup counts it, or use close to the limit and a SIGKILL that
    nobody sent; or the program's own last words. A bare exit code 137 is no proof.

    Fix: a larger `machineType`; one worker, `gunicorn --workers 1`, or `--preload` so that workers share the model;
    a smaller or quantised model.
    """
    seen = _killed_for_memory(evidence)
    words = ""
    if not seen:
        found = raised_by(
            evidence,
            r"^(?:_ArrayMemoryError|MemoryError)\b",  # CPython and numpy
            r"^OutOfMemoryError: (?:Java heap space|GC overhead|Metaspace|unable to create)",  # java
            r"^(?:RuntimeError|OSError): .*(?:DefaultCPUAllocator: can't allocate memory|\[Errno 12\] Cannot allocate)",
            r"^fatal error: runtime: out of memory",  # Go
        )
        match = (
            None
            if found
            else said(
                evidence,
                r"FATAL ERROR: .*JavaScript heap out of memory",  # V8
                r"what\(\): +std::bad_alloc",  # libstdc++
                r"^(?:fatal error: )?runtime: out of memory",
                within=_AFTER_ABORT if evidence.exit and evidence.exit.signal == _SIGABRT else 5,
            )
        )
        words = str(found[0]) if found else match.string if match else ""
        if not words:
            return None
    limit = (evidence.facts.memory_limit_bytes if evidence.facts else None) or evidence.spec.memory_bytes
    return Found(
        summary="The container needs more memory than it has" + (f" ({_size(limit)})." if limit else "."),
        cause="What it loads, times the number of its worker processes, exceeds the limit of its machine type.",
        remedy=_more_memory(evidence),
        evidence=(*seen, *proof(evidence, words)),
    )


@rule("SHARED_MEMORY_TOO_SMALL")
def shared_memory_too_small(evidence: Evidence) -> Found | None:
    """The container uses more shared memory than it has.

    Symptom: `Bus error (core dumped)`, exit code 135; `DataLoader worker (pid 42) is killed by signal: Bus error. It is
    possible that dataloader's workers are out of shared memory`, `Error while creating shared memory segment
    /dev/shm/nccl-…`, `No space left on device: '/dev/shm/…'`.

    Cause: engines give a container 64 MB in /dev/shm. Processes that hand tensors to one another through it, such as
    PyTorch's data loaders, NCCL and Triton's Python backends, need more; writing beyond the end raises SIGBUS.

    Proof: the message names shared memory, or the program ended by SIGBUS and /dev/shm has 64 MB or less.

    Fix: `DataLoader(num_workers=0)`; `torch.multiprocessing.set_sharing_strategy("file_system")`;
    `NCCL_SHM_DISABLE=1`; Triton's `--backend-config=python,shm-default-byte-size=1048576`.
    """
    size = evidence.facts.shared_memory_bytes if evidence.facts else None
    patterns = (
        r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (?:is|are) killed by signal: Bus error",
        r"out of shared memory",
        r"(?:No space left on device|unable to (?:write|open|allocate)|failed).*/dev/shm/",
        r"/dev/shm/.*(?:No space left on device|failed|error)",
        r"No space left on device: '/?(?:dev/shm/|psm_|torch_)",
    )
    match = said(evidence, *patterns) or (found[1] if (found := raised_by(evidence, *patterns)) else None)
    ended = died(evidence) and evidence.exit is not None and evidence.exit.signal == _SIGBUS
    if match is None and not (ended and size is not None and size <= _SMALL_SHARED_MEMORY):
        return None
    return Found(
        summary="The container needs more shared memory than its /dev/shm has"
        + (f" ({_size(size)})." if size is not None else "."),
        cause="Its processes hand data to one another through /dev/shm, and writing beyond its end is a bus error.",
        remedy="Load without helper processes, `DataLoader(num_workers=0)`, or write"
        ' `torch.multiprocessing.set_sharing_strategy("file_system")`',
        evidence=(
            *((f"/dev/shm: {_size(size)}",) if size is not None else ()),
            *proof(evidence, match.string if match else ""),
        ),
    )


@rule("ILLEGAL_INSTRUCTION")
def illegal_instruction(evidence: Evidence) -> Found | None:
    """The program uses instructions that this machine's processor does not have.

    Symptom: `Illegal instruction (core dumped)`, exit code 132, mostly at an import of TensorFlow, PyTorch or a library
    that was compiled with `-march=native`; no traceback. `NumPy was built with baseline optimizations: (X86_V2) but
    your machine doesn't support`.

    Cause: the binary was built for a processor with AVX, AVX2 or AVX-512, and this one, or the virtual machine, lacks
    it.

    Proof: the program was ended by SIGILL.

    Fix: install a build without these instructions, for instance by compiling with `-march=x86-64` instead of
    `-march=native`; or use a machine whose processor has them (`grep -o 'avx[^ ]*' /proc/cpuinfo | sort -u`).
    """
    found = raised_by(evidence, r"^RuntimeError: NumPy was built with baseline optimizations")
    ended = died(evidence) and evidence.exit is not None and evidence.exit.signal == _SIGILL
    if not ended and found is None:
        return None
    match = said(evidence, r"Illegal instruction", r"compiled to use .*(?:AVX|SSE)", within=12)
    return Found(
        summary="The program uses instructions that this machine's processor does not have.",
        cause="It, or a library in it, was compiled for a newer processor, with AVX or AVX-512.",
        remedy="Install a build for any x86-64 processor, or run it on a newer machine",
        evidence=proof(evidence, str(found[0]) if found else match.string if match else ""),
    )


@rule("NO_SPACE")
def no_space(evidence: Evidence) -> Found | None:
    """A disk is full.

    Symptom: `no space left on device`, `OSError: [Errno 28] No space left on device`, `ENOSPC`, "The artifact cache
    needs N bytes more".

    Cause: an image, the artifacts, or what the container writes while it starts, such as an unpacked or downloaded
    model, does not fit.

    Proof: the engine's or the cache's own report, or the program's last words; free disk as the host tells it.

    Fix: free space with `docker system prune` and by deleting versions that nobody uses; move `--data-dir` to a larger
    disk; load the model from AIP_STORAGE_URI instead of unpacking a copy of it.
    """
    # An engine that runs out of space while it unpacks says so within a general failure.
    full = evidence.error_reason == "ENGINE_UNREACHABLE" and "no space left on device" in evidence.error
    if evidence.error_reason == "NO_SPACE" or full:
        return _disk_full(evidence, (f"reported: {evidence.error[:300]}",), evidence.hint)
    found = raised_by(
        evidence,
        r"^OSError: \[Errno (?:28|122)\] ",
        r"^Error: ENOSPC: no space left on device",
        r"^IOException: No space left on device",
    )
    match = None if found else said(evidence, r": No space left on device$", r"no space left on device$", within=5)
    if found is None and match is None:
        return None
    return _disk_full(evidence, proof(evidence, str(found[0]) if found else match.string if match else ""), "")


@rule("WORKER_TIMEOUT")
def worker_timeout(evidence: Evidence) -> Found | None:
    """The server's own timeout kills its workers before they are done.

    Symptom: `[CRITICAL] WORKER TIMEOUT (pid:8)` again and again, then `Booting worker with pid: 9`; on SageMaker with
    `upstream prematurely closed connection`.

    Cause: gunicorn kills a worker that gives no sign of life for 30 s. Loading a model at import takes longer, and so
    may a prediction; the next worker begins anew and meets the same end.

    Proof: gunicorn says so, and nothing ever got healthy, or a prediction got no answer.

    Fix: `gunicorn --timeout 0 --preload main:app`; threads keep the sign of life apart from the work:
    `--worker-class gthread --threads 4`.
    """
    times = said_times(evidence, _WORKER_TIMEOUT)
    match = said(evidence, _WORKER_TIMEOUT, within=120)
    lost = evidence.phase in (Phase.PREDICT, Phase.RESPONSE, Phase.LOAD) and any(
        matching(lines_with(evidence, one), _WORKER_TIMEOUT)
        for one in evidence.predictions
        if one.exchange.status is None or one.exchange.status >= 500
    )
    starting = match is not None and (hangs(evidence) or (died(evidence) and not fatal(evidence)))
    if not times or evidence.passed or not (starting or lost):
        return None
    line = next((one.text for one in reversed(evidence.last_words) if re.search(_WORKER_TIMEOUT, one.text)), "")
    return Found(
        summary="gunicorn's own timeout kills its workers before they are done"
        + (f" ({times} times)." if times > 1 else "."),
        cause="It kills a worker that is silent for 30 s, or for its --timeout; "
        + ("a prediction takes longer." if lost else "loading takes longer."),
        remedy="Start it with `gunicorn --timeout 0`, and with `--preload` where the model is loaded at import",
        evidence=proof(evidence, line),
    )


def _killed_for_memory(evidence: Evidence) -> tuple[str, ...]:
    """Return what shows that the kernel killed a process of the replica for memory; empty where nothing does."""
    end, facts = evidence.exit, evidence.facts
    if evidence.passed:
        return ()
    if end is not None and end.oom_killed:
        return ("engine: killed for exceeding its memory limit",)
    killed = end is not None and end.signal == _SIGKILL
    kills = (facts.oom_kills if facts else None) or 0
    # A worker that dies may end its master in any way, or be replaced for ever.
    timed_out = said_times(evidence, _WORKER_TIMEOUT) > 0
    if kills and (killed or failed(evidence) or _lost_prediction(evidence)):
        return (f"memory cgroup: {kills} processes killed for memory",)
    worker = None if timed_out else said(evidence, _WORKER_KILLED)
    limit = facts.memory_limit_bytes if facts else None
    peak = facts.memory_peak_bytes if facts else None
    if facts is None or not limit or peak is None:
        return (quoted(worker.string),) if worker else ()
    if peak >= _NEARLY_ALL * limit and ((killed and not facts.reports_oom) or worker):
        return (f"memory: {_size(peak)} of {_size(limit)} in use at most",)
    return ()


def _lost_prediction(evidence: Evidence) -> bool:
    return any(one.exchange.status is None or one.exchange.status >= 500 for one in evidence.predictions)


def _more_memory(evidence: Evidence) -> Remedy:
    current = MACHINE_TYPES.get(evidence.spec.machine_type)
    larger = [
        machine
        for machine in MACHINE_TYPES.values()
        if current
        and machine.memory_bytes >= 2 * current.memory_bytes
        and machine.name.rpartition("-")[0] in (current.name.rpartition("-")[0], "n1-standard")
    ]
    workers = "or use fewer workers (`gunicorn --workers 1 --preload`)"
    if not larger:
        return Remedy(f"Take a larger machineType, {workers}")
    best = min(larger, key=lambda machine: (machine.memory_bytes, machine.cpus))
    return Remedy(
        f"Set machineType to `{best.name}` ({_size(best.memory_bytes)}), {workers}",
        (("replace", "/machineType", best.name),),
    )


def _disk_full(evidence: Evidence, lines: tuple[str, ...], hint: str) -> Found:
    free = evidence.host.disk_free_bytes
    return Found(
        summary="A disk is full.",
        cause="There is not enough room for the image, the artifacts, or what the container writes.",
        remedy=hint or "Free space with `docker system prune`, delete unused versions, or use a larger disk",
        evidence=(*lines, *((f"host: {_size(free)} of disk free",) if free is not None else ())),
    )


def _size(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / _MIB:.0f} MiB"


RULES: tuple[Rule, ...] = (
    shared_memory_too_small,
    no_space,
    out_of_memory,
    illegal_instruction,
    worker_timeout,
)
