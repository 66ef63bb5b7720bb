"""What the API stands on: the use-cases, and the inspector."""

from __future__ import annotations

from dataclasses import dataclass

from modelport.control.inspect import Inspector
from modelport.control.models import Models
from modelport.control.operations import Operations
from modelport.control.versions import Versions


@dataclass(frozen=True)
class Services:
    """Everything that `create_app` needs."""

    models: Models
    versions: Versions
    operations: Operations
    inspector: Inspector
