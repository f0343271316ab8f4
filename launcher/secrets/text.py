"""Hide secrets in a text, such as a diff, a job file or an address: pure, and in time linear in its length.

No pattern begins inside a name that another match began, and what decides on a value looks at its first letters only.
"""

import re
from itertools import takewhile

from .names import is_reference, is_secret, kind_of
from .programs import NAMES, secret_words
from .shapes import patterns_in

HIDDEN = "[redacted]"
_JUDGED = 256  # letters of a value that decide; a longer literal of such a name is a secret
_INDENT = 80  # letters before a name that begins its line
_HINT = re.compile(
    "key|token|secret|pass|pwd|pw|auth|cred|sig|cookie|dsn|login|bearer|basic|sas|jwt|pat|conn"
)
_SETTING = re.compile(  # what stands before a value
    r"""(?<![A-Za-z0-9_.])(?<![A-Za-z0-9_.]-)(?P<name>\w[\w.-]{0,127}+)
    (?P<between>(?:\\?["'])?\]?[ \t]{0,8}(?:
        :[ \t]{0,8}[A-Za-z_][\w.\[\]|, ]{0,60}?[ \t]{0,8}=(?!=)(?=[ \t]{0,8}["'])  # name: type = "value"
        |=>|[!=]=|:?=|:|%3[dDaA]
        |(?<=["']),(?=[ \t]{0,8}["'])  # ("name", "value")
        |(?<=["'])\)?[ \t]{1,4}(?:or|\|\||\?\?)(?=[ \t]{1,4}["'])  # get("name") or "value"
        |(?<=["'])[^\n)]{0,160}?\bdefault[ \t]?=(?=[ \t]?["'])  # add_argument("--name", default="value")
    )[ \t]{0,8}(?:[rbuf]{1,2}(?=["']))?)""",
    re.VERBOSE,
)
_OPTION = re.compile(r"(?<![\w-])-{1,3}(?P<name>[A-Za-z][\w.-]{0,127}+)[ \t]{1,8}(?![-=:(){}\[,|])")
_OVER_LINES = (
    re.compile(  # a variable of Kubernetes, an element of XML: name: NAME, value: VALUE
        r"""\b(?:name|key)["']?[:=][ \t]{0,8}["']?(?P<name>[\w.-]{1,128})["']?,?\s{0,64}[+-]?\s{0,64}["']?value["']?[:=][ \t]{0,8}"""
    ),
    re.compile(  # name: | and a line below, name = ( and a line below
        r"""(?m)^[+ -]?[ \t]{0,64}(?:- )?["']?(?P<name>\w[\w.-]{0,127}+)["']?[ \t]{0,8}[:=][ \t]{0,8}(?:[|>][+-]?|\()[ \t]{0,8}\n[+ -]?[ \t]{1,64}"""
    ),
)
_HEADER = re.compile(  # RFC 7617, RFC 6750
    r"""(?i)\b(?:proxy-)?authorization(?:\\?["'])?[ \t]{0,4}(?:[:=,]|=>|%3a)[ \t]{0,4}(?:\\?["'])?(?:[a-z-]{3,20}(?:[ \t]{1,4}|%20))?"""
)
_CALL = re.compile(  # login("secret"), login("user", "secret"), auth=("user", "secret")
    r"""\b(?:login|authenticate|save_token|set_(?:token|api_key|access_token|secret)|HTTP(?:Basic|Digest)Auth|BasicAuth"""
    r"""|AzureKeyCredential|SecretStr|auth[ \t]?=[ \t]?)\("""
    r"""[ \t]{0,8}(?:(?:[\w.]{1,64}|["'][^"'\n]{0,128}["']),[ \t]{0,4})?(?=["'])"""
)
# Patterns of one line, each with a text that is in every line that it matches.
_IN_A_LINE = (
    ("authorization", _HEADER),
    ("bearer", re.compile(r"\b(?:[Bb]earer|BEARER)(?:[ \t]{1,4}|%20)(?=[\w.~+/-]{3})")),
    ("basic", re.compile(r"\b[Bb]asic[ \t]{1,4}(?=[a-z]{0,64}[A-Z0-9+/=])(?=[A-Za-z0-9+/]{8})")),
    ("(", _CALL),
    ("key", re.compile(r"""\b(?:login|init)\([^)\n]{0,200}?\bkey[ \t]?=[ \t]?(?=["'])""")),
    ("-", _OPTION),
    ("", _SETTING),
    ("set", re.compile(r"\b(?:setenv|set (?:-g?xg?|--export))[ \t]{1,8}(?P<name>\w{1,128})[ \t]{1,8}")),
    ("env", re.compile(r"\b(?:env|ENV)[ \t]{1,8}(?P<name>\w{1,128})[ \t]{1,8}")),
    ("</", re.compile(r"<(?P<name>[\w.:-]{1,128})>(?=[^<\n])")),
)
_OF_A_LINE = (_SETTING, _HEADER)
_QUOTES = {  # the longest first
    '"""': re.compile(r'[^"]*+(?=""")'),
    "'''": re.compile(r"[^']*+(?=''')"),
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+(?=")'),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*+(?=')"),
    "`": re.compile(r"[^`\n]*+(?=`)"),
    '\\"': re.compile(r'(?:[^"\\\n]|\\(?!"))*+(?=\\")'),
}
_BARE = re.compile(r"""(?:(?!%2[26Cc])[^\s"'`;&|,)}\]<>])+""")
_WORD, _LINE = re.compile(r"\S+"), re.compile(r"[^\n]+")
_NEXT_WORD = re.compile(r"--?[A-Za-z]|[\w.]{1,64}=")
_LINE_START = re.compile(r"""[+ -]?[ \t]*(?:-[ \t]+)?["']?""")
# user:password@ of an address (RFC 3986, 3.2.1), or a token alone before the @ of http.
_PASSWORD = re.compile(r"""://[^\s/?#@:'"]{0,256}:(?!\d{1,5}[/?#])(?P<value>[^\s'"@]{1,1024})(?=@)""")
_USER = re.compile(r"""(?<=http)s?://(?P<value>[^\s/?#@:'"]{1,1024})(?=:?@)""")
_NETRC = re.compile(
    r"(?:^[+ -]?[ \t]{0,64}|\b(?:login|account)[ \t]{1,8}[^\s]{1,256}[ \t]{1,8})password[ \t]{1,8}(?P<value>\S{1,1024})"
    r"(?=[ \t]*$|[ \t]{1,8}(?:account|machine|macdef|login)\b)"
)
_PGPASS = re.compile(
    r"^[+ -]?[\w.*-]{1,256}:(?:\d{1,5}|\*):[^:\s]{1,128}:[^:\s]{1,128}:(?P<value>\S{1,1024})$"
)
_PROGRAM = re.compile(rf"""(?:{"|".join(map(re.escape, NAMES))})(?:[ \t]|["'],)""")
_COMMAND = re.compile(r"[^;|&]+")
_SHELL_WORD = re.compile(r"""[^\s"'`()\[\]{},]+""")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?P<what>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----")
_LONGEST_KEY = 20_000  # an RSA key of 16,384 bits has 12,700
_OF_A_KEY = re.compile(
    r"""[+ -]?(?:[ \t"']*[A-Za-z0-9+/=\\]*[ \t"',+;)\\]*|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID): .*)"""
)


def redact_text(text: str) -> str:
    """Return a text with the secrets in it hidden.

    >>> redact_text("+aws_access_key_id = 'abc'"), redact_text("curl -u me:abc https://x?sig=abc&v=1")
    ("+aws_access_key_id = '[redacted]'", 'curl -u me:[redacted] https://x?sig=[redacted]&v=1')
    """
    text = _without_private_keys(text)
    for pattern in _OVER_LINES:
        text = _hide_values(pattern, text)
    text = "\n".join(map(_redact_line, text.split("\n")))
    for pattern in patterns_in(text):
        text = pattern.sub(HIDDEN, text)
    return text


def _redact_line(line: str) -> str:
    small = line.lower()
    if "://" in line and "@" in line:
        line = _hide_groups(_USER, _hide_groups(_PASSWORD, line))
    if _HINT.search(small):
        for mark, pattern in _IN_A_LINE:
            if mark in small:
                line = _hide_values(pattern, line)
        if "password" in small:
            line = _hide_groups(_NETRC, line)
    if line.count(":") > 3:  # noqa: PLR2004  the separators of .pgpass
        line = _hide_groups(_PGPASS, line)
    if _PROGRAM.search(line):
        line = _without_program_secrets(line)
    return line


def _hide_groups(pattern: re.Pattern[str], line: str) -> str:
    def hidden(match: re.Match[str]) -> str:
        if is_reference(match["value"]):
            return match[0]
        start, end = (at - match.start() for at in match.span("value"))
        return match[0][:start] + HIDDEN + match[0][end:]

    return pattern.sub(hidden, line)


def _hide_values(pattern: re.Pattern[str], text: str) -> str:
    """Hide what follows a match; with a `name` in the pattern, if it is the name of a secret and the value may be one."""
    parts, copied, at = list[str](), 0, 0
    while match := pattern.search(text, at):
        at = match.end()
        if span := _secret_span(text, match):
            parts += (text[copied : span[0]], HIDDEN)
            copied = at = span[1]
    return "".join((*parts, text[copied:])) if copied else text


def _secret_span(text: str, match: re.Match[str]) -> tuple[int, int] | None:
    """Where the secret behind a match begins and ends; None if no secret is there."""
    at, name = match.end(), match.groupdict().get("name")
    if name and text[match.start() - 1 : match.start()] == "%":  # %26name%3Dvalue
        name = name[2:]
    if name and not kind_of(name):
        return None
    quote = next((quote for quote in _QUOTES if text.startswith(quote, at)), "")
    if (inside := _QUOTES.get(quote)) and (quoted := inside.match(text, at + len(quote))):
        return quoted.span() if _is_hidden(name, quoted[0], in_code=False) else None
    first = _BARE.match(text, at, at + _JUDGED)
    if match[0].endswith("= ") and _NEXT_WORD.match(text, at):  # a shell's NAME= --option
        return None
    if first is None or not _is_hidden(
        name, first[0], in_code=_is_code(match, text[first.end() : first.end() + 1])
    ):
        return None
    before = text[max(match.start() - _INDENT, 0) : match.start()].rpartition("\n")[2]
    value = _BARE
    if match.re in _OF_A_LINE and _LINE_START.fullmatch(
        before
    ):  # a password may hold commas, and with `: ` blanks
        value = _WORD if match[0].endswith("=") else _LINE
    hidden = value.match(text, at)
    return hidden.span() if hidden else None


def _is_hidden(name: str | None, value: str, *, in_code: bool) -> bool:
    if not value:
        return False
    if name is None:
        return not is_reference(value[:_JUDGED])
    return is_secret(name, value[:_JUDGED], in_code=in_code)


def _is_code(match: re.Match[str], following: str) -> bool:
    """Whether a bare word behind a match may be a variable: x = word, f(x=word), {x: word}."""
    between = match.groupdict().get("between", "")
    before = match.string[max(match.start() - 1, 0) : match.start()]
    spaced = between.strip() in ("=", ":=", "==", "!=") and between != between.strip()
    return spaced or before in ("(", ",") or following in (",", ")", "]", "}")


def _without_program_secrets(line: str) -> str:
    """Hide what stands behind the options of programs: curl -u user:password."""
    parts, copied = list[str](), 0
    for command in _COMMAND.finditer(line):
        words = [*_SHELL_WORD.finditer(line, *command.span())]
        for number, kept in secret_words([word[0] for word in words]).items():
            if not is_reference(words[number][0][kept:]):
                parts += (line[copied : words[number].start() + kept], HIDDEN)
                copied = words[number].end()
    return "".join((*parts, line[copied:]))


def _without_private_keys(text: str) -> str:
    """Hide the lines of private keys (RFC 7468), as many as there are; a diff may end before the key does."""
    parts, copied = list[str](), 0
    while begin := _PRIVATE_KEY.search(text, copied):
        body = _body_of_key(text, begin.end(), begin["what"])
        lines = (
            f"{line[: line[0] in '+- ']}{HIDDEN}" if line.strip("+- ") else line for line in body.split("\n")
        )
        parts += (text[copied : begin.end()], "\n".join(lines))
        copied = begin.end() + len(body)
    return "".join((*parts, text[copied:])) if copied else text


def _body_of_key(text: str, at: int, what: str) -> str:
    """What stands between the first and the last line of a key; without the last one, the lines that can be of a key."""
    end = text.find(f"-----END {what}-----", at, at + _LONGEST_KEY)
    body = text[at:end] if end >= 0 else text[at : at + _LONGEST_KEY]
    lines = list(takewhile(_OF_A_KEY.fullmatch, body.split("\n")))
    return "\n".join(lines)
