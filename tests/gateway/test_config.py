"""The configuration: what HAProxy itself says of it, and what must not get into it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from modelport.core.errors import Code, InvalidArgument
from modelport.gateway import answers
from modelport.gateway.answers import Answer
from modelport.gateway.config import CONFIG_FILE, MAP_FILES, GatewayConfig, config_digest, render
from modelport.gateway.supervise import find_binary

ALL_ANSWERS = [
    *(value for value in vars(answers).values() if isinstance(value, Answer)),
    *answers.CONTROL_PLANE_DOWN,
    answers.not_taken(1000),
]


def test_haproxy_takes_the_configuration_without_a_warning(config: GatewayConfig) -> None:
    config.directory.mkdir()
    for name in (*MAP_FILES, CONFIG_FILE):
        (config.directory / name).write_text(render(config) if name == CONFIG_FILE else "")
    # -dW: a warning is an error.
    checked = subprocess.run(
        [find_binary(config.binary), "-c", "-dW", "-f", CONFIG_FILE],
        cwd=config.directory,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_digest_tells_configurations_apart(config: GatewayConfig) -> None:
    others = [
        replace(config, listen="127.0.0.1:1"),
        replace(config, slots=9),
        replace(config, threads=2),
        replace(config, queue_timeout_s=31),
        replace(config, api_socket=Path("/other.sock")),
    ]
    assert len({config_digest(one) for one in (config, *others)}) == 1 + len(others)
    assert f"description {config_digest(config)}\n" in render(config)
    # The folder it runs in and the program that runs it change nothing for what it serves.
    assert config_digest(replace(config, directory=Path("/elsewhere"), binary="/bin/other")) == config_digest(config)


@pytest.mark.parametrize("path", ["/tmp/a'b.sock", "/tmp/a\nb.sock", "/tmp/a\x00.sock", "/tmp/a\x7f.sock"])
def test_a_path_that_could_leave_its_quotes_is_refused(config: GatewayConfig, path: str) -> None:
    with pytest.raises(InvalidArgument, match="quote or a control character"):
        render(replace(config, api_socket=Path(path)))


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8470", ("::1", 8470)),
        ("*:1", ("*", 1)),
        ("localhost:2", ("localhost", 2)),
    ],
)
def test_the_address_is_read_from_the_setting(config: GatewayConfig, listen: str, address: tuple[str, int]) -> None:
    assert replace(config, listen=listen).address == address


@pytest.mark.parametrize("answer", ALL_ANSWERS, ids=lambda answer: f"{answer.http_status}-{answer.reason[:20]}")
def test_an_answer_is_googles_envelope(answer: Answer) -> None:
    error = json.loads(answer.text())["error"]
    assert error["code"] == answer.http_status
    assert Code[error["status"]]
    if not answer.reason.startswith("%["):
        assert re.fullmatch(r"[A-Z_]+", answer.reason)
    assert "'" not in answer.text()


def test_reasons_are_not_shared() -> None:
    reasons = [answer.reason for answer in ALL_ANSWERS if answer not in answers.CONTROL_PLANE_DOWN]
    assert len(set(reasons)) == len(reasons)
