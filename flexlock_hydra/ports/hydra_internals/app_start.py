"""How an app was started: Hydra's search path and main, and hydra-zen's launch, by their frames.

Every Hydra app imports this module, and pays for what it imports.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

_LAUNCH = "hydra_zen._launch"


@dataclass(frozen=True)
class AppRequest:
    """What an app was started with: its own config folder, its config name, its overrides."""

    folder: str | None = None
    config_name: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchPathCall:
    """The call of Hydra's in which it makes the search path of an app.

    Seen on both; a SearchPathPlugin is given the path after Hydra has joined the config path to
    the app's folder or package, and a URL is none any more.
    """

    frame: FrameType

    @classmethod
    def in_progress(cls) -> SearchPathCall | None:
        """The call that the caller's plugin is called by; None where Hydra makes none."""
        frame = call_in_progress("hydra._internal.utils", ["create_automatic_config_search_path"])
        return frame and cls(frame)

    @property
    def config_path(self) -> Any:
        """The config path as it was given."""
        return self.frame.f_locals.get("config_path")

    def request(self, is_foreign: Callable[[Any], bool]) -> AppRequest:
        """What the app itself says, where Hydra was started by one; nothing elsewhere.

        Args:
            is_foreign: whether a config path is no folder of the app's.
        """
        from hydra._internal.utils import compute_search_path_dir

        started = self.frame.f_back
        if started is None or started.f_code.co_name != "_run_hydra":
            return AppRequest()
        main = call_in_progress("hydra.main", ["decorated_main"], above=started)
        own = main.f_locals["config_path"] if main else None
        file, module = (self.frame.f_locals[f"calling_{kind}"] for kind in ("file", "module"))
        folder = None if is_foreign(own) else compute_search_path_dir(file, module, own)
        overrides = tuple(started.f_locals["args"].overrides)
        return AppRequest(folder, started.f_locals["config_name"], overrides)


def call_in_progress(
    module: str, functions: Collection[str], *, above: FrameType | None = None
) -> FrameType | None:
    """The nearest call in this thread of one of a module's functions; None where there is none.

    Args:
        above: where the look begins, instead of at the caller.
    """
    frame: FrameType | None = above or sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in functions and frame.f_globals.get("__name__") == module:
            return frame
        frame = frame.f_back
    return None


@dataclass(frozen=True)
class AppCall:
    """A call of a function that ``hydra.main`` decorated: its task, its config and overrides."""

    task: Any
    config_name: str | None
    overrides: list[str]
    is_nested: bool
    """Whether it is made by the job of another one."""

    @classmethod
    def in_progress(cls) -> AppCall | None:
        """The innermost call; None where there is none."""
        frame = call_in_progress("hydra._internal.utils", ["_run_hydra"])
        if frame is None:
            return None
        args, given = frame.f_locals["args"], frame.f_locals["config_name"]
        above = frame.f_back and call_in_progress(
            "hydra._internal.utils", ["_run_hydra"], above=frame.f_back
        )
        task = frame.f_locals["task_function"]
        return cls(task, args.config_name or given, args.overrides, above is not None)


def replace_app_call(with_: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Put another function in the place of what ``hydra.main`` calls to run an app.

    Seen on both: it is called with keywords, among them ``task_function``, ``config_name`` and
    ``args``. The name ``hydra.main`` is the decorator's, so the module is looked up.

    Args:
        with_: gets the present function, returns the other one.
    """
    import hydra  # noqa: F401 its main is loaded with it

    module: Any = sys.modules["hydra.main"]
    module._run_hydra = with_(module._run_hydra)


def main_in_progress() -> Mapping[str, Any]:
    """The names of the module that runs as ``__main__`` above the caller.

    In a thread, or in a worker that got its task by pickle, those of Python's own ``__main__``.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__":
            return frame.f_globals
        frame = frame.f_back
    return vars(sys.modules["__main__"]) if "__main__" in sys.modules else {}


def task_in_progress() -> Any:
    """The task function of the app that is being started; None where none is.

    Seen on both; callbacks are given it at a job's start, and not where the app starts.
    """
    frame = call_in_progress("hydra._internal.hydra", ["run", "multirun"])
    frame = frame or (call_in_progress(_LAUNCH, ["launch"]) if _LAUNCH in sys.modules else None)
    return frame and frame.f_locals.get("task_function")


def config_repository(folder: str | None) -> Any:
    """Hydra's own reader of the configs in a folder, and of those in the ConfigStore.

    Seen on both; ``compose`` merges what is wanted here as it stands in its file.
    """
    from hydra._internal.config_repository import ConfigRepository
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl

    path = ConfigSearchPathImpl()
    if folder:
        path.append("app", folder)
    path.append("schema", "structured://")
    return ConfigRepository(path)


def parse_app_arguments(words: Sequence[str]) -> Any:
    """What Hydra's own parser takes of an app's command line, by the options' names.

    Seen on both; there is no other way to tell ``-cn x`` from an override.
    """
    from hydra._internal.utils import get_args_parser

    return get_args_parser().parse_known_args([*words])[0]


def is_in_launch() -> bool:
    """Whether a call of hydra-zen's launch is in progress in this thread.

    Seen on 0.17; neither Hydra nor hydra-zen says who composed a config.
    """
    return _LAUNCH in sys.modules and call_in_progress(_LAUNCH, ["launch"]) is not None


def launch_module() -> Any:
    """The module that hydra-zen's launch is defined in, to put another one there.

    Seen on 0.17; some import launch from here and not from the package.
    """
    import hydra_zen._launch

    return hydra_zen._launch


def compose_without_overrides(config_name: str) -> Any:
    """The config of the app in progress as it is without any override; None where there is no app.

    Seen on both; ``hydra.compose`` would give it a job of its own.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    hydra = GlobalHydra.instance()
    if not hydra.is_initialized():
        return None
    # Hydra looks whether there is a name, and calls the user's resolvers that would make it.
    name = ["hydra.job.name=app"]
    try:
        return hydra.config_loader().load_configuration(config_name, name, RunMode.RUN)
    except (HydraException, OmegaConfBaseException):  # it takes overrides to be one
        return None
