"""``flexlock://RUN``: a recorded run as a source of configs."""

from __future__ import annotations

import builtins

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource

from flexlock_hydra.hooks.config_source import run_path


class FlexlockConfigSource(ConfigSource):
    """Serves the recorded config and the config group options that it was composed of."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        # Not at the top: every Hydra app imports this module, and few name a run.
        from flexlock_hydra.hooks.config_source import run_source

        self.run = run_source.open_run(path)

    @staticmethod
    def scheme() -> str:
        """What stands before ``://``."""
        return run_path.SCHEME

    def available(self) -> bool:
        """Always: what cannot be opened was an error before."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """The config at a path.

        Raises:
            ConfigLoadError: there is none.
        """
        if not self.is_config(config_path):
            raise ConfigLoadError(f"{self.full_path()} has no config {config_path}")
        name = config_path.removesuffix(".yaml")
        return self.run.load(name, self.provider, self.full_path())

    def is_config(self, config_path: str) -> bool:
        """Whether there is a config at a path."""
        return config_path.removesuffix(".yaml") in self.run.configs

    def is_group(self, config_path: str) -> bool:
        """Whether there are configs below a path."""
        return next(self.run.options(config_path.strip("/")), None) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        """The names below a path."""
        found = {
            name
            for name, is_group in self.run.options(config_path.strip("/"))
            if results_filter in (None, ObjectType.GROUP if is_group else ObjectType.CONFIG)
        }
        return sorted(found)
