"""The shim: the parent of one replica of the process driver, outliving the control plane.

It holds the lock of the replica's folder for as long as it lives, which is how the driver knows that the replica
lives; runs the program in a session of its own, with its output in rotating log files; and, when the program ends or
the shim is told to end it, ends every descendant and writes down how the program ended.

It imports the standard library and `log_writer` only, so that a replica starts at once.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from modelport.drivers.log_writer import LogWriter

RECORD, RUNNING, EXIT, GRACE = "record.json", "running.json", "exit.json", "grace"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHUNK_BYTES = 64 * 1024
# A pipe holds one chunk; more reads than a few mean a writer that escaped.
_DRAIN_READS = 16
_DEFAULT_GRACE_S = 10.0
# How soon a replica ends whose folder was removed: nobody can find it any more, so nobody could stop it.
_FOLDER_CHECK_S = 5.0
# A process that the kernel will not end (a hung disk) must not keep the shim from saying how the program ended.
_LEFTOVERS_DEADLINE_S = 5.0


def main(folder: str, lock: int) -> NoReturn:
    """Run the replica described by `folder`/record.json; `lock` is the open, locked descriptor of its lock file.

    Returns to the driver, by ending the first process and closing its standard output, once the program has been
    executed or could not be; whatever is printed before that is why the shim itself did not work.
    """
    os.set_inheritable(lock, False)
    if os.fork():
        os._exit(0)
    Shim(Path(folder)).run()
    os._exit(0)  # nothing is left to clean up, and a stop waits for the lock


class Shim:
    """One program, from exec to the record of its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
        self._log = LogWriter(
            Path(self._record["log_folder"]),
            self._record["attempt"],
            max_bytes=self._record["log_bytes"],
            max_files=self._record["log_files"],
        )
        self._selector = selectors.DefaultSelector()
        self._terminate = False
        self._kill_at: float | None = None
        self._check_folder_at = time.monotonic() + _FOLDER_CHECK_S

    def run(self) -> None:
        """Start the program, copy its output, wait for its end, clean up after it."""
        self._catch_signals()
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        pid, failure = self._start()
        self._write(RUNNING, {"shim": os.getpid(), "pid": pid, "started_at": time.time()})
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)  # the driver sees the end of our output: we are up
        while not self._has_ended(pid):
            self._wait()
            self._end_when_told(pid)
        # The program is not yet reaped, so its process group cannot have become somebody else's.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        _end_children()
        self._drain()
        if failure:
            self._log.write("stderr", failure["message"].encode(errors="replace"))
        self._log.close()
        code = os.waitstatus_to_exitcode(status)
        end = {"code": code if code >= 0 else None, "signal": -code if code < 0 else None, "finished_at": time.time()}
        self._write(EXIT, end | (failure or {}))

    def _start(self) -> tuple[int, dict[str, Any] | None]:
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        failed_read, failed_write = os.pipe()
        shim = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_program(shim, out_write, err_write, failed_write)
        for descriptor in (out_write, err_write, failed_write):
            os.close(descriptor)
        for descriptor, stream in ((out_read, "stdout"), (err_read, "stderr")):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, stream)
        with os.fdopen(failed_read, "rb") as failed:  # closed by exec; else it says why there was none
            number = failed.read()
        failure = _start_failure(self._record["argv"][0], self._record["cwd"], int(number)) if number else None
        return pid, failure

    def _become_program(self, shim: int, out: int, err: int, failed: int) -> NoReturn:
        """Turn this process, a fork of the shim, into the program."""
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != shim:
                os._exit(1)  # the shim died before the line above
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(self._record["cwd"])
            os.execvpe(self._record["argv"][0], self._record["argv"], self._record["env"])
        except (OSError, ValueError) as error:
            reason = getattr(error, "errno", None) or errno.EINVAL
            os.write(failed, str(reason).encode())
            os._exit(_start_code(reason))
        finally:
            os._exit(126)

    def _catch_signals(self) -> None:
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(wake_read, selectors.EVENT_READ, None)

        def note(number: int, _frame: object) -> None:
            self._terminate = self._terminate or number == signal.SIGTERM

        signal.signal(signal.SIGTERM, note)
        signal.signal(signal.SIGCHLD, note)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _wait(self) -> None:
        """Copy output until a signal comes, the grace ends, or the folder is due to be looked for."""
        timeout = _FOLDER_CHECK_S
        if self._kill_at is not None:
            timeout = min(timeout, max(0.0, self._kill_at - time.monotonic()))
        for key, _ in self._selector.select(timeout):
            self._copy(key)

    def _copy(self, key: selectors.SelectorKey) -> bool:
        descriptor: int = key.fd
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if key.data is None:
            return bool(chunk)
        if chunk:
            self._log.feed(key.data, chunk)
        else:
            self._selector.unregister(descriptor)
            os.close(descriptor)
        return bool(chunk)

    def _drain(self) -> None:
        for key in [key for key in self._selector.get_map().values() if key.data]:
            for _ in range(_DRAIN_READS):
                if not self._copy(key):
                    break

    def _has_ended(self, pid: int) -> bool:
        """Reap orphans, and look whether the program is dead without reaping it."""
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == pid:
                return True
            os.waitpid(ended.si_pid, 0)
        return False

    def _end_when_told(self, pid: int) -> None:
        now = time.monotonic()
        if now >= self._check_folder_at:
            self._check_folder_at = now + _FOLDER_CHECK_S
            self._terminate = self._terminate or not self._folder.exists()
        if self._terminate:
            self._terminate = False
            try:
                grace_s = float((self._folder / GRACE).read_text())
            except (OSError, ValueError):
                grace_s = _DEFAULT_GRACE_S
            self._kill_at = min(self._kill_at or now + grace_s, now + grace_s)
            os.killpg(pid, signal.SIGTERM)
        if self._kill_at is not None and now >= self._kill_at:
            os.killpg(pid, signal.SIGKILL)
            self._kill_at = now + 1

    def _write(self, name: str, content: dict[str, Any]) -> None:
        temporary = self._folder / f".{name}"
        try:
            temporary.write_text(json.dumps(content))
            temporary.replace(self._folder / name)
        except OSError as error:
            if name == RUNNING:
                raise  # nobody could ever stop this replica
            self._log.write("stderr", f"modelport: `{name}` cannot be written: {error.strerror}".encode())


def _end_children() -> None:
    """End all descendants: as the subreaper, the shim becomes the parent of each whose own parent has ended."""
    deadline = time.monotonic() + _LEFTOVERS_DEADLINE_S
    while time.monotonic() < deadline:
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # ours and not reaped: the number cannot be another's
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return


def _children() -> list[int]:
    own = str(os.getpid()).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[1] == own:
            found.append(int(path.parent.name))
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _start_code(number: int) -> int:
    return 127 if number == errno.ENOENT else 126


def _start_failure(program: str, folder: str, number: int) -> dict[str, Any]:
    """Return what an engine would say of a program that cannot be executed, with the shell's exit codes."""
    if number == errno.ENOENT:
        why = "is not there, or the interpreter named in its first line is not" if "/" in program else "is not on PATH"
    elif number == errno.EACCES:
        why = "is not executable"
    elif number == errno.ENOEXEC:
        why = "is no program: it has no `#!` line"
    else:
        why = f"cannot be executed: {os.strerror(number)}"
    return {"code": _start_code(number), "signal": None, "message": f"`{program}` {why} (in `{folder}`)"}
