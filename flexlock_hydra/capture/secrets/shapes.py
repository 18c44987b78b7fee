"""Secrets that a text shows by itself: well-known tokens, logins in URLs, ``name=value``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

MASK = "***"


@dataclass(frozen=True)
class SecretShape:
    """One kind of secret that shows itself; whatever looks for it reads this record alone."""

    name: str
    """What a refused push calls it."""
    pattern: str
    """A regular expression; what it matches is hidden in locks."""
    literals: tuple[str, ...]
    """One of them stands in every match or right before it: a push looks around them alone."""
    stops_push: bool = True
    """False of what other texts look like too: images in notebooks, hashes, long names."""
    is_block: bool = False
    """Whether it has several lines: it stops a push if it has a body, not as a mere headline."""

    @property
    def regex(self) -> re.Pattern[str]:
        """The pattern where it is no part of a longer word; ``re`` keeps it compiled."""
        return re.compile(_NO_PART_OF_A_WORD + f"(?:{self.pattern})")


_NO_PART_OF_A_WORD = "(?<![A-Za-z0-9])"

SHAPES: tuple[SecretShape, ...] = (
    SecretShape("AWS access key id", r"A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}(?![0-9A-Za-z])",
                ("AKIA", "ASIA", "ABIA", "ACCA")),
    SecretShape("Azure client secret", r"[\w~.-]{3}8Q~(?=[~.]?[\w-]{13})[\w~.-]{31,34}", ("8Q~",)),
    SecretShape("Azure storage key", r"[A-Za-z0-9+/]{86}==", ("==",), stops_push=False),
    SecretShape("Databricks", r"dapi[0-9a-f]{32}", ("dapi",)),
    SecretShape("DigitalOcean", r"do[oprt]_v1_[0-9a-f]{64}",
                ("doo_v1_", "dop_v1_", "dor_v1_", "dot_v1_")),
    SecretShape("Discord bot", r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}", (".",),
                stops_push=False),
    SecretShape("Discord webhook", r"(?<=/api/webhooks/)\d{15,}/[\w-]{20,}", ("/api/webhooks/",)),
    SecretShape("Docker Hub", r"dckr_pat_[\w-]{20,}", ("dckr_pat_",)),
    SecretShape("GitHub", r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}",
                ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")),
    SecretShape("GitLab", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt)-(?=[\w-]{0,40}\d)[\w-]{20,}",
                ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-")),
    SecretShape("GitLab, any prefix", r"gl[a-z]{2,5}-[\w-]{20,}", ("gl",), stops_push=False),
    SecretShape("Google API key", r"AIza[\w-]{35}", ("AIza",)),
    SecretShape("Google OAuth", r"ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}", ("ya29.", "GOCSPX-")),
    SecretShape("Groq", r"gsk_[A-Za-z0-9]{40,}", ("gsk_",)),
    SecretShape("HashiCorp Vault", r"hv[brs]\.[\w-]{24,}", ("hvb.", "hvr.", "hvs.")),
    SecretShape("Hugging Face", r"(?:hf_|api_org_)[A-Za-z0-9]{30,}", ("hf_", "api_org_")),
    SecretShape("JSON web token", r"eyJ[\w-]{10,500}(?:\.[\w-]{8,}){1,4}\.?", ("eyJ",)),
    SecretShape("Neptune", r"eyJhcGlf[\w+/-]{40,}={0,2}", ("eyJ",)),
    SecretShape("npm", r"npm_[A-Za-z0-9]{36}", ("npm_",)),
    SecretShape("NVIDIA", r"nvapi-[\w-]{40,}", ("nvapi-",)),
    SecretShape("OpenAI, Anthropic",
                r"sk-(?=[\w-]{0,200}\d)"
                r"(?:(?=[\w-]{0,200}[A-Z])[\w-]{20,}|(?:[\w-]{0,40}-)?[0-9a-f]{32,})", ("sk-",)),
    SecretShape("PyPI", r"pypi-Ag[\w-]{30,}", ("pypi-Ag",)),
    SecretShape("Replicate", r"r8_[A-Za-z0-9]{37}", ("r8_",)),
    SecretShape("SendGrid", r"SG\.[\w-]{16,}\.[\w-]{16,}", ("SG.",)),
    SecretShape("Slack", r"xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{20,}", ("xox", "xapp-")),
    SecretShape("Slack webhook", r"(?<=hooks\.slack\.com/services/)\w{5,}/\w{5,}/\w{16,}",
                ("hooks.slack.com",)),
    SecretShape("Stripe", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{20,}",
                ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")),
    SecretShape("Twilio", r"SK[0-9a-f]{32}(?![0-9A-Za-z])", ("SK",), stops_push=False),
    SecretShape("Weights & Biases", r"wandb_v1_[\w-]{30,}", ("wandb_v1_",)),
    SecretShape("basic", r"(?<=Basic[ ])(?=[A-Za-z]{0,200}\d)[A-Za-z0-9+/]{14,}={0,2}",
                ("Basic ",), stops_push=False),
    SecretShape("bearer",
                r"(?<=[Bb]earer[ ])(?=\S*\d)(?=\S*[A-Za-z0-9_-]{13})[\w.~+/-]{16,}={0,2}",
                ("earer ",), stops_push=False),
    SecretShape("private key",
                r"-----BEGIN[A-Z ]*[ ]PRIVATE[ ]KEY(?:[ ]BLOCK)?-----[\s\S]*?"
                r"(?:-----END[A-Z ]*[ ]PRIVATE[ ]KEY(?:[ ]BLOCK)?-----|\Z)",
                ("-----BEGIN",), is_block=True),
)
"""At one place of a text the first row that matches counts: what is special stands first."""

_WORD = re.compile(r"\S+")
# A password is no interpolation, which only names one; digits up to a slash or a comma are a
# port, as in kafka://b1:9092,b2:9092/x?user=a@b.
_LOGIN = re.compile(
    r"""(?<=://)(?P<user>[^/\s:@'"\[]*)
    (?::(?!\$\{)(?P<password>[^/\s'"]*|(?!\d*[/,])[^\s'"]*))?
    (?=@)""",
    re.VERBOSE,
)
# As in ``curl -u user:password``
_LOGIN_OPTION = re.compile(r"(?<=-u )(?P<user>[^\s:'\"$]+):(?P<password>(?!\d+\b)[^\s:'\"$/]+)")
_TOKEN_AS_USER = re.compile(r"(?=.*\d)[\w-]{16,}")
# A name up to where its value begins, which is read only where the name is a secret's
_ASSIGNED = r"""
    {name}
    (?P<equals>\\*["']?[ ]{{0,2}}[:=][ ]{{0,2}}(?:(?:basic|bearer|token|digest)[ ]+)?|[ ]+)
    (?:(?P<quote>\\*["'])|(?!\$\{{)(?=[^\s"'`\\,;&|(){{}}\[\]<>]))
"""

_BARE = re.compile(r"""[^\s"'`\\,;]+""")
_HINTS = "pass|pwd|secret|token|key|cred|auth|sig|bearer|jwt|cookie|otp"
_HINT = re.compile(_HINTS).search
_NAME_BEFORE = re.compile(r"[\w.-]{0,60}\Z")
_SIGNATURES = frozenset(("sig", "signature", "x-amz-signature", "x-goog-signature"))
_CODE = re.compile(r"\$?[^\W\d]+(?:\.[^\W\d]+)*(?:[(\[].*)?")
_NO_SECRETS = frozenset(("", "null", "none", "true", "false"))
_SHORTEST = 4


@dataclass(frozen=True)
class AssignmentRule:
    """How to look at ``name=value`` inside a text.

    ``is_secret`` judges a name; ``any_name`` asks it about every one and not only those
    with a telling word in them. A value without quotes could be a variable in a line of
    code: it is taken for text when it was ``typed`` on a command line.
    """

    is_secret: Callable[[str], object]
    any_name: bool = False
    typed: bool = False


def may_show(text: str) -> bool:
    """A quick look: whether :func:`hide_secrets` could find anything in a text."""
    return _may_assign(text) or _any_shape().search(text) is not None


def _may_assign(text: str) -> bool:
    return ":" in text or "=" in text or "--" in text


def hide_secrets(text: str, look: AssignmentRule) -> str:
    """A text with everything that shows itself as a secret masked."""
    text = _any_shape().sub(MASK, text)
    if "://" in text and "@" in text:
        text = _WORD.sub(_hide_logins, text)
    if "curl " in text:
        text = _LOGIN_OPTION.sub(rf"\g<user>:{MASK}", text)
    if _may_assign(text) and (look.any_name or _HINT(text.lower())):
        text = "".join(_hide_assigned(text, look))
    return text


def url_passwords(text: str) -> Iterator[str]:
    """The passwords in the URLs of a text."""
    words = (word[0][: word[0].rfind("@") + 1] for word in _WORD.finditer(text))
    logins = (match for word in words if "://" in word for match in _LOGIN.finditer(word))
    return (match["password"] for match in logins if match["password"])


def _hide_logins(word: re.Match[str]) -> str:
    """A word without the passwords of its URLs; behind its last ``@`` there is none to look for."""
    end = word[0].rfind("@") + 1
    return _LOGIN.sub(_hide_login, word[0][:end]) + word[0][end:]


def _hide_login(match: re.Match[str]) -> str:
    """The user and password of a URL, masked; a user that looks like a token is one."""
    user = MASK if _TOKEN_AS_USER.fullmatch(match["user"]) else match["user"]
    return f"{user}:{MASK}" if match["password"] else user + match[0][len(match["user"]):]


def _hide_assigned(text: str, look: AssignmentRule) -> Iterator[str]:
    """The text in pieces, the values of secret names masked."""
    pattern = _assignments(look.any_name)
    done = at = 0
    while match := pattern.search(text, at):
        at = match.end("equals")  # what stands there may be a name as well
        if span := _secret_span(match, look):
            yield text[done : span[0]]
            yield MASK
            done = at = span[1]
    yield text[done:]


def _secret_span(match: re.Match[str], look: AssignmentRule) -> tuple[int, int] | None:
    """Where the value of an assignment stands, if it is a secret."""
    name, mark = _assigned_name(match)
    if match["equals"].isspace() and not mark.startswith("--"):
        return None
    text, start = match.string, match.end()
    if name == "PWD" and text[start : start + 1] not in ("/", "~"):
        name = "pwd"  # no working folder
    is_query = mark in ("?", "&", ";")
    if not look.is_secret(name) and not (is_query and name.lower() in _SIGNATURES):
        return None
    if match["quote"]:
        end = text.find(match["quote"], start)
        value = text[start:end]
        if end < 0 or "\n" in value:
            return None
        is_none = value.lower() in _NO_SECRETS or value.startswith("${")
        return None if is_none else (start, end)
    value = _BARE.match(text, start)[0]  # type: ignore[index]
    value = re.split("[&#]", value)[0] if is_query else value.rstrip(")]}>")
    is_text = look.typed or is_query or not _CODE.fullmatch(value)
    if value.lower() in _NO_SECRETS or len(value) < _SHORTEST or not is_text:
        return None
    return start, start + len(value)


def _assigned_name(match: re.Match[str]) -> tuple[str, str]:
    """The last part of the name that is assigned to, and what marks its beginning."""
    text, start = match.string, match.start()
    before = _NAME_BEFORE.search(text, max(0, start - 60), start)
    first = before.start() if before else start
    whole = text[first : match.start("equals")]
    name = whole.lstrip("-")
    mark = whole[: -len(name)] or text[max(0, first - 1) : first]
    return name.rpartition(".")[2], mark


@lru_cache(maxsize=2)
def _assignments(any_name: bool) -> re.Pattern[str]:
    name = r"[A-Za-z_][\w-]{0,40}" if any_name else rf"(?:{_HINTS})[\w-]{{0,40}}"
    return re.compile(_ASSIGNED.format(name=name), re.VERBOSE | re.IGNORECASE)


@lru_cache(maxsize=1)
def _any_shape() -> re.Pattern[str]:
    # One expression and no search for the literals first: in the short texts of configs that
    # search takes longer (1 µs) than to try all patterns does (0.3 µs).
    patterns = "|".join(shape.pattern for shape in SHAPES)
    return re.compile(f"{_NO_PART_OF_A_WORD}(?:{patterns})")
