import pytest

from modelport.core.frameworks import Framework
from modelport.server.control_groups import group_folders
from modelport.server.cpu_limit import (
    Division,
    available_cpus,
    division,
    loaded_before_fork,
    own_threads,
    quota_v1,
    quota_v2,
    smallest,
    thread_variables,
)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("400000\n", 4.0),
        ("", None),
        ("x y", None),
    ],
)
def test_a_cpu_max_file_tells_the_quota(text: str, cpus: float | None) -> None:
    assert quota_v2(text) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1\n", "100000\n", None), ("200000\n", "100000\n", 2.0), ("", "", None), ("1000", "0", None)],
)
def test_the_two_files_of_the_first_version_tell_the_quota(quota: str, period: str, cpus: float | None) -> None:
    assert quota_v1(quota, period) == cpus


def test_the_groups_that_limit_the_cpu_are_found_in_both_versions() -> None:
    found = group_folders("12:memory:/m\n4:cpu,cpuacct:/docker/abc\n3:cpuset:/set\n0::/user.slice/x\n", "cpu")
    assert [(version, str(path)) for version, path in found] == [(1, "/docker/abc"), (2, "/user.slice/x")]
    assert group_folders("", "cpu") == ()


@pytest.mark.parametrize(
    ("affine", "quotas", "cpus"),
    [(8, [], 8), (8, [None], 8), (8, [1.5, None], 2), (2, [4.0], 2), (8, [0.2], 1), (8, [4.0, 3.0], 3)],
)
def test_the_smallest_limit_counts_and_a_part_of_a_cpu_as_one(affine: int, quotas: list, cpus: int) -> None:
    assert smallest(affine, quotas) == cpus


def test_this_machine_has_a_cpu_to_offer() -> None:
    assert available_cpus() >= 1


@pytest.mark.parametrize(
    ("cpus", "threaded", "workers", "threads", "divided"),
    [
        (4, False, 0, 0, Division(4, 1)),
        (4, True, 0, 0, Division(1, 4)),
        (1, False, 0, 0, Division(1, 1)),
        (4, True, 2, 0, Division(2, 2)),
        (4, False, 1, 0, Division(1, 4)),
        (2, False, 8, 0, Division(8, 1)),
        (4, False, 3, 5, Division(3, 5)),
    ],
)
def test_cpus_are_divided(cpus: int, threaded: bool, workers: int, threads: int, divided: Division) -> None:
    assert division(cpus, own_threads=threaded, workers=workers, threads=threads) == divided


def test_code_of_the_users_gets_one_worker_and_is_not_loaded_twice_unasked() -> None:
    assert own_threads(None)
    assert not loaded_before_fork(None, Division(4, 1))


def test_only_what_starts_no_threads_is_loaded_before_the_fork() -> None:
    assert loaded_before_fork(Framework.SCIKIT_LEARN, Division(2, 1))
    assert not loaded_before_fork(Framework.SCIKIT_LEARN, Division(1, 1))
    assert not loaded_before_fork(Framework.SCIKIT_LEARN, Division(2, 2))  # threads do not survive a fork
    assert not loaded_before_fork(Framework.TENSORFLOW, Division(2, 1))


def test_a_number_of_threads_that_the_environment_names_is_left_alone() -> None:
    said = thread_variables(3, {"OMP_NUM_THREADS": "7"})
    assert said["OPENBLAS_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in said
