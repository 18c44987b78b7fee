"""Makes the resolver and the callback's config known wherever Hydra loads plugins."""

import os
import warnings

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin

from flexlock_hydra.hooks.config.options import register_options
from flexlock_hydra.hooks.config.resolver import register_resolver
from flexlock_hydra.hooks.config_source.run_path import is_run_url
from flexlock_hydra.ports.hydra_internals.app_start import SearchPathCall
from flexlock_hydra.record import layout

_UNLISTED = (
    r"hydra\.utils\.instantiate\(\) resolved "
    r"_target_='flexlock_hydra\.hooks\.callback\.FlexlockCallback' with no"
)

register_resolver()
register_options(ConfigStore.instance())


class FlexlockSearchPath(SearchPathPlugin):
    """Puts ``flexlock://RUN`` right; runs at each start, also after ``clear_resolvers()``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Register the resolver again, should it have been cleared.

        Hydra 1.4 warns of every callback that no execution whitelist names. Ours was
        chosen by its name and is code that the user installed: a good run prints nothing.
        """
        register_resolver()
        if layout.RERUN_VARIABLE in os.environ:
            from flexlock_hydra.hooks import main_again

            main_again.choose_app()
        call = SearchPathCall.in_progress()
        if call is not None and is_run_url(call.config_path):
            # Not at the top: every Hydra app imports this module, and few name a run.
            from flexlock_hydra.hooks.config_source import run_source

            run_source.put(search_path, call)
        # A new filter makes Python forget which warnings it has shown once: none without need.
        is_new = not any(getattr(each[1], "pattern", "") == _UNLISTED for each in warnings.filters)
        if is_new and not hydra.__version__.startswith("1.3."):
            warnings.filterwarnings("ignore", message=_UNLISTED)
