"""The artifact tree as evidence: what a replica finds below AIP_STORAGE_URI."""

from __future__ import annotations

import anyio

from modelport.artifacts.base import Artifact
from modelport.doctor.evidence import ArtifactTree

_FILES = 200


async def artifact_tree(uri: str, artifact: Artifact, mounted_at: str) -> ArtifactTree:
    """Return what lies in a copied tree; `mounted_at` is where the replica sees it."""
    files = []
    async for path in anyio.Path(artifact.path).rglob("*"):
        if await path.is_file():
            files.append((str(path.relative_to(artifact.path)), (await path.stat()).st_size))
    return ArtifactTree(
        uri,
        mounted_at=mounted_at,
        files=tuple(sorted(files)[:_FILES]),
        total_files=artifact.files,
        total_bytes=artifact.bytes,
    )
