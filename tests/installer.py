"""uv as modelport starts it: with its own configuration and that of pip."""

import os
import subprocess

from modelport.drivers.package_index import uv_variables
from modelport.drivers.python_environment import find_uv


def uv(*arguments: str) -> str:
    """Run it; return how its words end where it fails, and nothing where it succeeds."""
    command = [str(find_uv()), "--quiet", *arguments]
    done = subprocess.run(command, env={**os.environ, **uv_variables(os.environ)}, capture_output=True, text=True)
    return (done.stderr[-2000:] or f"exit code {done.returncode}") if done.returncode else ""
