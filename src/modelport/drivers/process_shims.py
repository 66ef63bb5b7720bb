"""Starting and ending the shims of the process driver.

Functions block for as long as a process takes to start or a disk to answer; call them in a thread.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

import modelport
from modelport.core.errors import EngineUnreachable, ReplicaCannotStart
from modelport.drivers import process_folder
from modelport.drivers.process_command import INHERITED
from modelport.drivers.process_shim import GRACE

# Names the folder of the replica in the environment of all its processes: how those are found whose shim was killed.
MARKER = "MODELPORT_REPLICA"

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from modelport.drivers.process_shim import main;"
    " main(sys.argv[2], int(sys.argv[3]))"
)
_START_DEADLINE_S = 30.0
_END_DEADLINE_S = 5.0


def free_port(taken: Collection[int]) -> int:
    """Return a port of loopback on which nothing listens and that is not `taken`."""
    while True:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in taken:
            return port


def start_shim(folder: Path, lock: int, environ: Mapping[str, str]) -> None:
    """Start the shim and hand it the lock, so that there is no moment at which nobody holds it.

    Returns once the program was executed, or could not be: the folder says which.
    """
    root = str(Path(modelport.__file__).parents[1])
    try:
        shim = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, root, str(folder), str(lock)],
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in environ.items() if name in INHERITED},
            cwd="/",
            start_new_session=True,
            timeout=_START_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineUnreachable(
            f"The shim of replica `{folder.name}` did not start within {_START_DEADLINE_S:g} s",
            hint="Look at the load of this machine",
        ) from error
    except OSError as error:
        raise EngineUnreachable(
            f"The shim of replica `{folder.name}` cannot be started: {error.strerror}",
            hint="Look at the limits on processes and memory of this machine",
        ) from error
    finally:
        os.close(lock)
    if process_folder.read_shim_pid(folder) is None and process_folder.read_replica(folder) is None:
        said = shim.stdout.decode(errors="replace").strip().splitlines()
        raise ReplicaCannotStart(
            f"The shim of replica `{folder.name}` failed: {said[-1] if said else 'it said nothing'}",
            hint="Look at the space and the permissions of the data directory",
        )


def remove(folder: Path) -> bool:
    """Remove the replica unless its shim lives; return whether it is gone."""
    try:
        lock = process_folder.try_lock(folder)
    except (FileNotFoundError, NotADirectoryError):
        return True
    if lock is None:
        return False
    try:
        if not process_folder.has_ended(folder):
            _end_marked(folder)
        process_folder.discard(folder)
    finally:
        os.close(lock)
    return True


def tell_to_end(folder: Path, grace_s: float) -> bool:
    """Tell the shim the grace, then SIGTERM; False when it is not up yet."""
    temporary = folder / f".{GRACE}"
    with suppress(OSError):  # a full disk: the shim has a grace of its own
        temporary.write_text(str(grace_s))
        temporary.replace(folder / GRACE)
    return signal_shim(folder, signal.SIGTERM)


def signal_shim(folder: Path, number: signal.Signals) -> bool:
    """Signal the shim and never another process; False when there is none."""
    pid = process_folder.read_shim_pid(folder)
    if pid is None:
        return False
    try:
        if sys.platform != "linux":
            os.kill(pid, number)
            return True
        descriptor = os.pidfd_open(pid)
        try:
            # Held now, so the shim lives now, so the number is still its own, so this descriptor is of the shim.
            if process_folder.is_held(folder):
                signal.pidfd_send_signal(descriptor, number)
                return True
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        pass
    return False


def _end_marked(folder: Path) -> None:
    """End what a shim that was killed left behind, told by the marker in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(folder):
                process.kill()  # psutil compares the start time first: a reused number is not hit
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    psutil.wait_procs(found, timeout=_END_DEADLINE_S)
