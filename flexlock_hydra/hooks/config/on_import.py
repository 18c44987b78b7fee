"""Do something once a module is imported, without importing it.

The command line would pay for OmegaConf at each start, although few commands need it. It pays
for this module at each start, which is why that imports nothing.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def when_imported(name: str, then: Callable[[], None]) -> None:
    """Call a function when a module has been imported: now, where it is there already."""
    if name in sys.modules:
        then()
    else:
        # In front: behind them the other finders would find the module without this one.
        sys.meta_path.insert(0, _Watch(name, then))


class _Watch:
    """A finder of modules that asks the others, and calls a function once one module is there."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders have of the module, with a loader that calls back."""
        if name != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (each.find_spec(name, path, target) for each in others)), None)
        if spec is not None and spec.loader is not None:
            self._call_after(spec.loader)
        return spec

    def _call_after(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # A loader may serve further modules, before this one and after it.
            if module.__name__ == self.name:
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                loader.__dict__.pop("exec_module", None)
                self.then()

        loader.exec_module = exec_module
