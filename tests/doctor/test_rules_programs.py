"""Programs that end with words: each log is what a real program printed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelport.core.replicas import EnvVar, LogLine
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Phase, SpecFacts
from tests.doctor.dying import NOW, codes, ended, hanging, healthy, lines, recorded

RECORDED = [
    ("python-module-submodule", 1, "LIBRARY_VERSION_SKEW", "sklearn.ensemble.forest"),
    ("python-module", 1, "MODULE_MISSING", "torch"),
    ("python-own-module", 1, "MODULE_MISSING", "preprocessing"),
    ("gunicorn-module", 3, "MODULE_MISSING", "torch"),
    ("gunicorn-own-module", 3, "MODULE_MISSING", "nothere"),
    ("gunicorn-attribute", 4, "APPLICATION_NOT_FOUND", "nope"),
    ("gunicorn-syntax", 3, "SYNTAX_ERROR", "'(' was never closed"),
    ("gunicorn-pickle-main", 3, "PICKLE_MAIN_CLASS", "Model"),
    ("gunicorn-variable", 1, "VARIABLE_NOT_EXPANDED", "$PORT"),
    ("uvicorn-module", 1, "MODULE_MISSING", "torch"),
    ("uvicorn-own-module", 3, "MODULE_MISSING", "nothere"),
    ("uvicorn-own-module", 1, "MODULE_MISSING", "nothere"),
    ("uvicorn-attribute", 3, "APPLICATION_NOT_FOUND", "nope"),
    ("uvicorn-lifespan", 3, "MODEL_FILE_MISSING", "/model/model.pkl"),
    ("hypercorn-module", 0, "MODULE_MISSING", "torch"),
    ("waitress-module", 1, "MODULE_MISSING", "torch"),
    ("waitress-variable", 1, "VARIABLE_NOT_EXPANDED", "$PORT"),
    ("flask-module", 2, "MODULE_MISSING", "torch"),
    ("flask-own-module", 2, "MODULE_MISSING", "nothere"),
    ("python-syntax", 1, "SYNTAX_ERROR", "'(' was never closed"),
    ("python-stdin", 1, "READS_STANDARD_INPUT", "standard input"),
    ("python-input", 1, "READS_STANDARD_INPUT", "standard input"),
    ("python-pickle-main", 1, "PICKLE_MAIN_CLASS", "Model"),
    ("joblib-pickle-main", 1, "PICKLE_MAIN_CLASS", "Model"),
    ("argparse-required", 2, "BAD_ARGUMENTS", "--model"),
    ("argparse-unrecognized", 2, "BAD_ARGUMENTS", "--swap-space=16"),
    ("click-option", 2, "BAD_ARGUMENTS", "--foo"),
    ("typer-option", 2, "BAD_ARGUMENTS", "--foo"),
    ("click-variable", 2, "VARIABLE_NOT_EXPANDED", "$PORT"),
    ("int-variable", 1, "VARIABLE_NOT_EXPANDED", "$AIP_HTTP_PORT"),
    ("open-variable", 1, "VARIABLE_NOT_EXPANDED", "$AIP_STORAGE_URI"),
    ("python-memory", 1, "OUT_OF_MEMORY", "memory"),
    ("python-argv", 1, "BAD_ARGUMENTS", "argument"),
    ("python-file-missing", 1, "MODEL_FILE_MISSING", "/model/model.pkl"),
    ("python-chain", 1, "MODEL_FILE_MISSING", "/model/model.pkl"),
    ("python-lfs", 1, "MODEL_LOAD_FAILED", "invalid load key"),
    ("python-protocol", 1, "LIBRARY_VERSION_SKEW", "pickle protocol"),
    ("sklearn-skew", 1, "LIBRARY_VERSION_SKEW", "incompatible dtype"),
    ("python-library", 1, "SHARED_LIBRARY_MISSING", "libmysqlclient.so.21"),
    ("python-rich", 1, "MODULE_MISSING", "torchy"),
    ("python-sysexit", 1, "CRASHES_AT_START", "exit code 1"),
    ("python-key", 1, "ENVIRONMENT_VARIABLE_MISSING", "MODEL_NAME"),
    ("python-thread", 1, "CRASHES_AT_START", "bad config"),
    ("python-dns", 1, "NO_EGRESS", "reach"),
    ("python-permission", 1, "PERMISSION_DENIED", "/root/.cache"),
    ("python-m", 1, "MODULE_MISSING", "nothere"),
    ("python-no-file", 2, "COMMAND_NOT_FOUND", "/nofile.py"),
    ("node-module", 1, "MODULE_MISSING", "express"),
    ("node-esm-module", 1, "MODULE_MISSING", "express"),
    ("node-own-module", 1, "MODULE_MISSING", "./lib/local"),
    ("node-no-file", 1, "COMMAND_NOT_FOUND", "/app/missing.js"),
    ("node-syntax", 1, "SYNTAX_ERROR", "Unexpected token"),
    ("node-throw", 1, "CRASHES_AT_START", "boom: no model"),
    ("node-rejection", 1, "CRASHES_AT_START", "async boom"),
    ("node-in-use", 1, "ADDRESS_IN_USE", "39899"),
    ("node-file-missing", 1, "MODEL_FILE_MISSING", "/model/model.onnx"),
    ("node-heap", 134, "OUT_OF_MEMORY", "memory"),
    ("node-dns", 1, "NO_EGRESS", "model-store.invalid"),
    ("java-jar", 1, "COMMAND_NOT_FOUND", "nothere.jar"),
    ("java-class", 1, "MODULE_MISSING", "Foo"),
]


@pytest.mark.parametrize(("name", "code", "wanted", "named"), RECORDED)
def test_what_a_real_program_printed_gives_its_cause(name: str, code: int, wanted: str, named: str) -> None:
    cause = diagnose(ended(recorded(name), code)).cause
    assert cause is not None
    assert cause.code == wanted
    assert named in cause.summary
    assert cause.evidence


@pytest.mark.parametrize("name", sorted({name for name, *_ in RECORDED}))
def test_the_same_words_of_a_healthy_server_give_nothing(name: str) -> None:
    assert codes(healthy(recorded(name))) == []


@pytest.mark.parametrize("name", sorted({name for name, *_ in RECORDED}))
def test_the_same_words_long_before_another_end_are_not_the_cause(name: str) -> None:
    later = lines("\n".join(f"request {number} served" for number in range(40)))
    cause = diagnose(ended("", 1, log=(*lines(recorded(name)), *later))).cause
    assert cause is not None
    assert cause.code == "CRASHES_AT_START"


@pytest.mark.parametrize(("name", "code", "wanted", "named"), RECORDED)
def test_noise_on_the_other_stream_changes_nothing(name: str, code: int, wanted: str, named: str) -> None:
    noisy: list[LogLine] = []
    for number, line in enumerate(lines(recorded(name))):
        noisy += [line, LogLine(NOW, "stdout", f"INFO loading shard {number}: 0 errors, retries failed 0")]
    cause = diagnose(ended("", code, log=tuple(noisy))).cause
    assert cause is not None
    assert cause.code == wanted


def test_a_reloader_that_keeps_its_parent_alive_shows_the_cause_all_the_same() -> None:
    cause = diagnose(hanging(recorded("uvicorn-reload-module"))).cause
    assert cause is not None
    assert cause.code == "MODULE_MISSING"


def test_an_exception_of_a_program_that_still_works_is_no_cause() -> None:
    busy = hanging(recorded("uvicorn-reload-module"), quiet_s=0.0)
    assert "MODULE_MISSING" not in codes(busy)
    unknown = replace(busy, quiet_s=9.0, facts=None)
    assert "MODULE_MISSING" not in codes(unknown)


def test_a_traceback_before_a_kill_is_not_the_cause() -> None:
    found = codes(ended(recorded("python-module"), 137))
    assert "MODULE_MISSING" not in found
    assert found[0] == "CRASHES_AT_START"


def test_an_end_after_all_went_well_is_none() -> None:
    assert codes(ended(recorded("python-module"), 1, phase=Phase.DONE, passed=True, healthy_s=1.0)) == []


def test_lines_that_a_driver_leaves_out_because_they_are_empty_are_not_missed() -> None:
    dense = "\n".join(line for line in recorded("python-chain").splitlines() if line)
    cause = diagnose(ended(dense, 1)).cause
    assert cause is not None
    assert cause.code == "MODEL_FILE_MISSING"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("/start.sh: line 3: MODEL_NAME: unbound variable", "container.env: [{name: MODEL_NAME, value: …}]"),
        ("/start.sh: 3: MODEL_NAME: parameter not set", "container.env: [{name: MODEL_NAME, value: …}]"),
        ("/start.sh: line 3: AIP_PORT: unbound variable", 'Read `os.environ["AIP_HTTP_PORT"]`'),
    ],
)
def test_a_variable_that_is_not_set_is_named_with_where_to_set_it(said: str, remedy: str) -> None:
    spec = SpecFacts(env=(EnvVar("AIP_HTTP_PORT", "8080"),))
    found = diagnose(ended(said, 1, spec=spec)).cause
    assert found is not None
    assert found.code == "ENVIRONMENT_VARIABLE_MISSING"
    assert remedy in found.remedy.text


def test_a_part_of_main_that_no_unpickler_asks_for_is_no_pickle() -> None:
    words = """Traceback (most recent call last):
  File "/app/serve.py", line 3, in <module>
    run(sys.modules["__main__"].Model)
AttributeError: module '__main__' has no attribute 'Model'
"""
    cause = diagnose(ended(words, 1)).cause
    assert cause is not None
    assert cause.code == "CRASHES_AT_START"
