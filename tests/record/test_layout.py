"""The names of tags, locks and restored data."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.record import layout
from tests.support.locks import RUN_ID

JOBS = [
    "train", "my job", "a/b/c", "..", ".", "-", "--option", "@", "@{", "a@{b", "HEAD", "a..b",
    "a...b", ".hidden", "trailing.", "trailing/", "/leading", "a//b", "x.lock", ".lock",
    "a.lock.lock", "x.lock.", "a.lock/b", "x..lock", "tilde~1", "caret^", "colon:x", "q?",
    "star*", "br[a]", "back\\slash", "tab\tx", "new\nline", "del\x7f", "nul\x01", "ü", "日本語",
    "😀", "é.lock", "job.LOCK", "__main__", "a,b=c", "'quoted'", "", " ", "x" * 200,
    "\udcff", "a.-.lock", "-.lock.lock", "refs/heads/main",
]


@pytest.mark.parametrize("job", JOBS, ids=ascii)
def test_git_accepts_the_tag_of_any_job_name(job: str) -> None:
    """The tag of a run is a ref name that git itself accepts."""
    tag = layout.tag_name(job, RUN_ID)

    subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=True)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.text(st.sampled_from("a.-/@{}~^:?*[\\ lock\tü\x00"), max_size=12))
def test_git_accepts_the_tag_of_any_text(job: str) -> None:
    """No mixture of the characters that git dislikes makes a tag that it refuses."""
    tag = layout.tag_name(job, RUN_ID)

    subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=True)


@pytest.mark.parametrize("job", JOBS, ids=ascii)
@pytest.mark.parametrize("prefix", ["", "refs/tags/"])
def test_a_tag_is_parsed_again(job: str, prefix: str) -> None:
    """The tag of any job name is recognised, with its run id, short and in full."""
    tag = layout.tag_name(job, RUN_ID)

    assert layout.parse_tag(prefix + tag) == (tag.split("/")[1], RUN_ID)


@pytest.mark.parametrize("job", ["train", "my-job_2.1", "A"])
def test_a_plain_job_name_is_kept(job: str) -> None:
    """Letters, digits, ``_``, ``-`` and single dots stand in the tag as they are."""
    assert layout.tag_name(job, RUN_ID) == f"flexlock/{job}/{RUN_ID}"


@pytest.mark.parametrize("text", ["", "v1.0", f"flexlock/{RUN_ID}", f"flexlock/a/b/{RUN_ID}",
                                  "flexlock/train/latest", f"flexlock/train/{RUN_ID}0",
                                  f"other/train/{RUN_ID}", f"refs/heads/flexlock/train/{RUN_ID}"])
def test_another_tag_is_none_of_ours(text: str) -> None:
    """A tag or ref of another form is not taken for a run's."""
    assert layout.parse_tag(text) is None


@pytest.mark.parametrize(("absolute", "expected"), [
    ("/data/raw", ".flexlock/fsroot/data/raw"),
    ("/data/with space/ü", ".flexlock/fsroot/data/with space/ü"),
    ("/", ".flexlock/fsroot"),
    ("//server/share/x", ".flexlock/fsroot/server/share/x"),
    ("C:\\data\\raw", ".flexlock/fsroot/C/data/raw"),
    ("C:/data/raw", ".flexlock/fsroot/C/data/raw"),
    ("d:\\x", ".flexlock/fsroot/d/x"),
])
def test_absolute_data_comes_back_below_the_root(absolute: str, expected: str) -> None:
    """Data from outside the repository has one place below it, POSIX style."""
    assert layout.fsroot_path(absolute) == expected


@pytest.mark.parametrize(("name", "ours"), [
    ("run.lock", True),
    (layout.superseded_lock(RUN_ID), True),
    (f"run.{RUN_ID}.lock", True),
    (".run.lock.abc123", False),
    ("uv.lock", False),
    ("run.x.lock", False),
    ("run.lock.bak", False),
])
def test_locks_are_known_by_name(name: str, ours: bool) -> None:
    """Current and superseded locks are recognised, other files are not."""
    assert layout.is_lock(name) is ours


OWN: list[tuple[Callable[[str], bool], str, bool]] = [
    (layout.is_own_file, ".run.lock.abc123", True),
    (layout.is_own_file, "run.lock", True),
    (layout.is_own_file, "model.pt", False),
]


@pytest.mark.parametrize(("known", "name", "expected"), OWN)
def test_a_lock_being_written_is_our_own(
    known: Callable[[str], bool], name: str, expected: bool
) -> None:
    """A temporary file of a lock is told apart from a job's files."""
    assert known(name) is expected
