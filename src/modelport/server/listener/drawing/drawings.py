"""A listener as a picture: as text for terminals, as SVG for documents, and as data for programs; pure."""

from __future__ import annotations

from typing import Any

from modelport.server.listener.declaration import Listener
from modelport.server.listener.drawing.picture import picture
from modelport.server.listener.drawing.svg_drawing import svg_of as svg_of
from modelport.server.listener.drawing.text_drawing import text_of as text_of


def document_of(listener: Listener) -> dict[str, Any]:
    """Return boxes and arrows as JSON has them."""
    shown = picture(listener, servers=True)
    return {
        "nodes": [
            {"id": one.id, "role": one.role, "title": one.title, "notes": list(one.notes), "condition": one.condition}
            for one in shown.nodes
        ],
        "edges": [
            {"source": one.source, "target": one.target, "line": one.line, "label": one.label} for one in shown.edges
        ],
    }
