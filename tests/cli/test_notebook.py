"""Runs in a notebook: as a data frame, as a table of HTML, by rich."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
from rich.console import Console
from rich.pretty import Pretty

import flexlock_hydra
from flexlock_hydra.archive.query.columns import ColumnError
from flexlock_hydra.archive.query.search import COLUMNS
from flexlock_hydra.errors import ExtraError, LockError, RunNotFoundError
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import DataEntry, Failure, RunLock, Sweep
from tests.conftest import Project
from tests.support.listings import put, run
from tests.support.locks import BOTH, FULL

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>'\" \u202e\x1b[31m&amp;"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of the test's own."""
    monkeypatch.setenv("FLEXLOCK_CACHE", str(tmp_path / "cache"))


def test_a_frame(tmp_path: Path) -> None:
    """A row a run, the newest first: the columns of ls, and each key of config and result."""
    put(tmp_path, run(1, config={"lr": 0.1, "model": {"name": "mlp", "no": {}}}, result={"acc": 1}))
    put(tmp_path, run(2, config={"lr": 0.2, "layers": [1, 2]}, result=7, overrides=("lr=0.2",)))
    frame = flexlock_hydra.runs(tmp_path)
    assert [*frame.columns] == [
        *COLUMNS, "config.lr", "config.layers", "config.model.name", "config.model.no",
        "result.acc", "data.raw.path", "data.raw.hash.md5", "data.raw.size", "data.raw.nfiles",
    ]  # fmt: skip
    assert frame["config.lr"].tolist() == [0.2, 0.1]
    assert frame["config.layers"][0] == [1, 2] and frame["overrides"][0] == ["lr=0.2"]
    assert frame["result"].tolist() == [7, {"acc": 1}]
    assert frame["result.acc"][1] == 1 and pandas.isna(frame["result.acc"][0])
    assert frame["started"][0] == pandas.Timestamp("2026-11-22T10:00:02.5", tz="UTC")
    assert frame["duration"].sum() == 3.0


def test_a_sweep(tmp_path: Path) -> None:
    """The sweep's id and the job's number, a whole one; both are missing of a run alone."""
    for number, sweep in ((1, None), (2, Sweep(id="20261122T100000Z-00000001", dir="s"))):
        lock = run(number)
        job = replace(lock.job, sweep=sweep, num=7 if sweep else None)
        put(tmp_path, replace(lock, job=job))
    frame = flexlock_hydra.runs(tmp_path)
    assert frame["sweep"][0] == "20261122T100000Z-00000001" and pandas.isna(frame["sweep"][1])
    assert frame["num"].dtype == "Int64" and frame["num"][0] == 7 and pandas.isna(frame["num"][1])
    alone = flexlock_hydra.runs(tmp_path, where="sweep == null")
    assert len(alone) == 1 and alone["num"].isna().all()


def test_a_number_beyond_64_bits(tmp_path: Path) -> None:
    """A lock with a number that no column of whole numbers holds is a row all the same."""
    lock = run(1)
    put(tmp_path, replace(lock, job=replace(lock.job, num=10**30)))
    assert flexlock_hydra.runs(tmp_path)["num"].tolist() == [10**30]


def test_inputs(tmp_path: Path) -> None:
    """Of an input where it was and what it was, under the names that ls has for it."""
    md5 = "0123456789abcdef0123456789abcdef"
    links = {str(number): "x" for number in range(100)}
    data = {
        "table": DataEntry(path="d/t", hash={"md5": f"{md5}.dir"}, size=3, nfiles=2, links=links),
        "page": DataEntry(path="https://a.b/c", remote={"etag": "x"}),
        "gone": DataEntry(path="e", error="e is missing"),
    }
    put(tmp_path, replace(run(1), data=data))
    put(tmp_path, replace(run(2), data={}))
    frame = flexlock_hydra.runs(tmp_path)
    assert [*frame.columns][len(COLUMNS):] == [
        "data.table.path", "data.table.hash.md5", "data.table.size", "data.table.nfiles",
        "data.page.path", "data.page.remote.etag", "data.gone.path",
    ]  # fmt: skip
    assert frame["data.table.hash.md5"][1] == f"{md5}.dir"
    assert pandas.isna(frame["data.table.hash.md5"][0])
    same = flexlock_hydra.runs(tmp_path, where=f'data.table.hash.md5 == "{md5}.dir"')
    assert same["id"].tolist() == [frame["id"][1]]


def test_a_lock_of_a_frame_is_read(tmp_path: Path) -> None:
    """What a frame has as a run's path is its lock's to read; so are a folder and a lock file."""
    lock = run(1)
    path = put(tmp_path, lock)
    kept = path.with_name("run.20261122T100000Z-00000002.lock")
    path.with_name("other").write_bytes(lockfile.dumps(replace(lock, config={"a": 1})))
    (place,) = flexlock_hydra.runs(tmp_path)["path"]
    for name in (place, str(path), path, path.parent):
        assert flexlock_hydra.read_lock(name) == lock
    path.replace(kept)
    for each in flexlock_hydra.runs(tmp_path)["path"]:
        assert flexlock_hydra.read_lock(each) == lock


def test_what_is_no_lock(tmp_path: Path) -> None:
    """Each says what it is: no file, a folder without a lock, another file, a run's id, NaN."""
    (tmp_path / "notes").write_text("no lock")
    for name in (tmp_path / "nowhere", tmp_path, "20261122T100000Z-00000001"):
        with pytest.raises(RunNotFoundError, match="no run.lock at") as caught:
            flexlock_hydra.read_lock(name)
        assert "find_run" in caught.value.hint
    with pytest.raises(LockError, match="notes"):
        flexlock_hydra.read_lock(str(tmp_path / "notes"))
    with pytest.raises(TypeError, match="float"):
        flexlock_hydra.read_lock(float("nan"))  # type: ignore[arg-type]


@pytest.mark.hydra
def test_a_project(recorded: Project) -> None:
    """What a recorded project's config held is found in the frame."""
    frame = flexlock_hydra.runs(recorded.root)
    assert frame["config.lr"].tolist() == [0.2, 0.1] and set(frame["status"]) == {"completed"}


def test_a_condition(tmp_path: Path) -> None:
    """The condition is that of ls; a wrong one is an error, no run an empty frame."""
    for number in (1, 2):
        put(tmp_path, run(number, config={"lr": number}))
    assert flexlock_hydra.runs(tmp_path, where="config.lr > 1")["config.lr"].tolist() == [2]
    nothing = flexlock_hydra.runs(str(tmp_path), where="config.lr > 2")
    assert len(nothing) == 0 and [*nothing.columns] == [*COLUMNS]
    with pytest.raises(ColumnError):
        flexlock_hydra.runs(tmp_path, where="lr > 2")
    with pytest.raises(LookupError):
        flexlock_hydra.runs(tmp_path / "nowhere")


def test_damaged_locks_are_warned_of(tmp_path: Path) -> None:
    """What cannot be read is no row, and a warning."""
    put(tmp_path, run(1)).write_text("no lock")
    with pytest.warns(UserWarning, match="outputs/1/run.lock"):
        assert len(flexlock_hydra.runs(tmp_path)) == 0


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pandas is not installed, the error says which extra has it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ExtraError, match=r"pip install 'flexlock-hydra\[notebook\]'"):
        flexlock_hydra.runs(".")


def test_importing_loads_nothing_heavy() -> None:
    """``import flexlock_hydra`` loads neither YAML, pandas, click, git nor the evaluator."""
    heavy = "{'yaml', 'pandas', 'click', 'git', 'simpleeval', 'rich', 'sqlite3', 'dvc'}"
    code = f"import sys, flexlock_hydra as f; f.__dir__(); print(*({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


class Tags(HTMLParser):
    """The tags and attributes that a browser would see, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.text += data


@BOTH
def test_html(lock: RunLock, tmp_path: Path) -> None:
    """A lock that was read shows as a table: what ran, how it ended, its config."""
    lockfile.write(lock, tmp_path / "run.lock")
    seen = Tags(flexlock_hydra.read_lock(tmp_path / "run.lock")._repr_html_())
    assert seen.tags == {"table", "tr", "th", "td", "details", "summary", "pre"}
    for text in (lock.run.id, lock.job.name, lock.run.status, lock.environment.python):
        assert text in seen.text


def test_hostile_html() -> None:
    """Nothing that a lock says becomes a tag, an attribute, or turns the text around."""
    lock = replace(
        FULL,
        run=replace(
            FULL.run, started=HOSTILE, result={HOSTILE: HOSTILE},
            error=Failure(type=HOSTILE, message=HOSTILE, traceback=HOSTILE),
        ),
        job=replace(FULL.job, name=HOSTILE, overrides=replace(
            FULL.job.overrides, task=(HOSTILE,))),
        config={HOSTILE: HOSTILE},
        data={HOSTILE: DataEntry(path=HOSTILE)},
        environment=replace(FULL.environment, python=HOSTILE, implementation=HOSTILE),
        warnings=(HOSTILE,),
    )
    seen = Tags(lock._repr_html_())
    assert seen.tags == {"table", "tr", "th", "td", "details", "summary", "pre"}
    assert seen.attributes == {"style"}
    assert "\u202e" not in seen.text and "\x1b" not in seen.text
    assert "<script>alert(1)</script>" in seen.text and "&amp;" in seen.text


@BOTH
def test_rich(lock: RunLock) -> None:
    """rich shows the same in short; control characters stay Python's escapes."""
    lock = replace(lock, job=replace(lock.job, name="[bold]a\x1b[31m"))
    out = io.StringIO()
    Console(file=out, width=100).print(Pretty(lock))
    assert out.getvalue().startswith("RunLock(\n    id='2026")
    assert f"status='{lock.run.status}'" in out.getvalue()
    assert "job='[bold]a\\x1b[31m'" in out.getvalue() and "\x1b" not in out.getvalue()
