"""Runtimes: from a version without a container to the environment that it runs in, libraries and code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from modelport.artifacts.base import ArtifactStore
from modelport.control.runtime_catalogue import RuntimeCatalogue
from modelport.control.runtime_rules import main_pins, package_name
from modelport.core.environments import Environment, PackageFile
from modelport.core.errors import EnvironmentBuildFailed, Error, ModelCannotBeLoaded, Unavailable
from modelport.core.frameworks import Framework, framework_of
from modelport.core.resources import RuntimeSpec, Version

_SERVER_EXTRAS = ("server",)
_SHOWN_NAMES = 10


class Runtimes:
    """Finds the framework, the pins and the packages of versions.

    Args:
        catalogue: the runtime versions that there are.
        artifacts: copies packages from where `packageUris` says.
        directory: where modelport itself is kept as a package; made when it is missing.
        write_wheel: writes the running modelport as a wheel into a folder and returns the file.
    """

    def __init__(
        self,
        catalogue: RuntimeCatalogue,
        artifacts: ArtifactStore,
        *,
        directory: Path,
        write_wheel: Callable[[Path], Path],
    ) -> None:
        self.catalogue = catalogue
        self._artifacts = artifacts
        self._directory = directory
        self._write_wheel = write_wheel
        self._own: PackageFile | None = None
        self._writing = anyio.Lock()

    async def environment(self, version: Version, framework: Framework | None) -> Environment:
        """Return what is to be installed for a version of files.

        Raises:
            EnvironmentBuildFailed: the runtime version is gone from the catalogue, or a package cannot be had.
            ArtifactStoreUnavailable: it may work later.
        """
        spec = _runtime_of(version)
        runtime = self.catalogue.find(spec.runtime_version)
        if runtime is None:
            raise EnvironmentBuildFailed(
                f"Runtime version `{spec.runtime_version}` is not in the catalogue any more",
                hint="Put it back, or create the version anew with one that is there",
            )
        packages = [await self._own_package(), *[await self._package(uri) for uri in spec.package_uris]]
        return Environment(spec.python_version, runtime.pins(framework), tuple(packages))

    async def _own_package(self) -> PackageFile:
        async with self._writing:
            self._own = await anyio.to_thread.run_sync(self._write_own)
        return self._own

    def _write_own(self) -> PackageFile:
        if self._own is not None and Path(self._own.path).exists():
            return self._own
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _package_file(self._write_wheel(self._directory), _SERVER_EXTRAS)

    async def _package(self, uri: str) -> PackageFile:
        try:
            artifact = await self._artifacts.fetch(uri)
        except Unavailable:
            raise
        except Error as error:
            raise EnvironmentBuildFailed(f"A package cannot be had: {error.message}", hint=error.hint) from error
        file = artifact.path / package_name(uri)
        if not file.is_file():
            raise EnvironmentBuildFailed(
                f"`{uri}` is a folder of {artifact.files} files; wanted one file, a wheel or a source distribution",
                hint="Build the package with `python -m build` and name the file that it makes",
            )
        return await anyio.to_thread.run_sync(_package_file, file)


def find_framework(version: Version, names: Iterable[str]) -> Framework | None:
    """Return the framework of a version of files: the one that was asked for, else the one that the files tell.

    Args:
        version: a version with a runtime.
        names: the files at the root of its model folder.

    Raises:
        ModelCannotBeLoaded: nothing tells, and there is no code that would load the model by itself.
    """
    spec = _runtime_of(version)
    if spec.framework:
        return Framework(spec.framework)
    known = sorted(names)
    found = framework_of(known)
    if found is None and not spec.prediction_class:
        shown = ", ".join(known[:_SHOWN_NAMES]) + (" …" if len(known) > _SHOWN_NAMES else "")
        raise ModelCannotBeLoaded(
            f"No framework is known for the files in `{version.spec.deployment_uri}`: {shown or 'no files'}",
            hint="Name it in `framework`, or name the folder that holds the model's files itself; with a server of"
            " your own, name its image in `container`",
        )
    return found


def described(version: Version, framework: Framework | None, catalogue: RuntimeCatalogue) -> str:
    """Return what is installed for a version, in a few words: its main libraries and the runtime version."""
    spec = _runtime_of(version)
    runtime = catalogue.find(spec.runtime_version)
    pins = main_pins(framework, runtime.pins(framework)) if runtime else []
    names = [package_name(uri) for uri in spec.package_uris]
    libraries = [*(pin.replace("==", " ") for pin in pins), *names] or ["modelport's server"]
    return f"{', '.join(libraries)} (runtime version {spec.runtime_version})"


def _runtime_of(version: Version) -> RuntimeSpec:
    if version.spec.runtime is None:
        raise ValueError(f"`{version.name}` has a container")
    return version.spec.runtime


def _package_file(file: Path, extras: tuple[str, ...] = ()) -> PackageFile:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return PackageFile(PurePosixPath(file), digest, extras)
