"""The remotes and the cache that a project's DVC configuration names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.store import RemoteSpec


@dataclass(frozen=True)
class ProjectRemotes:
    """The remotes of a DVC configuration, ``config.local`` included."""

    by_name: Mapping[str, RemoteSpec] = field(default_factory=dict)
    default: str | None = None
    cache: Path | None = None
    """The folder that DVC keeps objects in, where the project has one."""

    @classmethod
    def load(cls, root: Path) -> ProjectRemotes:
        """Read every level of configuration: of the project at ``root``, user and system.

        Raises:
            RemoteError: a configuration that DVC cannot read.
        """
        dvc_dir = root / ".dvc"
        if not (dvc_dir.is_dir() or _machine_has_config()):
            return cls()  # DVC takes up to a third of a second to be imported
        from dvc.config import Config, ConfigError

        try:
            config = Config(str(dvc_dir) if dvc_dir.is_dir() else None)
        except ConfigError as error:
            raise RemoteError(f"DVC's configuration at {root} cannot be read: {error}") from error
        except OSError as error:
            raise RemoteError(
                f"DVC's configuration cannot be read: {error}",
                hint="Let DVC look for it elsewhere: DVC_GLOBAL_CONFIG_DIR=DIR",
            ) from error
        remotes = {
            name: RemoteSpec(str(options["url"]), {k: v for k, v in options.items() if k != "url"})
            for name, options in config["remote"].items()
            if "url" in options
        }
        cache = config["cache"].get("dir") or (dvc_dir / "cache" if dvc_dir.is_dir() else None)
        return cls(remotes, config["core"].get("remote"), Path(cache) if cache else None)

    def settings_for(self, url: str) -> Mapping[str, object]:
        """The settings of the remote whose URL is the longest beginning of ``url``."""
        fitting = [
            spec
            for spec in self.by_name.values()
            if url == spec.url or url.startswith(spec.url.rstrip("/") + "/")
        ]
        return max(fitting, key=lambda spec: len(spec.url)).options if fitting else {}


def _machine_has_config() -> bool:
    """Whether DVC has a configuration for this user or this machine, at the places of dvc.dirs."""
    # who reads locks alone does not wait for it
    from platformdirs import site_config_path, user_config_path

    folders = [
        os.environ.get("DVC_GLOBAL_CONFIG_DIR") or user_config_path("dvc", "iterative"),
        os.environ.get("DVC_SYSTEM_CONFIG_DIR") or site_config_path("dvc", "iterative"),
    ]
    # By os: pathlib raises where a folder may not be searched.
    return any(os.path.exists(os.path.join(folder, "config")) for folder in folders)
