from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.tree import Entry, Listing, check_listing, listing_key, path_problem, without_markers
from modelport.core.errors import ArtifactRefused


def entry(path: str, size: int | None = 1, tag: str = "t") -> Entry:
    return Entry(path, path, size, tag)


def problems(*entries: Entry, complete: bool = True, files: int = 10, size: int = 100) -> list[str]:
    try:
        check_listing("gs://b/m", Listing(entries, complete), ArtifactLimits(files, size))
    except ArtifactRefused as refused:
        return [violation.description for violation in refused.violations]
    return []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a", None),
        ("a/b c/ü.bin", None),
        ("..a/b..", None),
        (".hidden/...", None),
        ("/etc/passwd", "is absolute"),
        ("../a", "has the segment `..`"),
        ("a/../b", "has the segment `..`"),
        ("a/..", "has the segment `..`"),
        ("./a", "has the segment `.`"),
        ("a//b", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("..\\a", "has a backslash"),
        ("a\0b", "has a control character"),
        ("a\nb", "has a control character"),
        ("a\x7fb", "has a control character"),
        ("a\x85b", "has a control character"),
        ("a\udcff", "is not UTF-8"),
        ("x" * 256, "has a name of 256 bytes; at most 255"),
        ("ü" * 128, "has a name of 256 bytes; at most 255"),
        ("/".join("x" * 200 for _ in range(6)), "has 1,205 bytes; at most 1,024"),
    ],
)
def test_a_path_that_could_leave_the_root_is_a_problem(path, problem):
    assert path_problem(path) == problem


_SEGMENTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["..", ".", "", "\\", "a", "~", "..\\..", "C:", "\0", "x" * 300])
)


@given(st.lists(_SEGMENTS, min_size=1, max_size=6).map("/".join))
def test_no_accepted_path_leaves_the_root(path):
    if path_problem(path) is None:
        root = Path("/cache/tree")
        target = root / path
        assert target.is_relative_to(root)
        assert target != root
        assert not {"..", "."} & set(target.parts)
        assert str(target) == f"/cache/tree/{path}"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join), max_size=8))
def test_an_accepted_tree_can_be_written_to_a_disk(tmp_path_factory, paths):
    if problems(*map(entry, paths)):
        return
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch(exist_ok=False)


def test_all_broken_rules_are_told_with_numbers():
    assert problems(
        entry("a", 60), entry("b/../c", 60), entry("a/x"), entry("a/x"), *(entry(f"n{n}", 0) for n in range(1200))
    ) == [
        "`gs://b/m` has 1,204 files; at most 10",
        "`gs://b/m` has 122 bytes; at most 100",
        "The name 'b/../c' has the segment `..`",
        "The name `a` is a file and a folder at once",
        "The name `a/x` occurs twice",
    ]


def test_a_thousand_bad_names_are_told_in_part():
    told = problems(*(entry(f"../{n}") for n in range(1000)), files=1000, size=1000)

    assert len(told) == 21
    assert told[-1] == "980 more problems"


def test_an_endless_listing_is_refused_with_what_was_seen():
    assert problems(*(entry(str(n)) for n in range(11)), complete=False) == [
        "`gs://b/m` has more than 11 files; at most 10"
    ]


def test_a_tree_at_its_limits_is_accepted():
    assert problems(*(entry(str(n), 10) for n in range(10))) == []


def test_marks_of_folders_are_dropped_and_empty_files_kept():
    entries = [entry("", 0), entry("sub", 0), entry("sub/a"), entry("empty", 0), entry("deep", 0), entry("deep/x/y")]

    assert [kept.path for kept in without_markers(entries)] == ["sub/a", "empty", "deep/x/y"]


def test_the_key_of_a_listing_changes_with_every_part_of_it():
    base = Listing((entry("a"), entry("b")))
    others = [
        listing_key("gs://b/n", base),
        listing_key("gs://b/m", Listing((entry("a"),))),
        listing_key("gs://b/m", Listing((entry("a"), entry("c")))),
        listing_key("gs://b/m", Listing((entry("a"), entry("b", 2)))),
        listing_key("gs://b/m", Listing((entry("a"), entry("b", tag="u")))),
    ]

    assert listing_key("gs://b/m", Listing((entry("b"), entry("a")))) == listing_key("gs://b/m", base)
    assert len({listing_key("gs://b/m", base), *others}) == 6
