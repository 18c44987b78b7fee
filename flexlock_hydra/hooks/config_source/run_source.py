"""``--config-path flexlock://RUN``: the run opened, beside what the app itself declares.

What the app's config would be without the URL, Hydra's own frames tell.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath, SearchPathElement
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from flexlock_hydra.archive.runs import run_url
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.hooks.config_source.run_as_configs import (
    AppSettings, ServedConfig, masked_keys, serve
)
from flexlock_hydra.hooks.config_source.run_path import is_run_url
from flexlock_hydra.ports.hydra_internals.app_start import (
    AppRequest, SearchPathCall, config_repository
)
from flexlock_hydra.ports.hydra_internals.config_nodes import node_at

# The key of an override, without the signs before it and the package behind it.
_KEY = re.compile(r"[+~]*([^=@]+)")

_asked: dict[str, AppRequest] = {}  # URL of a run -> the app started with it as its config path


@dataclass(frozen=True)
class OpenedRun:
    """The configs of a run by their paths; shared, for Hydra deep-copies its config sources."""

    configs: Mapping[str, ServedConfig]

    def __deepcopy__(self, memo: Any) -> OpenedRun:
        return self

    def load(self, path: str, provider: str, url: str) -> ConfigResult:
        """One config, anew each time: Hydra takes its defaults list out of it."""
        config = self.configs[path]
        content = OmegaConf.create(deepcopy(dict(config.content)))
        return _Unmatched(provider, f"{url}/{path}", content, {"package": config.package})

    def options(self, group: str) -> Iterator[tuple[str, bool]]:
        """Name by name what lies in a group, and whether it is a group itself."""
        above = f"{group}/" if group else ""
        for path in self.configs:
            if path.startswith(above):
                name, deeper, _ = path[len(above):].partition("/")
                yield name, bool(deeper)


class _Unmatched(ConfigResult):
    """A config that Hydra 1.3 merges with no schema, though one may have its name.

    The recorded config is composed: of a schema with a defaults list Hydra would refuse it.
    """

    @property
    def is_schema_source(self) -> bool:
        """What Hydra asks before it looks for a schema."""
        return True

    @is_schema_source.setter
    def is_schema_source(self, value: bool) -> None:
        """Ignore what Hydra sets for every config."""


def put(search_path: ConfigSearchPath, call: SearchPathCall) -> None:
    """Put the URL back into Hydra's search path, and the app's own folder behind it.

    Args:
        call: Hydra's call that makes the path, with the URL as its config path.
    """
    # Hydra hands out its own list here: what is put into it counts.
    path = search_path.get_path()
    pinned = run_url.pinned(call.config_path)
    asked = _asked[pinned] = call.request(is_run_url)
    own = [SearchPathElement("app", asked.folder)] if asked.folder else []
    for i, element in enumerate(path):
        if element.provider == "main":
            path[i:i + 1] = [SearchPathElement("main", pinned), *own]
            break


def open_run(url: str) -> OpenedRun:
    """The configs of the run that a URL names.

    Raises:
        hydra.errors.ConfigCompositionException: there is no such run, or it has no config.
    """
    asked = _asked.get(url, AppRequest())
    try:
        run = run_url.named_run(url)
        configs = serve(run, _app_settings(asked))
    except FlexlockError as error:
        said = f"{url}: {error}\n{error.hint}"
        raise ConfigCompositionException(said.rstrip()) from error
    if url in _asked:
        given = {key[1] for word in asked.overrides if (key := _KEY.match(word))}
        if keys := [key for key in masked_keys(run) if key not in given]:
            again = " ".join(f"{key if key.isprintable() else repr(key)}=..." for key in keys)
            warnings.warn(f"{url}: secrets are not recorded; give them again: {again}")
    return OpenedRun(configs)


def _app_settings(asked: AppRequest) -> AppSettings:
    """The app's own Hydra settings, and what its options say of their packages."""
    from hydra.core.default_element import GroupDefault

    own = config_repository(asked.folder)

    def package(option: str) -> str | None:
        found = own.load_config(option)
        if found is None:
            raise LookupError(option)
        stated: str | None = found.header["package"]
        return stated

    app = AppSettings(asked.config_name, package=package)
    found = own.load_config(asked.config_name) if asked.config_name else None
    if found is None or not isinstance(found.config, DictConfig):
        return app
    settings = node_at(found.config, "hydra")
    plain: Any = OmegaConf.to_container(settings) if isinstance(settings, DictConfig) else {}
    chosen = [
        default.value
        for default in found.defaults_list or ()
        if isinstance(default, GroupDefault) and str(default.group).lstrip("/") == "hydra/callbacks"
    ]
    return replace(app, hydra=plain, callbacks=chosen[-1] if chosen else None)
