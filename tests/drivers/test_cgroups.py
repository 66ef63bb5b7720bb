"""Control groups of both versions, as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelport.drivers.cgroups import Cgroup, Mount, Usage, locate, parse_groups, parse_mounts, read_usage

V1_MOUNTS = """\
35 25 0:30 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
36 35 0:31 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
37 35 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct
38 35 0:33 / /sys/fs/cgroup/memory rw,relatime shared:11 - cgroup cgroup rw,memory
"""
V2_MOUNTS = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
IN_CONTAINER = "900 890 0:33 /docker/ours /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"

V1_GROUP = "9:name=systemd:/docker/abc\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"
V2_GROUP = "0::/system.slice/docker-abc.scope\n"


@pytest.mark.parametrize(
    ("mounts", "group", "expected"),
    [
        (
            V1_MOUNTS,
            V1_GROUP,
            Cgroup(1, Path("/sys/fs/cgroup/memory/docker/abc"), Path("/sys/fs/cgroup/cpu,cpuacct/docker/abc")),
        ),
        (
            V2_MOUNTS,
            V2_GROUP,
            Cgroup(2, *[Path("/sys/fs/cgroup/system.slice/docker-abc.scope")] * 2),
        ),
        # A control plane in a container of its own sees no more than its own groups.
        (IN_CONTAINER, "4:memory:/docker/abc\n", Cgroup(1, None, None)),
        (IN_CONTAINER, "4:memory:/docker/ours/abc\n", Cgroup(1, Path("/sys/fs/cgroup/memory/abc"), None)),
        (V2_MOUNTS, "0::/../../system.slice/docker-abc.scope\n", Cgroup(2, None, None)),
        ("", "", Cgroup(2, None, None)),
    ],
)
def test_a_group_is_found_where_it_is_mounted(mounts: str, group: str, expected: Cgroup) -> None:
    assert locate(parse_groups(group), parse_mounts(mounts)) == expected


def test_each_controller_has_its_mount() -> None:
    mounts = parse_mounts(V1_MOUNTS)
    assert mounts["cpuacct"] == Mount("/", Path("/sys/fs/cgroup/cpu,cpuacct"))
    assert mounts[""] == Mount("/", Path("/sys/fs/cgroup/unified"))


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_usage_of_version_1(tmp_path: Path) -> None:
    group = write(
        tmp_path,
        memory__usage_in_bytes="29138944\n",
        memory__stat="cache 18657280\ninactive_file 1\ntotal_inactive_file 10235904\n",
        memory__max_usage_in_bytes="67108864\n",
        memory__limit_in_bytes="67108864\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        cpuacct__usage="1500000000\n",
        cgroup__procs="7\n9\n",
    )
    cgroup = Cgroup(1, group, group)
    assert read_usage(cgroup) == Usage(18903040, 67108864, 67108864, 1.5, 2)
    assert cgroup.pids() == (7, 9)


def test_usage_of_version_2(tmp_path: Path) -> None:
    group = write(
        tmp_path,
        memory__current="29138944\n",
        memory__stat="anon 9\nfile 1\ninactive_file 10235904\n",
        memory__peak="30000000\n",
        memory__max="67108864\n",
        memory__events="low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n",
        cpu__stat="usage_usec 2500000\nuser_usec 1\nsystem_usec 1\n",
    )
    assert read_usage(Cgroup(2, group, group)) == Usage(18903040, 30000000, 67108864, 2.5, 1)


@pytest.mark.parametrize(
    ("version", "name", "text"),
    [(1, "memory.limit_in_bytes", "9223372036854771712\n"), (2, "memory.max", "max\n")],
)
def test_no_limit_is_none(tmp_path: Path, version: int, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_usage(Cgroup(version, tmp_path, tmp_path)).memory_limit_bytes is None


@pytest.mark.parametrize("version", [1, 2])
def test_what_cannot_be_read_is_none(tmp_path: Path, version: int) -> None:
    assert read_usage(Cgroup(version, tmp_path / "gone", None)) == Usage()
    assert Cgroup(version, tmp_path / "gone", None).pids() == ()
