"""Python steps by their names: `FILE.py:NAME`, `MODULE:NAME` or `…:Class.method`, imported and ready to be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded
from modelport.server.predictor import constructed
from modelport.server.predictor_source import CODE_FAILURES, absent, cannot, module_called, module_in, place_of

_FORMS = "FILE.py:NAME, MODULE:NAME or FILE.py:CLASS.METHOD"


class Functions:
    """Loads functions; a file is imported once, and a class is made once, however many steps name them."""

    def __init__(self, folder: Path, model_dir: Path | None = None) -> None:
        """Take what files are relative to, and what `from_path` of a class is given (None: the same folder)."""
        self.folder = folder.resolve()
        self.model_dir = model_dir or self.folder
        self._modules: dict[Path, ModuleType] = {}
        self._made: dict[type, Any] = {}
        self._lock = RLock()  # steps may be loaded at the same time, and code may take long to import

    def load(self, target: str) -> Callable[..., Any]:
        """Return the function that a text names. Of a class, its instance, or the method of it that is named.

        Raises:
            ModelCannotBeLoaded: it is not there, its code fails when it is imported or made, or it cannot be called.
        """
        place, _, name = target.partition(":")
        words = name.split(".")
        if not (place and all(word.isidentifier() for word in words)):
            raise ModelCannotBeLoaded(f"`{target}` does not say where a function is", hint=f"Write it as {_FORMS}")
        with self._lock:
            found = self._named(self._module(place), words, target)
        if not callable(found):
            raise ModelCannotBeLoaded(
                f"`{target}` is of the type `{type(found).__name__}`, which cannot be called",
                hint="Name a function, or a class with `def __call__(self, rows)`",
            )
        return found  # type: ignore[no-any-return]

    def ready(self, python: str | Callable[..., Any]) -> Callable[..., Any]:
        """Return what is declared as `python` as something that can be called. Raises ModelCannotBeLoaded."""
        if isinstance(python, str):
            return self.load(python)
        with self._lock:
            return self._instance(python) if isinstance(python, type) else python

    def _module(self, place: str) -> ModuleType:
        if not place.endswith(".py"):
            return module_called(place, self.folder)
        file = self.folder / place
        if file not in self._modules:
            self._modules[file] = module_in(file, None)
        return self._modules[file]

    def _named(self, module: ModuleType, words: list[str], target: str) -> Any:
        found, holder = self._found(module, words), None
        for word in words[1:]:
            found, holder = self._member(found, word, target), found
        if isinstance(found, type):
            return self._instance(found)
        if isinstance(holder, type) and _needs_instance(holder, words[-1]):
            return getattr(self._instance(holder), words[-1])
        return found

    def _found(self, module: ModuleType, words: list[str]) -> Any:
        try:
            return getattr(module, words[0])
        except AttributeError:
            own = [
                name
                for name, one in vars(module).items()
                if callable(one) and not name.startswith("_") and getattr(one, "__module__", "") == module.__name__
            ]
            raise absent(module, words[0], own, "function") from None

    def _member(self, holder: Any, word: str, target: str) -> Any:
        try:
            return getattr(holder, word)
        except AttributeError:
            of = getattr(holder, "__name__", type(holder).__name__)
            place = place_of(holder)
            raise ModelCannotBeLoaded(
                f"`{of}` has no `{word}`{f' ({place})' if place else ''}", hint=f"Correct `{target}`"
            ) from None

    def _instance(self, found: type) -> Any:
        if found not in self._made:
            self._made[found] = self._new(found)
        return self._made[found]

    def _new(self, found: type) -> Any:
        from_path = getattr(found, "from_path", None)
        if not callable(from_path):
            return constructed(found)
        try:
            return from_path(str(self.model_dir))
        except CODE_FAILURES as error:
            raise cannot(f"`{found.__name__}.from_path` failed", error) from error


def load_function(target: str, folder: Path) -> Callable[..., Any]:
    """Return the function that a text names, of a file relative to the folder. Raises ModelCannotBeLoaded."""
    return Functions(folder).load(target)


def name_of(function: Callable[..., Any]) -> str:
    """Return the text by which another process finds a function.

    Raises:
        ModelCannotBeLoaded: it cannot be found by a name.
    """
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module or not name or module == "__main__" or "<" in name:
        raise ModelCannotBeLoaded(
            f"`{name or function!r}` cannot be found by a name in another process",
            hint="Write it at the top of a module and name it as text, MODULE:NAME, or let it run in threads",
        )
    return f"{module}:{name}"


def _needs_instance(holder: type, name: str) -> bool:
    return not isinstance(inspect.getattr_static(holder, name), staticmethod | classmethod)
