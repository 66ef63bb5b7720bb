from datetime import UTC, datetime

from modelport.cli.progress import pending, ready, seconds, stuck, turned
from modelport.core.conditions import INSTALLED

CREATED = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
NAME = "projects/demo/models/churn/versions/v20261121_1"


def condition(type: str, second: float, message: str = "", status: str = "True") -> dict[str, str]:
    since = f"2026-11-21T10:00:{second:09.6f}Z"
    return {"type": type, "status": status, "since": since, "message": message, "reason": ""}


ALL = (
    condition("ImagePinned", 0, f"churn@sha256:{'1b7e' * 16}"),
    condition("ArtifactsCopied", 0.04, "1 files, 1665 bytes"),
    condition("Started", 0.2, "container started"),
    condition("Listening", 1.9, "0.0.0.0:8080"),
    condition("Healthy", 2, "GET /health → 200"),
    condition("Routed", 2.1),
)


def test_the_whole_way_to_ready_reads_as_aligned_lines() -> None:
    lines = [*turned((), ALL, CREATED), ready(NAME, ALL, CREATED, note="(now the default)")]

    assert "\n".join(str(line) for line in lines) == (
        "  image     pinned churn@sha256:1b7e1b7e1b7e…                          0.0 s\n"
        "  artifacts 1 files, 1665 bytes                                        0.0 s\n"
        "  start     container started                                          0.2 s\n"
        "  listen    0.0.0.0:8080                                               1.9 s\n"
        "  health    GET /health → 200                                          2.0 s\n"
        "  READY     projects/demo/models/churn/versions/v20261121_1            2.1 s   (now the default)"
    )


def test_a_pinned_folder_is_named_by_its_digest() -> None:
    pinned = condition("ImagePinned", 0, f"file:///data/cache/trees/{'31b9' * 16}/files")

    assert [line.text for line in turned((), (pinned,), CREATED)] == ["pinned folder 31b931b931b9…"]


def test_only_what_has_turned_is_told() -> None:
    assert [line.label for line in turned(ALL[:3], ALL[:4], CREATED)] == ["listen"]
    assert turned(ALL, ALL, CREATED) == []


def test_a_step_that_turns_true_again_is_told_again() -> None:
    restarted = (*ALL[:2], condition("Started", 5, "attempt 2"))

    assert [line.text for line in turned(ALL[:3], restarted, CREATED)] == ["attempt 2"]


def test_steps_seen_at_once_come_in_the_order_in_which_they_happened() -> None:
    late = (condition("ImagePinned", 3), condition("Started", 1))

    assert [line.label for line in turned((), late, CREATED)] == ["start", "image"]


def test_the_step_that_failed_is_marked() -> None:
    conditions = (*ALL[:3], condition("Listening", 0.1, "connection refused", status="False"))

    assert str(stuck(conditions, "listen", 6)) == (
        "  listen    ! connection refused                                       6.0 s"
    )
    assert stuck(conditions, "start", 6) is None
    assert stuck(ALL, "listen", 6) is None


def test_a_step_without_a_message_has_words_of_its_own() -> None:
    unhealthy = condition("Healthy", 1, status="False")

    assert [line.text for line in turned((), (condition("Listening", 1),), CREATED)] == ["listening"]
    assert getattr(stuck((unhealthy,), "health", 1), "text", None) == "! not healthy"


def test_a_second_attempt_is_named() -> None:
    lines = turned((), ALL, CREATED, attempt=2)

    assert [(line.label, line.note) for line in lines] == [
        ("image", ""),
        ("artifacts", ""),
        ("start", "(attempt 2)"),
        ("listen", "(attempt 2)"),
        ("health", "(attempt 2)"),
    ]


def test_what_is_waited_for_is_the_first_step_that_is_not_true() -> None:
    assert pending(()) == "finding the image"
    assert pending(ALL[:3]) == "waiting until it listens"
    assert pending(ALL) == "finishing"


def test_durations_read_as_people_say_them() -> None:
    assert [seconds(one) for one in (0.04, 9.94, 41.2, 125)] == ["0.0 s", "9.9 s", "41 s", "2 min 5 s"]


def test_installed_libraries_are_not_called_an_image() -> None:
    done = {**condition("ImagePinned", 31, "scikit-learn 1.9.1 (runtime version 2026.11)"), "reason": INSTALLED}

    (line,) = turned((), [done], CREATED)
    assert str(line).startswith("  image     installed scikit-learn 1.9.1 (runtime version 2026.11)")


def test_what_takes_long_says_how_far_it_is() -> None:
    copying = condition("ArtifactsCopied", 1, "3 of 9 files, 10 of 90 bytes", status="False")
    installing = condition("ImagePinned", 2, "installing scikit-learn 1.9.1", status="False")

    assert pending([copying]) == "copying the artifacts: 3 of 9 files, 10 of 90 bytes"
    assert pending([installing, copying]) == "installing scikit-learn 1.9.1"
