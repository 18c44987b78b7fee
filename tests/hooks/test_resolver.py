"""``${snapshot:}`` in configs: what it records, and that it changes nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project, fingerprint, with_callback

pytestmark = pytest.mark.hydra


@pytest.mark.parametrize("chdir", ["true", "false"])
def test_relative_data_with_and_without_chdir(project: Project, chdir: str) -> None:
    """A relative path means the file that the job can reach, in either cwd."""
    source = project.path("app.py").read_text().replace(
        "Path(cfg.table)", "Path(hydra.utils.to_absolute_path(cfg.table))"
    )
    project.write("app.py", source)
    project.app(f"hydra.job.chdir={chdir}")
    assert project.lock()["data"]["table"]["path"] == "data/table.csv"


def test_data_paths_below_the_root_are_relative(project: Project, tmp_path: Path) -> None:
    """Below the repository a path is written relative to it, outside absolute."""
    outside = tmp_path / "outside.csv"
    outside.write_text("x")
    project.app(
        f"+one='${{snapshot:{project.path('data/table.csv')}}}'",
        "+two='${snapshot:${hydra:runtime.cwd}/data/table.csv}'",
        f"+three='${{snapshot:{outside}}}'",
        "+four='${snapshot:../outside.csv}'",
    )
    data = project.lock()["data"]
    assert data["one"]["path"] == data["two"]["path"] == "data/table.csv"
    assert data["three"]["path"] == data["four"]["path"] == str(outside)


GRAMMAR = [
    ("${snapshot:data/table.csv}", {"x": "data/table.csv"}),
    ("${snapshot:data/table.csv,name}", {"name": "data/table.csv"}),
    ("${snapshot:'data/table.csv', 'a b'}", {"a b": "data/table.csv"}),
    ("${snapshot:${folder}/table.csv}", {"x": "data/table.csv"}),
    ("${snapshot:${.folder}/table.csv}", {"x": "data/table.csv"}),
    ("${oc.select:nothing,${snapshot:data/table.csv}}", {"x": "data/table.csv"}),
    (
        "${snapshot:data/table.csv}:${snapshot:data/b.csv}",
        {"x": "data/table.csv", "x#2": "data/b.csv"},
    ),
    ("prefix-${snapshot:data/table.csv}", {"x": "data/table.csv"}),
    ("\\${snapshot:data/table.csv}", {}),
    ("snapshot:data/table.csv", {}),
    ("${snapshot:'data/=a,b.csv','k'}", {"k": "data/=a,b.csv"}),
    ("${snapshot:[data/table.csv,data/b.csv]}", {"x[0]": "data/table.csv", "x[1]": "data/b.csv"}),
    ("${snapshot:123}", {"x": "123"}),
    ("${snapshot:null}", {}),
]


@pytest.mark.parametrize(("expression", "recorded"), GRAMMAR)
def test_grammar(project: Project, expression: str, recorded: dict[str, str]) -> None:
    """Every form of the expression is found before the task runs, and only those."""
    for name in ("data/b.csv", "data/=a,b.csv", "123"):
        project.write(name, "1")
    config = {"folder": "data", "x": expression, "table": "data/table.csv", "lr": 1}
    project.write("conf/config.yaml", with_callback(yaml.safe_dump(config)))
    project.app()
    data = {k: each for k, each in project.lock()["data"].items() if each["how"] == "marked"}
    assert {key: entry["path"] for key, entry in data.items()} == recorded
    assert all(entry.get("error") is None for entry in data.values())


def test_lists_and_nested_keys_name_their_entries(project: Project) -> None:
    """Without a name of its own an entry has the config's full key."""
    project.write("data/b.csv", "1")
    config = {
        "table": "data/table.csv",
        "lr": 1,
        "sets": {"train": "${snapshot:data/table.csv}"},
        "many": ["${snapshot:data/table.csv}", {"deep": "${snapshot:data/b.csv}"}],
        "alias": "${sets.train}",
    }
    project.write("conf/config.yaml", with_callback(yaml.safe_dump(config)))
    project.app()
    assert set(project.lock()["data"]) == {"sets.train", "many[0]", "many[1].deep"}


def test_one_key_for_two_paths_keeps_both(project: Project) -> None:
    """A key that two places of the config give to different paths loses neither."""
    project.write("data/b.csv", "1")
    project.app("+a='${snapshot:data/table.csv,k}'", "+b='${snapshot:data/b.csv,k}'")
    lock = project.lock()
    assert lock["data"]["k"]["path"] == "data/table.csv"
    assert lock["data"]["k#2"]["path"] == "data/b.csv"
    assert any("k names two paths" in warning for warning in lock["warnings"])


def test_a_path_computed_anew_replaces_its_entry(project: Project) -> None:
    """A path that differs at each access stands once, as last accessed."""
    project.app("+x='${snapshot:data/${now:%f}.csv}'", "+y=${x}")
    assert [key for key in project.lock()["data"] if key.startswith("x")] == ["x"]


def test_no_other_resolver_runs_for_the_scan(project: Project) -> None:
    """Finding the data calls no resolver but the snapshot's own arguments."""
    source = project.path("app.py").read_text().replace(
        "@hydra.main",
        "from omegaconf import OmegaConf\n"
        "calls = []\n"
        "OmegaConf.register_new_resolver('costly', lambda p: calls.append(p) or len(calls))\n"
        "@hydra.main",
        1,
    )
    project.write("app.py", source)
    project.app("+x='${costly:${snapshot:data/table.csv}}'",
                "hydra.callbacks.flexlock.save_config=none", "hydra.run.dir=outputs/a")
    project.write("app.py", source.replace("return {", "return {'calls': len(calls), "))
    project.app("+x='${costly:${snapshot:data/table.csv}}'",
                "hydra.callbacks.flexlock.save_config=none")
    lock = project.lock()
    assert lock["run"]["result"]["calls"] == 0
    assert lock["data"]["x"]["path"] == "data/table.csv"


def test_a_resolver_that_raises_stops_nothing(project: Project) -> None:
    """A key that cannot be resolved keeps its interpolation and is named."""
    project.app("+bad='${oc.env:NOT_SET_AT_ALL}'")
    lock = project.lock()
    assert lock["config"]["bad"] == "${oc.env:NOT_SET_AT_ALL}"
    assert lock["config"]["table"] == "data/table.csv"
    assert any("bad" in warning for warning in lock["warnings"])


@pytest.mark.parametrize("words", ["", "a,b,c"])
def test_a_call_of_the_resolver_that_is_none_is_explained(words: str, project: Project) -> None:
    """Without a path, or with a comma that is not quoted, the right form is named, once."""
    project.app(f"+bad='${{snapshot:{words}}}'")
    (warning,) = project.lock()["warnings"]
    assert warning.startswith(f"bad: ${{snapshot:{words}}} cannot be resolved: ")
    assert "quote a path with a comma" in warning


@pytest.mark.parametrize("words", [["--cfg", "job", "--resolve"], ["--cfg", "job", "-p", "table"]])
def test_resolver_is_pure_outside_a_job(project: Project, words: list[str]) -> None:
    """Printing the config resolves the path and records nothing."""
    project.path("data/table.csv").unlink()
    before = fingerprint(project.root)
    assert "data/table.csv" in project.app(*words, "--resolve").out
    assert fingerprint(project.root) == before


def test_resolver_with_plain_omegaconf(project: Project) -> None:
    """After ``import flexlock_hydra`` plain OmegaConf knows the resolver."""
    code = (
        "import flexlock_hydra, omegaconf as o;"
        "print(o.OmegaConf.create({'a': '${snapshot:x/y,k}'}).a)"
    )
    assert project.call(sys.executable, "-c", code).out == "x/y\n"


@pytest.mark.parametrize(
    "imports",
    [
        "import flexlock_hydra, omegaconf",
        "import omegaconf, flexlock_hydra",
        "import flexlock_hydra; from omegaconf.dictconfig import DictConfig",
        "import flexlock_hydra, importlib.util; importlib.util.find_spec('omegaconf')",
        "import flexlock_hydra, threading as t\n"
        "x = t.Thread(target=__import__, args=('omegaconf',)); x.start(); x.join()",
    ],
)
def test_resolver_is_there_whatever_is_imported_first(project: Project, imports: str) -> None:
    """OmegaConf knows the resolver as soon as both are imported, and nothing watches any more."""
    code = (
        f"import sys\nbefore = list(sys.meta_path)\n{imports}\n"
        "import omegaconf, inspect\n"
        "print(omegaconf.OmegaConf.has_resolver('snapshot'), sys.meta_path == before)\n"
        "print('OmegaConf' in inspect.getsource(omegaconf))\n"
        "print('exec_module' in vars(omegaconf.__loader__))\n"
    )
    assert project.call(sys.executable, "-c", code).out.split() == ["True", "True", "True", "False"]


def test_importing_the_package_alone_loads_no_omegaconf(project: Project) -> None:
    """The command line starts without OmegaConf, and a failed import of it stays its own."""
    code = "import sys, flexlock_hydra; print('omegaconf' in sys.modules)"
    assert project.call(sys.executable, "-c", code).out == "False\n"
    project.write("omegaconf.py", "raise RuntimeError('broken')\n")
    code = (
        "import flexlock_hydra\n"
        "try:\n    import omegaconf\nexcept RuntimeError as error:\n    print(error)\n"
        "import os, sys; os.unlink('omegaconf.py'); sys.path_importer_cache.clear()\n"
        "from omegaconf import OmegaConf; print(OmegaConf.has_resolver('snapshot'))\n"
    )
    assert project.call(sys.executable, "-c", code).out == "broken\nTrue\n"


def test_resolver_comes_back_after_clear_resolvers(project: Project) -> None:
    """An app that clears all resolvers before Hydra starts still has ours."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py",
        source.replace("    main()\n", "    from omegaconf import OmegaConf\n"
                       "    import flexlock_hydra\n    OmegaConf.clear_resolvers()\n    main()\n"),
    )
    project.app()
    assert "table" in project.lock()["data"]


STAND_IN_FOR_TORCH = """
state = [0]


def get_rng_state():
    return list(state)


def set_rng_state(new):
    state[:] = new


def seed(start):
    state[0] = start


def random():
    state[0] += 1
    return state[0]
"""


@pytest.mark.parametrize("module", ["random", "numpy.random", "torch.random"])
@pytest.mark.hydra
def test_resolvers_leave_no_trace_in_the_task(module: str, project: Project) -> None:
    """What a resolver that the task never calls draws, changes or ends stays without effect."""
    project.write("torch/__init__.py", "")
    project.write("torch/random.py", STAND_IN_FOR_TORCH)
    project.write(
        "app.py",
        f"import os, sys\nimport {module} as random\n"
        "import hydra\nfrom omegaconf import OmegaConf\n"
        "OmegaConf.register_new_resolver('draw', random.random)\n"
        "OmegaConf.register_new_resolver('move', lambda: os.chdir('/'))\n"
        "OmegaConf.register_new_resolver('leave', lambda: sys.exit(9))\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(cfg):\n    print(os.getcwd(), random.random())\n"
        "random.seed(0)\nmain()\n",
    )
    words = ("+a=${draw:}", "+b=${move:}", "+c=${leave:}")
    plain = project.call(project.python, "app.py", *words).out
    recorded = project.call(project.python, "app.py", *words, "hydra/callbacks=flexlock").out

    assert recorded == plain
    assert project.lock()["warnings"] == ["config c: 9"]
