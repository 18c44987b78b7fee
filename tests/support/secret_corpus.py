"""Values that must not reach a lock, and values that must, each under the key it comes with.

The secrets are put together here, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

from typing import NamedTuple

UPPER, DIGITS, HEX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "0123456789abcdef" * 4
MIXED = "aB3xY7" * 20
PEM = "\n".join(("MIIE" + MIXED[:60], MIXED[1:65], MIXED[2:66]))


class Planted(NamedTuple):
    """A key, its value, and the part of the value that is secret."""

    key: str
    value: str
    secret: str


def shape(*parts: str) -> Planted:
    """A secret that shows itself, under a key that says nothing."""
    text = "".join(parts)
    return Planted("note", text, text)


def within(before: str, secret: str, after: str = "", key: str = "note") -> Planted:
    """A secret inside of a longer value."""
    return Planted(key, before + secret + after, secret)


def named(key: str, value: str = "Corr3ctHorse") -> Planted:
    """A secret by its name alone."""
    return Planted(key, value, value)


def key_block(kind: str) -> str:
    """A private key as a file has it."""
    return f"-----BEGIN {kind}-----\n{PEM}\n-----END {kind}-----"


AWS = "".join(("AK", "IA", UPPER[:16]))
GITHUB = "".join(("gh", "p_", MIXED[:36]))
HUGGING_FACE = "".join(("h", "f_", MIXED[:34]))
OPENSSH_KEY = key_block("OPENSSH PRIV" "ATE KEY")

SECRETS = [
    shape(AWS),
    shape("AS", "IA", DIGITS, UPPER[:6]),
    shape(GITHUB),
    shape("gh", "s_", MIXED[:36]),
    shape("gh", "o_", MIXED[:36]),
    shape("github", "_pat_", MIXED[:22], "_", MIXED[:59]),
    shape("gl", "pat-", MIXED[:20]),
    shape("gl", "rt-", MIXED[:20]),
    shape("np", "m_", MIXED[:36]),
    shape("py", "pi-AgEIcHlwaS5vcmc", MIXED[:60]),
    shape(HUGGING_FACE),
    shape("s", "k-", MIXED[:48]),
    shape("s", "k-proj-", MIXED[:40], "_", MIXED[:20]),
    shape("s", "k-ant-api03-", MIXED[:93], "-", MIXED[:6], "AA"),
    shape("s", "k-or-v1-", HEX),
    shape("gs", "k_", MIXED[:52]),
    shape("wandb", "_v1_", MIXED[:70]),
    shape("da", "pi", HEX[:32]),
    shape("do", "p_v1_", HEX),
    shape("do", "o_v1_", HEX),
    shape("s", "k_live_", MIXED[:24]),
    shape("r", "k_test_", MIXED[:24]),
    shape("wh", "sec_", MIXED[:32]),
    shape("S", "K", HEX[:32]),
    shape("S", "G.", MIXED[:22], ".", MIXED[:43]),
    shape("xo", "xb-", DIGITS, "-", MIXED[:24]),
    shape("xo", "xp-", DIGITS, "-", DIGITS, "-", MIXED[:32]),
    shape("xa", "pp-1-", UPPER[:10], "-", MIXED[:30]),
    shape("AI", "za", MIXED[:35]),
    shape("ya", "29.", MIXED[:60]),
    shape("GOC", "SPX-", MIXED[:28]),
    shape("hv", "s.", MIXED[:24]),
    shape("dck", "r_pat_", MIXED[:27]),
    shape("nv", "api-", MIXED[:64]),
    shape("r", "8_", MIXED[:37]),
    shape("M", MIXED[:23], ".", MIXED[:6], ".", MIXED[:38]),
    shape("ey", "J", MIXED[:20], ".ey", "J", MIXED[:30], ".", MIXED[:43]),
    shape("abc", "8Q~", MIXED[:34]),
    shape(MIXED[:86], "=="),
    shape("ey", "JhcGlf", MIXED[:60], "=="),
    within("sent as Bearer ", "opaque_" + MIXED[:20], " today"),
    within("https://hooks.slack.com/services/", "T0123456/B0123456/" + MIXED[:24]),
    within("https://discord.com/api/webhooks/", "123456789012345678/" + MIXED[:68]),
    Planted("note", key_block("RSA PRIV" "ATE KEY"), PEM.splitlines()[1]),
    Planted("note", OPENSSH_KEY, PEM.splitlines()[2]),
    Planted("note", key_block("PRIV" "ATE KEY")[:120], PEM.splitlines()[0][:40]),
    Planted("note", key_block("PRIV" "ATE KEY").replace("\n", "\\n"), PEM.splitlines()[0]),
    Planted("note", key_block("PGP PRIV" "ATE KEY BLOCK"), PEM.splitlines()[0]),
    within('{"type": "service_account", "private_key": "', PEM.replace("\n", "\\n"), '"}'),
    within("DefaultEndpointsProtocol=https;AccountName=ada;AccountKey=", MIXED[:86] + "==", ";E=x"),
    within("https://ada.blob.core.windows.net/c?sv=2022-11-02&sr=c&sig=", MIXED[:43] + "%3D"),
    within("https://b.s3.amazonaws.com/k?X-Amz-Signature=", HEX, "&X-Amz-Expires=60"),
    within("https://example.org/x?access_token=", MIXED[:12], "&page=2"),
    within("https://example.org/x?page=2&api_key=", "onlyletters"),
    within("Server=db;Database=x;User Id=ada;Password=", "onlyletters", ";Encrypt=true"),
    within("host=db user=ada password=", "h0rse&Battery"),
    within("host=db password=", "$tr0ng(er)"),
    within("{'user': 'ada', 'password': '", "onlyletters", "'}"),
    within('{"user": "ada", "secret": "', "onlyletters", '"}'),
    within("login(user=ada, password=", "h0rse7", ")"),
    within("postgres://ada:", "h0rseBattery", "@db/x"),
    within("postgres://ada:", "h0rse/Bat@t", "@db/x"),
    within("redis://:", "h0rseBattery", "@cache:6379/0"),
    within("https://", HEX[:40], "@github.com/a/b.git"),
    within("mongodb+srv://ada:", "p%40ss-w0rd", "@c.example.org/?retryWrites=true"),
    within("Authorization: Bearer ", "opaque+" + MIXED[:20]),
    within("curl -H 'Authorization: Basic ", "YWRhOmgwcnNlQmF0dGVyeQ==", "' x.org"),
    within("train --wandb-api-key=", HEX[:40], " --lr 0.1"),
    within("train --wandb-key ", HEX[:40], " --lr 0.1"),
    within("run with --db.password ", "h0rseBattery"),
    within("curl -s -u ada:", "h0rseBattery", " https://example.org"),
    named("session_cookie", "s%3Aabc123"),
    named("jwt", "opaque7"),
    named("github_otp", "903817"),
    named("db_pw"),
    within("Authorization is Basic ", "Ym9iOnNla3JldEc3Nw==", " for now"),
    within("Driver=x;UID=sa;PWD=", "onlyletters", ";"),
    within("connection failed: PWD=", "hunter22"),
    named("authkey"),
    named("password"),
    named("dbPassword", "correct horse battery"),
    named("WANDB_API_KEY", HEX[:40]),
    named("wandb_key", HEX[:40]),
    named("openaiKey"),
    named("aws_secret_access_key", (MIXED + "/+")[:40]),
    named("token", "ya-token-17"),
    named("client_secret"),
    named("authorization", "Digest d3adb33f"),
    named("ssh_passphrase", "vier Wörter"),
    named("private_key_id", HEX[:40]),
    named("pin_password", "903817"),
    named("smtp_pass"),
    named("storage_account_key"),
    named("refreshToken"),
    named("api_tokens", "s3cond-one"),
]

ALONE = [planted for planted in SECRETS if planted.key == "note"]
"""Those that show themselves, whatever their key."""

SHOWN = [
    planted.value
    for planted in ALONE
    if planted.value == planted.secret or planted.value.endswith("KEY-----")
]
"""Those of them that are secret from end to end."""

ORDINARY = [
    ("tokenizer", "bert-base-uncased"),
    ("tokenizer_file", "data/tokenizer.json"),
    ("max_tokens", "2048"),
    ("openai_tokens", "2048"),
    ("pad_token", "<pad>"),
    ("sep_id_token", "[SEP]"),
    ("text", "rsync -u host:path d; PWD=/home/ada/x1"),
    ("padToken", "[PAD]"),
    ("eos_token", "</s>"),
    ("next_token", "the"),
    ("tokens_per_batch", "4096"),
    ("primary_key", "user_id"),
    ("sort_key", "date1"),
    ("public_key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"),
    ("keyboard", "qwerty1"),
    ("pw", "conv1x1"),
    ("jwt_algorithm", "HS256"),
    ("cookie_path", "/app1"),
    ("hotpot", "qa1"),
    ("text", "the token 42 is next; --tokenizer bert1 --max-tokens 2048 --password <password>"),
    ("text", "docker run -u 1000:1000 image1; python -u a.py: b"),
    ("monkey", "patch2"),
    ("hotkey", "ctrl+k1"),
    ("passthrough", "all4"),
    ("bypass", "layer3"),
    ("compass", "north1"),
    ("password_length", "16"),
    ("password_file", "/run/secrets/db"),
    ("token_type", "bpe2"),
    ("token_endpoint", "https://example.org/oauth/v2"),
    ("secret_name", "team/db2"),
    ("api_key_env", "OPENAI_API_KEY2"),
    ("num_secrets", "3"),
    ("secretary", "Ada1"),
    ("author", "Ada Lovelace 1"),
    ("account", "ada1"),
    ("commit", HEX[:40]),
    ("md5", HEX[:32]),
    ("hash", "sha256:" + HEX),
    ("etag", "md5=" + HEX[:32]),
    ("dir", HEX[:32] + ".dir"),
    ("uuid", "3f2b8c1e-0000-4000-8000-000000000000"),
    ("gpu", "GPU-3f2b8c1e-0000-4000-8000-000000000000"),
    ("model", "meta-llama/Llama-3.1-8B-Instruct"),
    ("model", "sentence-transformers/all-MiniLM-L6-v2"),
    ("model", "hf-internal-testing/tiny-random-bert"),
    ("checkpoint", "epoch=10-step=20000-val_loss=0.1234.ckpt"),
    ("run", "20261122T101500Z-3f9c2a7b"),
    ("name", "sk-learn-random-forest-baseline"),
    ("name", "task-classification-of-documents-v2"),
    ("name", "pypi-mirror-of-the-2nd-floor"),
    ("name", "ghp_short1"),
    ("name", "AKIAlower"),
    ("name", "eyJustaword.and.more"),
    ("target", "sklearn.ensemble.RandomForestClassifier"),
    ("target", "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts"),
    ("path", "/home/ada/datasets/imagenet-1k/train/n01440764"),
    ("path", "outputs/2026-11-22/10-15-00/checkpoints/last.ckpt"),
    ("path", "C:\\Users\\ada\\data\\x.csv"),
    ("url", "https://example.org/team/project.git"),
    ("url", "https://ada@example.org/p.git"),
    ("url", "git@example.org:team/p.git"),
    ("url", "http://localhost:8080/path?a=b@c"),
    ("url", "s3://bucket/key:with/colon@at"),
    ("url", "postgres://db:5432/x"),
    ("url", "https://example.org/x?page=2&sort_key=name&tokens=100"),
    ("url", "kafka://b1:9092,b2:9092/x?user=a@b"),
    ("time", "12:30:45@utc"),
    ("mail", "ada@example.org"),
    ("text", "The password must have 8 characters: at least one digit"),
    ("text", "key: value, keys=values, sort_key=name1"),
    ("text", "the secret of a token is its embedding"),
    ("text", "Basic training; Bearer of news"),
    ("code", "client = Client(token=token, password=cfg.db.password)"),
    ("code", "def login(user: str, password: str) -> None:"),
    ("code", "api_key = os.environ['OPENAI_API_KEY']"),
    ("read", "${oc.env:DB_PASSWORD}"),
    ("read", "password=${db.password}"),
    ("code", "--password='${db.password}' -v"),
    ("code", "password=$PASSWORD token=<token> secret: (none)"),
    ("code", "login(token=get_token(1), password=self._password)"),
    ("cert", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
    ("pem", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"),
    ("image", "registry.example.org/team/image@sha256:" + HEX),
    ("dna", "ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT"),
    ("base64", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk"),
    ("version", "1.0.0+cu121"),
    ("unicode", "ünïcode 日本語"),
]
