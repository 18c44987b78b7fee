"""What a hostile tag may say in one place: paths, names, settings, URLs, metafiles, listings."""

from __future__ import annotations

from typing import Any

from tests.support.forged import NULL_MD5, listing
from tests.support.forging import Forge

Cases = dict[str, tuple[Forge, str]]
"""What is forged, and words that refuse it."""

NOT_SAFE = "which is not safe"
DIFFERENT = "its manifest and its metafiles say different things"
NO_METAFILE = "is no metafile of a run"
NO_MANIFEST = "has no manifest of a push"
MORE_CONFIG = "the tag's .dvc/config says more than a push writes"
UNSAFE_OBJECT = "sent an object that is not safe"
DAMAGED_LISTING = "damaged listing"
BOMB = b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9) if n else b"x")
    for n in range(9)
)
"""A hundred million letters, should anybody write them out."""

PATHS = {
    "parent": "..",
    "sibling": "../x",
    "climbs": "a/../../x",
    "climbs from deep": "a/b/../../../x",
    "climbs to nothing": "a/..",
    "absolute": "{scene}/outside",
    "absolute, known": "/root/.ssh/authorized_keys",
    "two slashes": "//server/x",
    "drive": "C:/x",
    "drive without a slash": "c:x",
    "drive, backslash": "C:\\x",
    "share": "\\\\server\\share\\x",
    "root, backslash": "\\x",
    "climbs, backslash": "..\\x",
    "climbs from a folder, backslash": "a\\..\\..\\x",
    "climbs, mixed": "a/..\\x",
    "NUL": "a\0b",
    "empty": "",
    "dot": ".",
    "begins with a dot": "./x",
    "dot amid": "a/./x",
    "last slash": "a/",
    "double slash": "a//b",
    "long name": "x" * 256,
    "long name in UTF-8": "ä" * 128,
    "long path": "d/" * 2000 + "x",
    "hook": ".git/hooks/post-checkout",
    "git's config": ".git/config",
    "git's folder": ".git",
    "case twin": ".GIT/config",
    "half a case twin": ".Git/x",
    "short name": "git~1/config",
    "short name in capitals": "GIT~2/x",
    "last space": ".git /config",
    "last dot": ".git./config",
    "last dots and spaces": ".git . ./config",
    "NTFS stream": ".git::$INDEX_ALLOCATION/config",
    "NTFS stream, short": ".git:x/y",
    "HFS+ joiner": ".g\u200cit/config",
    "HFS+ mark first": "\ufeff.git/config",
    "HFS+ override": ".gi\u202et/x",
    "HFS+ and case": ".G\u200fIT/x",
    "git of a repository inside": "sub/.git/hooks/x",
    "twin of a repository inside": "sub/.GIT/x",
    "git, backslash": ".git\\hooks\\x",
    "git inside, backslash": "a\\.git\\config",
    "DVC's private config": ".dvc/config.local",
    "DVC's config": ".dvc/config",
    "DVC's twin": ".DVC/config.local",
    "DVC's twin with a dot": ".dvc./x",
    "DVC's short name": "dvc~1/x",
    "a metafile": ".flexlock/data/0001.dvc",
    "our note": ".flexlock/MISSING",
    "our repositories": ".flexlock/repos/x/y",
    "our twin": ".Flexlock/data/x",
    "our short name": "flexlo~1/x",
    "out of the place for absolute paths": ".flexlock/fsroot/../../x",
    "out of the place for other versions": ".flexlock/runs/../../../x",
}

LISTED = {
    name: PATHS[name]
    for name in (
        "parent", "sibling", "climbs", "climbs from deep", "climbs, backslash", "two slashes",
        "NUL", "dot", "dot amid", "last slash", "double slash", "long name", "hook", "case twin",
        "last dot", "NTFS stream", "HFS+ joiner", "git, backslash",
    )
} | {"half a letter": "\ud800", "not UTF-8": "\udcff"}

ENTRIES = {
    "parent": b"..",
    "dot": b".",
    "git": b".git",
    "case twin": b".GIT",
    "short name": b"git~1",
    "last space": b".git ",
    "last dot": b".git.",
    "NTFS stream": b".git::$INDEX_ALLOCATION",
    "HFS+ joiner": ".g\u200cit".encode(),
    "a path": b"a/b",
    "a path that climbs": b"../b",
    "an absolute path": b"/b",
    "there twice": b"app.py",
}
"""Names in the root of a tree that git itself looks at."""

MODULES = {
    "option": 'path = x\n\turl = -u./payload',
    "option, relative": 'path = x\n\turl = ./-u./payload/../-x\n\tupdate = !touch x',
    "line end": 'path = x\n\turl = "https://x%0ahost=y/"',
    "command": 'path = x\n\turl = /x\n\tupdate = !touch x',
    "path is an option": 'path = -x\n\turl = /x',
}

OPTIONS = {
    "a question": "ask_password = true",
    "a command for a token": "bearer_token_command = {payload}",
    "a command by a config": "configpath = ../aws",
    "credentials": "credentialpath = ../credentials",
    "key": "keyfile = ~/.ssh/id_ed25519",
    "header": "custom_auth_header = X-Token",
    "Kerberos": "gss_auth = true",
    "password": "password = x",
    "profile": "profile = work",
    "access key": "access_key_id = x",
    "certificates": "ssl_verify = false",
    "threads": "jobs = 100000",
    "a list": "region = a, b",
    "a server for an account": "account_name = evil.example.org/",
    "a section": "[[deep]]\n        x = 1",
}

CONFIGS = {
    "another remote": ("['remote \"other\"']\n    url = /x\n", MORE_CONFIG),
    "a cache elsewhere": ("[cache]\n    dir = {scene}/beside\n", MORE_CONFIG),
    "an include": ("[include]\n    path = {scene}/beside\n", MORE_CONFIG),
    "a machine": ("[machine]\n    x = 1\n", MORE_CONFIG),
    "the remote twice": ("['remote \"flexlock\"']\n    url = /x\n", "names no remote"),
    "no config": ("\0[[[", "names no remote"),
}

URLS = {
    "a command": ("ext::sh -c {payload}", "is not here"),
    "an option": ("--upload-pack={payload}", "names no remote"),
    "another remote": ("remote://other/x", "doesn't exist"),
    "an ssh option": ("ssh://-oProxyCommand={payload}/x", "cannot list the data remote"),
    "interpolation": ("%(store)s/x", "is not here"),
    "variable": ("$HOME/x", "is not here"),
    "home": ("~/x", "is not here"),
    "relative": ("../nothing", "is not here"),
    "a list": ("a, b", "names no remote"),
    "nothing": ('""', "names no remote"),
}

METAFILE_KEYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a command": ({"cmd": "touch x"}, {}),
    "dependencies": ({"deps": [{"path": "/etc/passwd"}]}, {}),
    "frozen": ({"frozen": True}, {}),
    "another working folder": ({"wdir": "../../.."}, {}),
    "an absolute working folder": ({"wdir": "/"}, {}),
    "no cache": ({}, {"cache": False}),
    "persists": ({}, {"persist": True}),
    "pushes": ({}, {"push": False}),
    "another remote": ({}, {"remote": "other"}),
    "another hash": ({}, {"hash": "sha256"}),
    "a file system": ({}, {"fs_config": {"url": "/"}}),
    "another repository": ({}, {"repo": {"url": "ext::sh -c x"}}),
    "a negative size": ({}, {"size": -1}),
    "a size that is true": ({}, {"size": True}),
    "a size beyond any disk": ({}, {"size": 1 << 70}),
    "an id with a line end": ({}, {"md5": f"{NULL_MD5}\n"}),
    "an id that climbs": ({}, {"md5": "../../../../../../../beside/victim"}),
    "an id that is a list": ({}, {"md5": [NULL_MD5]}),
    "a path that is a list": ({}, {"path": ["x"]}),
}

METAFILES_AS_TEXT = {
    "nothing": b"",
    "no YAML": b"\0",
    "no mapping": b"- x\n",
    "two outs": b"wdir: ../..\nouts: [{path: a}, {path: b}]\n",
    "an object of Python's": b"!!python/object/apply:os.system ['touch x']\n",
    "aliases without end": BOMB,
    "nested without end": b"[" * 200_000,
    "indented without end": b"\n".join(b" " * n + b"a:" for n in range(1000)),
    "a key twice": b"wdir: ../..\nwdir: ../..\nouts: []\n",
    "a number of 20,000 digits": b"wdir: ../..\nouts:\n- {path: q, md5: '%s', size: 0x%s, hash: md5"
    b"}\n" % (b"0" * 32, b"f" * 20_000),
}

LISTINGS: dict[str, tuple[Any, ...]] = {
    "no JSON": (b"x", DAMAGED_LISTING),
    "nothing": (b"", DAMAGED_LISTING),
    "no list": (b"{}", "has 0 files on the remote and 1 by its tag"),
    "a number": (b"1", DAMAGED_LISTING),
    "no mappings": (b'["x"]', DAMAGED_LISTING),
    "no id": (b'[{"relpath": "a"}]', DAMAGED_LISTING),
    "no name": (listing({"": NULL_MD5}), "'d' has 1 files"),
    "a name that is a number": (b'[{"md5": "%s", "relpath": 1}]' % (b"0" * 32), "damaged"),
    "an id that is a number": (listing({"a": 3}), DAMAGED_LISTING),
    "an id that climbs": (listing({"a": "./../../../../../../beside/victim"}), DAMAGED_LISTING),
    "an id with a line end": (listing({"a": f"{NULL_MD5}\n"}), DAMAGED_LISTING),
    "an id of a folder": (listing({"a": f"{NULL_MD5}.dir"}), DAMAGED_LISTING),
    "more files than it says": (listing({"a": NULL_MD5, "b": NULL_MD5}), "has 2 files"),
    "a file and a folder": (
        listing({"a": NULL_MD5, "a/b": NULL_MD5}), 2, "'d/a' as a file and as a folder"
    ),
    "nested without end": (b"[" * 40_000, DAMAGED_LISTING),
    "a hundred thousand letters for one file": (b" " * 100_000, "bytes of names on the remote"),
    "a name of 90,000 letters": (listing({"a" * 90_000: NULL_MD5}), NOT_SAFE),
    "one name a thousand times": (
        b"[%s]" % b", ".join([listing({"a": NULL_MD5})[1:-1]] * 1000), 1000, "has 1 files"
    ),
}
"""The bytes of a listing, how many files it has by the tag where that is not one, and words."""
