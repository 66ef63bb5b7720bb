"""What a listener says on stderr: one line for each event."""

from __future__ import annotations

from modelport.server import notices


def notice(text: str) -> None:
    """Write a line under the listener's own name: its model servers write to the same stderr."""
    notices.notice(text, "modelport-listener")
