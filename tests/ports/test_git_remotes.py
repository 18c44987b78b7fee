"""Git remotes over every transport: a folder, ssh, http, http that asks who is there."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.remote import fetch_refs, push_refs, remote_refs
from tests.conftest import Project
from tests.support.git_http import GitHttp, new_bare
from tests.support.loopback import STRANGER, WRITER, free_port
from tests.support.servers import Ssh

KINDS = ("folder", pytest.param("ssh", marks=pytest.mark.needs("ssh")), "http", "private http")
BOUND = 20
"""Seconds within which a refusal has to come."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Remote:
    """A project with one commit, and a new and empty remote for it."""

    project: Project
    url: str
    head: str

    def at(self, ref: str, oid: str = "") -> dict[str, str]:
        """A ref with something in it."""
        return {ref: oid or self.head}

    def refs(self) -> dict[str, str]:
        """What is there."""
        return remote_refs(self.project.root, self.url, "refs/tags/*", "refs/heads/*")


@pytest.fixture(params=KINDS)
def remote(
    request: pytest.FixtureRequest,
    project: Project,
    own_home: None,
    ssh: Ssh,
    git_http: GitHttp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Remote:
    """A new remote behind each transport; whoever is asked may write."""
    name = f"r{next(_numbers)}"
    make: dict[str, Callable[[], str]] = {
        "folder": lambda: str(new_bare(tmp_path / "bare.git")),
        "ssh": lambda: ssh.repository(name),
        "http": lambda: git_http.repository(name),
        "private http": lambda: git_http.repository(name, private=True, who=WRITER),
    }
    for key, value in ssh.git_environment().items():
        monkeypatch.setenv(key, value)
    return Remote(project, make[request.param](), project.git("rev-parse", "HEAD"))


@contextmanager
def refused(what: str) -> Iterator[None]:
    """A GitError that says what to do, in time, and tells no secret."""
    begun = time.monotonic()
    with pytest.raises(GitError, match=what) as caught:
        yield
    assert time.monotonic() - begun < BOUND
    assert caught.value.hint
    assert f"{WRITER}-secret" not in f"{caught.value} {caught.value.hint}"


def test_push_and_list(remote: Remote) -> None:
    """What is pushed is there, found by its name or a pattern, and deleted again."""
    push_refs(remote.project.root, remote.url, remote.at("refs/tags/flexlock/run/1"))
    push_refs(remote.project.root, remote.url, remote.at("refs/heads/side"))
    assert remote.refs() == {
        "refs/heads/side": remote.head, "refs/tags/flexlock/run/1": remote.head
    }
    named = remote_refs(remote.project.root, remote.url, "refs/tags/flexlock/run/1", "refs/tags/no")
    assert named == {"refs/tags/flexlock/run/1": remote.head}
    push_refs(remote.project.root, remote.url, {"refs/tags/flexlock/run/1": ""})
    assert remote.refs() == {"refs/heads/side": remote.head}


def test_an_annotated_tag_is_listed_once(remote: Remote) -> None:
    """A tag with a message is named by its own id, not by the commit that it points to."""
    remote.project.git("tag", "-a", "-m", "said", "noted")
    oid = remote.project.git("rev-parse", "refs/tags/noted")
    push_refs(remote.project.root, remote.url, {"refs/tags/noted": oid})
    assert remote.refs() == {"refs/tags/noted": oid} and oid != remote.head


def test_all_or_none(remote: Remote) -> None:
    """A tag that is there with other content is kept, and nothing beside it is pushed."""
    push_refs(remote.project.root, remote.url, remote.at("refs/tags/one"))
    other = remote.project.commit("other")
    with refused("already exists"):
        push_refs(
            remote.project.root, remote.url, {"refs/tags/one": other, "refs/tags/two": other}
        )
    assert remote.refs() == {"refs/tags/one": remote.head}


def test_the_same_again(remote: Remote) -> None:
    """What is there already is pushed again without harm."""
    for _ in range(2):
        push_refs(remote.project.root, remote.url, remote.at("refs/tags/one"))
    assert remote.refs() == {"refs/tags/one": remote.head}


def test_fetch(remote: Remote, tmp_path: Path) -> None:
    """Another repository fetches a tag with all its bytes, and keeps its own refs."""
    content = bytes(range(256)) * 4000
    remote.project.write("large.bin", content)
    head = remote.project.commit("large")
    push_refs(remote.project.root, remote.url, {"refs/tags/one": head})
    there = new_bare(tmp_path / "other.git")
    fetch_refs(there, remote.url, ["refs/tags/one:refs/fetched/one"])
    show = ["git", "-C", str(there), "cat-file", "blob", "refs/fetched/one:large.bin"]
    assert subprocess.run(show, check=True, capture_output=True).stdout == content
    listed = ["git", "-C", str(there), "for-each-ref", "--format=%(refname)"]
    assert subprocess.check_output(listed, text=True).split() == ["refs/fetched/one"]


def test_an_unsafe_object_is_not_fetched(remote: Remote, tmp_path: Path) -> None:
    """A tree that would write into .git is refused, and nothing of it is kept."""
    root = remote.project.root
    blob = remote.project.git("hash-object", "-w", "app.py")
    entry = b"100644 .GIT\0" + bytes.fromhex(blob)
    words = ["git", "-C", str(root), "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    tree = subprocess.run(words, input=entry, check=True, capture_output=True).stdout.decode()
    bad = remote.project.git("commit-tree", "-m", "bad", tree.strip())
    push_refs(root, remote.url, {"refs/tags/bad": bad})
    there = new_bare(tmp_path / "other.git")
    with refused("not safe"):
        fetch_refs(there, remote.url, ["refs/tags/bad:refs/fetched/bad"])
    look = ["git", "-C", str(there), "cat-file", "-e", bad]
    assert subprocess.run(look, check=False, capture_output=True).returncode != 0


def test_a_missing_tag(remote: Remote, tmp_path: Path) -> None:
    """A tag that is not there is not listed, and fetching it is an error."""
    push_refs(remote.project.root, remote.url, remote.at("refs/tags/one"))
    there = new_bare(tmp_path / "other.git")
    assert remote_refs(there, remote.url, "refs/tags/two") == {}
    with refused("refs/tags/two"):
        fetch_refs(there, remote.url, ["refs/tags/two:refs/fetched/two"])


def uses(root: Path, url: str, oid: str) -> list[Callable[[], object]]:
    """Everything that needs a remote to answer."""
    return [
        lambda: remote_refs(root, url),
        lambda: push_refs(root, url, {"refs/tags/one": oid}),
        lambda: fetch_refs(root, url, ["refs/tags/one:refs/fetched/one"]),
    ]


@pytest.mark.parametrize("who", ["", STRANGER])
def test_http_without_credentials(
    git_http: GitHttp, project: Project, own_home: None, who: str
) -> None:
    """Who gives no name, or a wrong one, is refused at once; nobody is asked for a password."""
    url = git_http.repository(f"r{next(_numbers)}", private=True, who=who)
    for use in uses(project.root, url, project.git("rev-parse", "HEAD")):
        with refused("lets nobody in without credentials"):
            use()


@pytest.mark.needs("ssh")
def test_ssh_without_credentials(
    ssh: Ssh, project: Project, own_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the server does not know is refused at once."""
    monkeypatch.setenv(*ssh.git_environment(STRANGER).popitem())
    url = ssh.repository(f"r{next(_numbers)}")
    for use in uses(project.root, url, project.git("rev-parse", "HEAD")):
        with refused("lets nobody in without credentials"):
            use()


@pytest.mark.parametrize(
    "scheme", ["http", pytest.param("ssh", marks=pytest.mark.needs("ssh"))]
)
def test_no_server(
    scheme: str, ssh: Ssh, project: Project, own_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody listens, every use says so at once."""
    monkeypatch.setenv(*ssh.git_environment().popitem())
    url = f"{scheme}://127.0.0.1:{free_port()}/r.git"
    for use in uses(project.root, url, project.git("rev-parse", "HEAD")):
        with refused("(?i)connect|refused"):
            use()


def test_credentials_of_a_helper(
    git_http: GitHttp, project: Project, own_home: None, tmp_path: Path
) -> None:
    """Git's own helpers give the credentials; neither URL nor message has them."""
    url = git_http.repository(f"r{next(_numbers)}", private=True)
    kept = tmp_path / "kept"
    kept.write_text(git_http.url("", WRITER) + "\n")
    project.git("config", "--global", "credential.helper", f"store --file={kept}")
    head = project.git("rev-parse", "HEAD")
    push_refs(project.root, url, {"refs/tags/one": head})
    assert remote_refs(project.root, url) == {"refs/tags/one": head}
