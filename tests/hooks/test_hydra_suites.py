"""Hydra's own tests of its launchers, with the callback on in each of their sweeps.

Its tests of callbacks need apps that no release of hydra-core carries; what they promise of
callbacks beside others is in the last tests here.
"""

from __future__ import annotations

import pytest
from hydra.core.plugins import Plugins
from hydra.experimental import callbacks
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

from tests.conftest import Project

pytestmark = pytest.mark.hydra

ON = "hydra/callbacks=flexlock"


@pytest.fixture(scope="module", autouse=True)
def plugins() -> None:
    """Found before the first test: each puts Hydra's singletons back as they were before it."""
    Plugins.instance()


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", [ON])])
class TestLauncher(LauncherTestSuite):
    """The basic launcher."""


@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", ON])])
class TestIntegration(IntegrationTestSuite):
    """The same from a command line."""


CALLBACKS = '''
import hydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback


class Loud(Callback):
    def on_run_start(self, config, **kwargs): print("run start")
    def on_run_end(self, config, **kwargs): print("run end")
    def on_multirun_start(self, config, **kwargs): print("multirun start")
    def on_multirun_end(self, config, **kwargs): print("multirun end")
    def on_job_start(self, config, **kwargs): print("job start")

    def on_job_end(self, config, job_return, **kwargs):
        print("job end", job_return.status.name, isinstance(job_return, JobReturn))
        raise RuntimeError("a callback of somebody else")


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    print("task")
    if cfg.lr < 0:
        raise ValueError


if __name__ == "__main__":
    main()
'''
LOUD = "+hydra.callbacks.loud._target_=__main__.Loud"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr=1"], ["run start", "job start", "task", "job end COMPLETED True", "run end"]),
        (["lr=-1"], ["run start", "job start", "task", "job end FAILED True", "run end"]),
        (
            ["lr=1", "-m"],
            ["multirun start", "job start", "task", "job end COMPLETED True", "multirun end"],
        ),
    ],
)
def test_other_callbacks_run_as_without_ours(
    project: Project, words: list[str], said: list[str]
) -> None:
    """Others' hooks are called as ever, in their order, and one that raises costs no lock."""
    project.write("app.py", CALLBACKS)
    done = project.app(LOUD, "hydra/hydra_logging=none", *words, check=False)
    assert done.out.splitlines() == said, done.err
    assert project.lock()["run"]["status"] == ("failed" if words == ["lr=-1"] else "completed")


@pytest.mark.skipif(
    not hasattr(callbacks, "PickleJobInfoCallback"), reason="Hydra 1.4 has no such callback"
)
def test_the_job_info_of_hydras_own_callback(project: Project) -> None:
    """PickleJobInfoCallback keeps its files beside our lock."""
    project.app(
        "+hydra.callbacks.p._target_=hydra.experimental.callbacks.PickleJobInfoCallback",
        "hydra.run.dir=outputs/a",
    )
    names = {path.name for path in project.path("outputs/a/.hydra").iterdir()}
    assert {"config.pickle", "job_return.pickle"} <= names
    assert project.lock()["run"]["status"] == "completed"
