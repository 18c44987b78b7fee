"""Every form in which a config can name data, and which outputs are hashed."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.capture.data.digest import digest
from tests.conftest import Project

APP = '''
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import hydra
from hydra.core.config_store import ConfigStore
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf


@dataclass
class Typed:
    path: Path = "${snapshot:data/a.csv}"
    maybe: Optional[str] = "${snapshot:data/a.csv}"
    table: Dict[str, Path] = field(default_factory=lambda: {"x": "${snapshot:data/b.csv}"})
    parts: List[str] = field(default_factory=lambda: ["${snapshot:data/a.csv}"])


ConfigStore.instance().store(group="typed", name="base", node=Typed)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> dict:
    plain = OmegaConf.to_container(cfg, resolve=True)
    plain["late"] = [str(cfg.url), os.path.exists(to_absolute_path(cfg.plain))]
    return {key: str(value) for key, value in plain.items()}


if __name__ == "__main__":
    main()
'''
CONFIG = """
defaults:
  - typed: base
  - _self_
  - override /hydra/callbacks: flexlock
name: a
folder: data
outside: OUTSIDE
plain: ${snapshot:data/a.csv}
quoted: ${snapshot:'data/odd, name=1.csv'}
nested: ${snapshot:${folder}/${name}.csv}
nest:
  here: b
  relative: ${snapshot:data/${.here}.csv}
  up: ${snapshot:data/${..name}.csv}
two: ${snapshot:data/a.csv} and ${snapshot:data/b.csv}
listed: ['${snapshot:data/a.csv}', '${snapshot:data/b.csv}']
inline: ${snapshot:[data/a.csv,data/b.csv]}
selected: ${oc.select:nowhere,${snapshot:data/a.csv}}
whole: ${snapshot:data}
pattern: ${snapshot:data/*.csv}
deep: ${snapshot:'data/**/*.txt'}
nothing: ${snapshot:data/*.nothing}
missing: ${snapshot:data/missing.csv}
away: ${snapshot:${outside}/x.bin}
home: ${snapshot:'~/in-home.csv'}
variable: ${snapshot:'$FORMS_FOLDER/x.bin'}
url: ${snapshot:'URL/data.bin'}
lost: ${snapshot:'URL/lost.bin'}
file: ${snapshot:'file://OUTSIDE/x.bin'}
windows: ${snapshot:'D:\\data\\x.csv'}
"""
A = {"md5": hashlib.md5(b"a").hexdigest()}
B = {"md5": hashlib.md5(b"bb").hexdigest()}
X = {"md5": hashlib.md5(b"xyz").hexdigest()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Tells of a file of five bytes; its content was never asked for in these tests."""

    def do_HEAD(self) -> None:  # noqa: N802
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(404 if "lost" in self.path else 200)
        for name, value in (("ETag", '"abc"'), ("Content-Length", "5"),
                            ("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT")):
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:  # noqa: N802
        self.server.asked.append(f"GET {self.path}")  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    """A web server on loopback that remembers what it was asked."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


@dataclass
class Ran:
    """A run of the app with every form in its config."""

    project: Project
    lock: dict[str, Any]
    outside: Path
    url: str
    asked: list[str]


@pytest.fixture(params=[False, True], ids=["stay", "chdir"])
def ran(
    request: pytest.FixtureRequest, project: Project, tmp_path: Path, server: Any
) -> Ran:
    """The app, run once, with ``hydra.job.chdir`` false and true."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.bin").write_text("xyz")
    Path(project.env["HOME"], "in-home.csv").write_text("a")
    files = {"a.csv": "a", "b.csv": "bb", "odd, name=1.csv": "a", "t/one.txt": "1",
             "t/u/two.txt": "2", ".hidden.csv": "h"}
    for name, text in files.items():
        project.write(f"data/{name}", text)
    project.path("data/table.csv").unlink()
    url = f"http://127.0.0.1:{server.server_port}"
    project.write("app.py", APP)
    project.write(
        "conf/config.yaml",
        CONFIG.replace("OUTSIDE", outside.as_posix()).replace("URL", url.replace("//", "//u:pw@")),
    )
    server.asked.clear()
    project.app(f"hydra.job.chdir={request.param}", FORMS_FOLDER=str(outside), no_proxy="*")
    return Ran(project, project.lock(), outside, url, list(server.asked))


@pytest.mark.hydra
def test_every_form(ran: Ran) -> None:
    """Each form of a path is found, hashed, recorded and returned as it was given."""
    data, given = ran.lock["data"], ran.lock["run"]["result"]
    hashes = {key: entry.get("hash") for key, entry in data.items()}
    folder = ran.project.path("data")

    for key in ("plain", "nested", "nest.up", "listed[0]", "inline[0]", "selected", "two",
                "typed.path", "typed.maybe", "typed.parts[0]", "quoted", "home"):
        assert hashes[key] == A, key
    for key in ("nest.relative", "two#2", "listed[1]", "inline[1]", "typed.table.x"):
        assert hashes[key] == B, key
    for key in ("away", "variable", "file"):
        assert hashes[key] == X, key
    assert hashes["whole"] == {"md5": digest(folder).md5}
    assert given["pattern"] == "data/*.csv"
    assert given["home"] == "~/in-home.csv"
    assert given["variable"] == "$FORMS_FOLDER/x.bin"
    assert given["two"] == "data/a.csv and data/b.csv"
    assert given["late"] == f"['{ran.url.replace('//', '//u:pw@')}/data.bin', True]".replace(
        "u:pw", "u:***"
    )
    assert "PosixPath('data/a.csv')" in given["typed"]


@pytest.mark.hydra
def test_every_form_is_one_entry(ran: Ran) -> None:
    """Reading the config during the job adds nothing to what was found before it."""
    keys = [key.partition("#")[0] for key in ran.lock["data"]]

    assert sorted(set(keys)) == sorted([
        "plain", "quoted", "nested", "nest.relative", "nest.up", "two", "listed[0]", "listed[1]",
        "inline[0]", "inline[1]", "selected", "whole", "pattern", "deep", "nothing", "missing",
        "away", "home", "variable", "url", "lost", "file", "windows", "typed.path",
        "typed.maybe", "typed.table.x", "typed.parts[0]",
    ])
    assert len(keys) == len(set(keys)) + 1  # two#2


@pytest.mark.hydra
def test_patterns(ran: Ran) -> None:
    """A pattern is one entry: its text, its base, the id of a folder with its matches."""
    data = ran.lock["data"]
    only = ran.project.root / "only"
    for name in ("a.csv", "b.csv", "odd, name=1.csv"):
        (only / name).parent.mkdir(exist_ok=True)
        (only / name).write_bytes(ran.project.path(f"data/{name}").read_bytes())

    assert data["pattern"] == {
        "path": "data/*.csv",
        "how": "marked",
        "base": "data",
        "hash": {"md5": digest(only).md5},
        "size": 4,
        "nfiles": 3,
        "config_key": "pattern",
    }
    assert (data["deep"]["path"], data["deep"]["nfiles"]) == ("data/**/*.txt", 2)
    assert data["nothing"]["error"] == "data/*.nothing matches no file"


@pytest.mark.hydra
def test_urls(ran: Ran) -> None:
    """A URL has what its server tells, asked for without a download; its password is masked."""
    data = ran.lock["data"]
    shown = ran.url.replace("//", "//u:***@")

    assert data["url"] == {
        "path": f"{shown}/data.bin",
        "how": "marked",
        "remote": {"etag": "abc", "size": "5", "modified": "Mon, 23 Nov 2026 10:00:00 GMT"},
        "config_key": "url",
    }
    assert data["lost"]["error"].startswith(f"{shown}/lost.bin cannot be looked up: HTTP Error 404")
    assert sorted(ran.asked) == ["/data.bin", "/lost.bin"]
    assert "u:pw" not in ran.project.newest().read_text()
    assert f"{shown}/data.bin  (etag abc, size 5, modified Mon, 23 Nov" in ran.project.flexlock(
        "show", "@latest"
    ).out


@pytest.mark.hydra
def test_what_cannot_be_recorded_is_named(ran: Ran) -> None:
    """Missing data, patterns without a match and other machines' paths are warnings."""
    data = ran.lock["data"]
    keys = [text.partition(":")[0] for text in ran.lock["warnings"]]

    assert sorted(keys) == ["data lost", "data missing", "data nothing", "data windows"]
    assert data["missing"]["error"].endswith("missing.csv is missing")
    assert data["windows"]["path"] == "D:\\data\\x.csv"
    assert ran.lock["run"]["status"] == "completed"


@pytest.mark.hydra
def test_short_forms_keep_what_was_given(ran: Ran) -> None:
    """``~``, variables and ``file://`` are recorded as the path they stand for, and as given."""
    data = ran.lock["data"]
    home = ran.project.env["HOME"]

    assert (data["home"]["path"], data["home"]["given"]) == (f"{home}/in-home.csv",
                                                             "~/in-home.csv")
    assert data["variable"]["path"] == data["file"]["path"] == f"{ran.outside}/x.bin"
    assert data["variable"]["given"] == "$FORMS_FOLDER/x.bin"


@pytest.mark.hydra
@pytest.mark.parametrize("path", ["data/gone.csv", "data/*.gone"])
def test_strict_refuses_a_job_whose_data_is_missing(project: Project, path: str) -> None:
    """Under strict=all a job whose data is not there does not run, and its lock says why."""
    done = project.app(f"table='${{snapshot:{path}}}'", "hydra.callbacks.flexlock.strict=all",
                       check=False)

    assert done.code == 2
    assert project.lock()["run"]["status"] == "failed"
    assert project.lock()["run"]["error"]["type"] == "DataError"


@pytest.mark.hydra
def test_strict_waits_for_a_pattern(project: Project) -> None:
    """Under strict=all a pattern without a match is refused in a large folder as well."""
    for number in range(300):
        project.write(f"data/many/{number}.csv", "")
    done = project.app("table='${snapshot:data/many/*.txt}'",
                       "hydra.callbacks.flexlock.strict=all", check=False)

    assert done.code == 2
    assert "data/many/*.txt matches no file" in done.err


@pytest.mark.hydra
def test_outputs_beside_a_patterns_matches(project: Project) -> None:
    """An output directory below a pattern's base is no part of what the pattern matches."""
    project.app("+scripts='${snapshot:./*.py}'")

    assert project.lock()["data"]["scripts"]["nfiles"] == 1
    assert project.lock()["warnings"] == []


@pytest.mark.hydra
@pytest.mark.parametrize(("pattern", "none"), [("data/**/*.csv", []), ("data/*", ["none"])])
def test_an_empty_folder_is_recorded_where_a_pattern_matches_it(
    pattern: str, none: list[str], project: Project
) -> None:
    """A folder that only lies on the way of a pattern is no data."""
    project.path("data/none").mkdir()
    project.app(f"+found='${{snapshot:{pattern}}}'")

    assert project.lock()["data"]["found"].get("empty", []) == none


@pytest.mark.hydra
def test_braces_are_said_to_be_no_pattern(project: Project) -> None:
    """Who writes ``{a,b}`` as a shell has it learns why nothing is there."""
    config = project.path("conf/config.yaml").read_text()
    project.write("conf/config.yaml", config + "d: ${snapshot:'data/{a,b}.csv'}\n")
    project.app()

    assert "missing (braces are no pattern)" in project.lock()["data"]["d"]["error"]


@pytest.mark.hydra
def test_a_pattern_travels(project: Project, store: Path) -> None:
    """A pattern's matches are pushed, pulled, and used by a rerun, without their neighbours."""
    for name in ("x.csv", "y.csv", "z.txt"):
        project.write(f"data/{name}", name)
    project.write("app.py", project.path("app.py").read_text().replace(
        "Path(cfg.table).read_text()",
        "''.join(p.read_text() for p in sorted(Path().glob(cfg.table)))",
    ))
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "table: ${snapshot:'data/?.csv'}\nlr: 0.1\n")
    project.commit()
    project.app()
    run = project.lock()["run"]["id"]
    again = project.flexlock("rerun", run, "--json").json
    tag = project.flexlock("push", run, "--remote", str(store), "--json").json["tag"]
    target = project.root.parent / "pulled"
    project.flexlock("pull", tag, "--into", str(target))

    assert again["verdict"] == "identical"
    assert sorted(path.name for path in (target / "data").iterdir()) == ["x.csv", "y.csv"]
