"""Secrets in what a push would make public: files of commits, and locks.

Only what shows itself is looked for: well-known tokens, private keys, and in files that
hold settings the values of names such as ``api_key``. A file is named by its path and
line, the secret by its kind, never by its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.capture.secrets.patterns import SHAPES
from flexlock_hydra.errors import PushError
from flexlock_hydra.ports.git.remote import new_blobs
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.record.layout import is_lock
from flexlock_hydra.record.wording import lines_of

_LARGEST = 4 << 20
"""Bytes above which a file is no text that anybody wrote."""
_NAMED = 10
_LONGEST_KEY, _LONGEST_TOKEN = 8000, 600
"""Characters."""
_VAGUE = frozenset(("Azure storage key", "GitLab", "basic", "bearer", "Twilio", "Discord bot"))
"""Kinds that other texts look like too: images in notebooks, hashes, long names."""

_KINDS = {
    **{kind: pattern for kind, pattern in SHAPES if kind not in _VAGUE},
    "GitLab": r"gl(?:pat|dt|rt|cbt|ptt|ft|imt)-(?=[\w-]{0,40}\d)[\w-]{20,}",
}
_SETTINGS = frozenset(".env .yaml .yml .json .toml .ini .cfg .conf .properties .secrets".split())
_SHAPE = re.compile(
    "(?<![A-Za-z0-9])(?:"
    + "|".join(f"(?P<k{number}>{pattern})" for number, pattern in enumerate(_KINDS.values()))
    + ")"
)
_KEY_BODY = re.compile(r"-----BEGIN[^\n]{0,60}-----.*?[A-Za-z0-9+/=]{16,}.*?-----END", re.DOTALL)
_LITERALS = tuple(
    text.encode()
    for text in "AKIA ASIA ABIA ACCA 8Q~ dapi doo_v1_ dop_v1_ dor_v1_ dot_v1_ /api/webhooks/ "
    "dckr_pat_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glrt- glcbt- glptt- glft- glimt- "
    "AIza ya29. GOCSPX- gsk_ hvb. hvr. hvs. hf_ api_org_ eyJ npm_ nvapi- sk- pypi-Ag r8_ SG. xox "
    "xapp- hooks.slack.com sk_live_ sk_test_ rk_live_ rk_test_ whsec_ wandb_v1_ -----BEGIN".split()
)
"""A file without any of these holds no well-known token: most need no closer look."""

_TELLING = re.compile(rb"(?i)pass|pwd|secret|token|key|cred|auth")
_ASSIGNED = re.compile(
    r"""^[ \t-]*(?:export[ ]+|set[ ]+)?["']?(?P<name>[A-Za-z_][\w.-]{0,60})["']?[ \t]*[:=][ \t]*
    (?P<quote>["']?)(?P<value>[^\s"'#,{}\[\]<>$*]{6,200})(?P=quote)[ \t]*,?[ \t]*(?:\#.*)?\r?$""",
    re.VERBOSE | re.MULTILINE,
)
_EXAMPLES = re.compile(r"(?i)example|change|your|dummy|placeholder|xxxx|fake|test|sample|\.{3}|/")


@dataclass(frozen=True)
class Leak:
    """A line that shows a secret."""

    path: str
    line: int
    what: str
    """Its kind, with no more of it than its first letters."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def find_secrets(path: str, content: bytes) -> Iterator[Leak]:
    """The lines of a file that show a secret."""
    if len(content) > _LARGEST or b"\0" in content[:8000]:
        return
    may_assign = _holds_settings(path) and _TELLING.search(content) is not None
    literals = [literal for literal in _LITERALS if literal in content]
    if not (may_assign or literals):
        return
    text = content.decode("utf-8", "replace")
    found = dict(_shapes(text, literals))
    for match in _ASSIGNED.finditer(text) if may_assign else ():
        if what := _assignment(match):
            found.setdefault(match.start(), what)
    lines = {text.count("\n", 0, start) + 1: what for start, what in sorted(found.items())}
    for number, what in lines.items():
        yield Leak(path, number, what)


def in_commits(
    repo: GitRepo, commits: Iterable[str], known: Iterable[str]
) -> tuple[list[Leak], set[str]]:
    """The leaks of files that commits bring to who knows other objects, and their blobs."""
    names = dict(new_blobs(repo.root, commits, known))
    return _in_blobs(repo, names), set(names)


def in_tree(repo: GitRepo, tree: Mapping[str, TreeEntry], without: set[str]) -> list[Leak]:
    """The leaks of a commit's files, some blobs left out."""
    names = {
        entry.oid: path
        for path, entry in tree.items()
        if entry.mode.startswith("100") and entry.oid not in without
    }
    return _in_blobs(repo, names)


def in_locks(locks: Mapping[str, bytes]) -> list[Leak]:
    """The leaks of locks; what was masked when they were written is none."""
    return [leak for path, content in sorted(locks.items()) for leak in find_secrets(path, content)]


def refuse(leaks: Iterable[Leak], allowed: Iterable[str]) -> None:
    """Stop where there are leaks in files that are not allowed to have them.

    Raises:
        PushError: there are; each is named.
    """
    passed = {str(PurePosixPath(path)) for path in allowed}
    stopping = [leak for leak in leaks if leak.path not in passed]
    if stopping:
        raise PushError(
            f"what looks like a secret would be pushed:\n{lines_of(stopping, _NAMED)}",
            hint="Take it out, or put its file into .gitignore, and run the job again; a tag "
            f"cannot be taken back. If it is none: --allow-secret {stopping[0].path}",
        )


def _in_blobs(repo: GitRepo, names: Mapping[str, str]) -> list[Leak]:
    """The leaks of blobs, id -> path."""
    blobs = repo.read_blobs([*names], largest=_LARGEST)
    return sorted({leak for oid, text in blobs for leak in find_secrets(names[oid], text)}, key=str)


def _holds_settings(path: str) -> bool:
    pure = PurePosixPath(path)
    name = pure.name.lower()
    return pure.suffix.lower() in _SETTINGS or name.startswith((".env", ".netrc")) or is_lock(name)


def _shapes(text: str, literals: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Where well-known tokens begin, and their kinds; looked for around their literals."""
    for literal in map(bytes.decode, literals):
        longest = _LONGEST_KEY if literal.startswith("-") else _LONGEST_TOKEN
        at = text.find(literal)
        while at >= 0:
            match = _SHAPE.search(text, max(0, at - 3), at + longest)
            if match is not None and match.start() <= at + 40 and (what := _shape(match)):
                yield match.start(), what
            at = text.find(literal, at + 1)


def _shape(match: re.Match[str]) -> str | None:
    if "EXAMPLE" in match[0] or match.lastgroup is None:
        return None
    kind = [*_KINDS][int(match.lastgroup[1:])]
    if kind == "private key":
        return kind if _KEY_BODY.match(match[0]) else None
    return f"{kind}, {match[0][:4]}***"


def _assignment(match: re.Match[str]) -> str | None:
    """The name of a secret whose value stands in a line of settings."""
    value = match["value"]
    mixed = re.search(r"\d", value) and re.search("[A-Za-z]", value)
    if not mixed or _EXAMPLES.search(value):
        return None
    secret = Masker().is_secret_key(match["name"].rpartition(".")[2])
    return f"{match['name']} = ***" if secret else None
