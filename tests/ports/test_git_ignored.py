"""What git ignores: one question in the life of a process."""

from __future__ import annotations

import pytest

from flexlock_hydra.ports.git.repo import GitRepo, ignored_paths
from tests.conftest import Project


def test_git_is_asked_about_a_file_once(
    rich: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git ignores is told by path; only what is new is asked about, by repository."""
    repo, ask, asked = GitRepo.find(rich.root), GitRepo.ignored, list[list[str]]()
    assert repo is not None
    rich.path(".gitignore").write_text("*.log\n")

    def noted(self: GitRepo, paths: list[str]) -> list[str]:
        asked.append(paths)
        return ask(self, paths)

    monkeypatch.setattr(GitRepo, "ignored", noted)
    assert ignored_paths(repo, ["a.log", "b"]) == {"a.log"}
    assert ignored_paths(repo, ["b", "c.log"]) == {"c.log"}
    assert ignored_paths(repo, ["b", "a.log"]) == {"a.log"}
    assert asked == [["a.log", "b"], ["c.log"]]
