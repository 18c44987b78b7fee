"""The table of secrets that show themselves by their shape, and the mask that hides one."""

from __future__ import annotations

import re
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


def hide_shapes(text: str) -> str:
    """The text with a mask in place of all that has the shape of a secret."""
    return _any_shape().sub(MASK, text)


def shows_shape(text: str) -> bool:
    """Whether a part of the text has the shape of a secret."""
    return _any_shape().search(text) is not None


@lru_cache(maxsize=1)
def _any_shape() -> re.Pattern[str]:
    # One expression and no search for the literals first: in the short texts of configs that
    # search takes longer (1 µs) than to try all patterns does (0.3 µs).
    patterns = "|".join(shape.pattern for shape in SHAPES)
    return re.compile(f"{_NO_PART_OF_A_WORD}(?:{patterns})")
