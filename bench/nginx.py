"""The trivial fast upstream: nginx, which takes a POST body of any of the sizes and answers with as much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import tool
from bench.processes import child, free_port, listening

KB = 1024
SIZES = {"1 KB": KB, "100 KB": 100 * KB, "10 MB": 10 * KB * KB}

# The small body arrives with the head, so `return` answers at once. The others must be taken in whole before the answer
# starts: `mirror` makes nginx read them, and a static file, which nginx gives only to GET, is what 405 leads to.
_CONFIG = """\
{user}worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  default_type application/json;
  keepalive_requests 1000000000;
  client_header_buffer_size 8k;
  client_max_body_size {largest};
  client_body_buffer_size {largest};
  client_body_temp_path body;
  proxy_temp_path unused; fastcgi_temp_path unused; uwsgi_temp_path unused; scgi_temp_path unused;
  server {{
    listen 127.0.0.1:{port} backlog=512;
    root answers;
    location = /nothing {{ internal; return 204; }}
    location = /{smallest} {{ return 200 "{answer}"; }}
    location / {{ mirror /nothing; error_page 405 =200 /answer$uri; }}
    location /answer/ {{ internal; alias answers/; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Run nginx and yield its port; the body's size in bytes is the path."""
    port = free_port()
    answers = folder / "answers"
    answers.mkdir()
    for size in SIZES.values():
        (answers / str(size)).write_bytes(b"x" * size)
    text = _CONFIG.format(
        user="user root;\n" if os.getuid() == 0 else "",  # the folder is closed to the user that nginx would change to
        port=port,
        largest=max(SIZES.values()) + KB,
        smallest=min(SIZES.values()),
        answer="x" * min(SIZES.values()),
    )
    (folder / "nginx.conf").write_text(text)
    command = [tool("nginx"), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]
    with child(command, folder=folder):
        listening(port)
        yield port
