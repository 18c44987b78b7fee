"""Makes the resolver and the callback's config known wherever Hydra loads plugins."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin

from flexlock_hydra.hooks import options, resolver

resolver.register()
options.register(ConfigStore.instance())


class FlexlockSearchPath(SearchPathPlugin):
    """Adds no path; runs at each start of Hydra, also after ``clear_resolvers()``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Register the resolver again, should it have been cleared."""
        resolver.register()
