"""Names whose values are secrets, in any spelling, and values that are none whatever their name is."""

import re
from enum import StrEnum
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PASSWORDS = {
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "pw",
    "pass",
    "userpass",
    "sshpass",
    "passwort",
}
_SECRETS = {"secret", "secrets", "credential", "credentials", "creds", "apikey", "authorization", "dsn"}
# The key that opens something, of all keys.
_OPENING = _words(
    "api app access account auth authentication private secret encryption encrypt signing master "
    "service storage subscription shared session admin client server deploy license licence write "
    "ingest wandb openai anthropic hf huggingface comet neptune mlflow clearml aws azure gcp google "
    "github gitlab openrouter mistral cohere groq together replicate pinecone kaggle ngc nvidia hmac "
    "rsa ssh gpg pgp tls ssl jwt totp otp sas functions host"
)
# A token of a text, and a key of a record, by what stands before it.
_TEXTS = _words(
    "pad eos bos unk sep cls mask image images video audio special stop start end begin prefix suffix "
    "middle fim eot eom boi eoi class register next last first prev current new added per prompt "
    "draft drop vision extra think tool user assistant system role patch text input output target "
    "source label separator padding generated max min num n delimiter placeholder control initializer init"
)
_RECORDS = _words(
    "text image images video audio label labels sort primary foreign public dict state caption prompt "
    "response input output target source data dataset feature features column row group cache index "
    "metric metrics score monitor query sample batch loss id answer question message messages content "
    "mask token tokens json yaml config map sub hot unique partition shard lookup jax rng random prng "
    "instruction chosen rejected system role reward"
)
_PASSES = _words("one two n num first second forward backward single multi per low high band all")
# What stands behind a name and says that the value is not the secret itself.
_ABOUT = _words(
    "file files path dir folder name names length len size dim type kind field fields policy manager "
    "url uri endpoint prompt count max min ttl expiry expires expiration required enabled reset hint "
    "env var variable id ids helper provider store format"
)
_TAILS = {"value", "data", "base64", "b64", "prod", "dev", "staging", "string", "str", "text", "raw", "plain"}
_GLUED = re.compile(r"(?P<before>[a-z]*?)(?P<last>token|password|passwd|passphrase|secret|apikey|key|auth)")
_REFERENCE = re.compile(
    r"\$.*|%\w+%|\{[^\"']*\}?|<[^>]*>?|\[[\w ./|-]*\]|\(.*|[\"']?|[*x.•?-]{3,}"
    r"|(?i:true|false|none|null|nil|undefined|yes|no|on|off|auto|default|inherit|required|optional|str|string|int|bytes|bool"
    r"|any|self|basic|bearer|oauth2?|token|redacted|\[redacted)"
)
_CODE = re.compile(r"[A-Za-z_]\w*(?:(?:\.[A-Za-z_]\w*)+[\[(]?.*|[\[(].*)|(?:f|await|not|lambda|new)\b.*")
_NUMBER = re.compile(r"[+-]?[\d_]+(?:\.\d*)?(?:[eE][+-]?\d+)?[kKmMsh%]?")
_PATH = re.compile(
    r"(?:~|\.{1,2})/.*|/(?:home|etc|data|scratch|mnt|work|tmp|usr|opt|root|run|var|users?|p|projects?|gpfs|lustre|dev|shared)\b.*|[\w./~-]*/[\w.-]+\.\w{1,6}"
)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+/=.-]{20,512}")
_VARIABLE = re.compile(r"[A-Za-z_]+")
_PLAIN_WORD = re.compile(r"[a-z]+(?:[_ -][a-z]+)*")


class Kind(StrEnum):
    """How sure a name is of a secret: a `password` may be a number; a `key` may be a word such as a column's name."""

    PASSWORD = "password"
    SECRET = "secret"
    TOKEN = "token"
    KEY = "key"
    MENTION = "mention"  # a secret is spoken of, and not in the last word


@lru_cache(4096)
def kind_of(name: str) -> Kind | None:
    """Return what kind of secret has this name; None for a name of another thing.

    >>> [kind_of(name) for name in ("WANDB_API_KEY", "hf_token", "db.password", "apiKey", "aws_secret_access_key")]
    [<Kind.SECRET: 'secret'>, <Kind.TOKEN: 'token'>, <Kind.PASSWORD: 'password'>, <Kind.SECRET: 'secret'>, <Kind.SECRET: 'secret'>]
    >>> [kind_of(name) for name in ("tokenizer", "max_tokens", "pad_token_id", "key_dim", "monkey", "image_key")]
    [None, None, None, None, None, None]
    """
    words = [word.lower() for word in _PARTS.findall(name) if not word.isdigit()]
    while words and words[-1] in _TAILS and len(words) > 1:
        words.pop()
    if not words:
        return None
    if words[-1] == "id" and words[-2:-1] == ["key"]:  # aws_access_key_id
        words.pop()
    last, before = words[-1], words[-2] if words[1:] else ""
    if last not in _PASSWORDS | _SECRETS and (glued := _GLUED.fullmatch(last)) and glued["before"]:
        last, before = glued["last"], glued["before"]
        if last == "key" and before not in _OPENING:
            return None
    return _kind(last, before) or _mention(words)


def _kind(last: str, before: str) -> Kind | None:
    if last in _PASSWORDS:
        return None if last == "pass" and before in _PASSES else Kind.PASSWORD
    if (
        last in _SECRETS
        or (last == "key" and before in _OPENING)
        or before + last in ("connectionstring", "connstr")
    ):
        return Kind.SECRET
    if last == "token":
        return None if before in _TEXTS else Kind.TOKEN
    if last in (
        "auth",
        "oauth",
        "bearer",
        "cookie",
        "sig",
        "pat",
        "sas",
        "jwt",
    ) and before not in (
        "use",
        "no",
        "is",
    ):
        return Kind.TOKEN
    if last == "signature" or (last == "key" and before not in _RECORDS):
        return Kind.KEY
    return None


def _mention(words: list[str]) -> Kind | None:
    """A secret that another word follows, as in TOKEN_HF or x-amz-credential-scope."""
    if words[-1] in _ABOUT:
        return None
    spoken = {*words[:-1]} & (_PASSWORDS | _SECRETS | {"token", "key"} - {"pass", "pw"})
    return Kind.MENTION if spoken else None


def is_secret(name: str, value: str, *, in_code: bool = False) -> bool:
    """Return whether the value of a name is a secret: not if it is a number, a path, or a reference to something else.

    `in_code` says that it stands there without quotes, so that a bare word may be a variable.

    >>> is_secret("hf_token", "abc"), is_secret("token", "$HF_TOKEN"), is_secret("password", "1234"), is_secret("api_key", "1")
    (True, False, True, False)
    """
    kind = kind_of(name)
    if kind is None or is_reference(value) or (in_code and _is_variable(kind, value)):
        return False
    if kind is Kind.PASSWORD:
        return not _PATH.fullmatch(value) and not _is_count_of_passes(name, value)
    if _NUMBER.fullmatch(value) or _PATH.fullmatch(value):
        return False
    if kind is Kind.MENTION:
        return bool(_RANDOM.fullmatch(value))
    if kind is Kind.KEY:
        return not _PLAIN_WORD.fullmatch(value)
    return True


def _is_count_of_passes(name: str, value: str) -> bool:
    """Return whether it is the number of a pass over the data, as in --pass 2."""
    return name.lower().endswith("pass") and re.fullmatch(r"\d{1,2}", value) is not None


def is_reference(value: str) -> bool:
    """Return whether a value stands for another one, or for none: $HF_TOKEN, {token}, <token>, null, "".

    >>> is_reference("${HF_TOKEN}"), is_reference("xxxx"), is_reference("abc")
    (True, True, False)
    """
    return _REFERENCE.fullmatch(value) is not None


def _is_variable(kind: Kind, value: str) -> bool:
    """Whether a bare word of code is one: what is called or looked into, and a name that is no password's value."""
    if _CODE.fullmatch(value):
        return True
    return _VARIABLE.fullmatch(value) is not None and (
        kind not in (Kind.PASSWORD, Kind.SECRET) or kind_of(value) is not None
    )
