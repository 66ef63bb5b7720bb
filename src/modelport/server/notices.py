"""What the server's processes say on stderr: one line for each event."""

from __future__ import annotations

import os
import sys

from modelport.core.errors import Error


def notice(text: str, program: str = "modelport-server") -> None:
    """Write a line in one piece: several processes share stderr."""
    sys.stderr.write(f"{program}[{os.getpid()}]: {text}\n")
    sys.stderr.flush()


def complaint(error: Error) -> str:
    """Return an error as the command line shows it: all that is wrong, and below it what to do."""
    lines = [f"error: {one.field}: {one.description}\n" for one in error.violations] or [f"error: {error.message}\n"]
    return "".join(lines) + (f"\nhint: {error.hint}\n" if error.hint else "")
