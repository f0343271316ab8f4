"""Text of others as it may be shown: characters that steer a terminal, or that nobody sees, become visible escapes.

A name, a message or a line of a log can hold them: an escape sequence clears the screen, sets the window's title, or
writes a link; a direction mark turns words around (https://trojansource.codes).
"""

import re
from collections.abc import Callable

# Emoji and the scripts of Persian, Hindi and others join letters by U+200C and U+200D; between two of them these stay.
_JOINED = "\u0600-\u0dff\u1000-\u109f\u1780-\u17ff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
# Unicode's Cc, Cs, Zl and Zp, and what its DerivedCoreProperties.txt calls Default_Ignorable_Code_Point, but for the
# variation selectors, which choose the form of an emoji or a Chinese letter.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
    f"|(?<![{_JOINED}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINED}])"
)
_FORMULA = re.compile("[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def show_controls(text: str, *, keep: str = "") -> str:
    r"""Return a text in which each unseen character but those in `keep` is an escape, as Python writes it.

    A byte that was no UTF-8, which Python holds as a lone surrogate, is an escape of that byte.

    >>> print(show_controls("a\x1b[2Jb\tc"), show_controls("\u202egnp.exe \udc80"), show_controls("训练 é 👩\u200d🔬"))
    a\x1b[2Jb\tc \u202egnp.exe \x80 训练 é 👩‍🔬
    """
    return _escape(text, _escape_of, keep)


def toml_escapes(text: str) -> str:
    r"""Return a TOML text in which each unseen character but line breaks and tabs is an escape of TOML's strings.

    >>> print(toml_escapes('name = "a\x9b"'))
    name = "a\u009b"
    """
    return _escape(text, _toml_escape_of, "\n\t")


def spreadsheet_cell(text: str) -> str:
    """Return a text as a cell of a CSV file: visible, and with an apostrophe where a spreadsheet would see a formula.

    The rule is OWASP's (https://owasp.org/www-community/attacks/CSV_Injection); a number is no text, and has no rule.

    >>> spreadsheet_cell("=cmd|'/c calc'!A1"), spreadsheet_cell("node-1")
    ("'=cmd|'/c calc'!A1", 'node-1')
    """
    return f"'{show_controls(text)}" if _FORMULA.match(text) else show_controls(text)


def text_of_cell(cell: str) -> str:
    """Return the text of a cell that `spreadsheet_cell` wrote.

    >>> text_of_cell("'=x"), text_of_cell("'x")
    ('=x', "'x")
    """
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell, 1) else cell


def _escape(text: str, escape_of: Callable[[str], str], keep: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else escape_of(match[0]), text)


def _escape_of(character: str) -> str:
    code = ord(character)
    if short := _SHORT.get(character):
        return short
    if "\udc80" <= character <= "\udcff":  # PEP 383: a byte from outside
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else _toml_escape_of(character)  # noqa: PLR2004  a byte


def _toml_escape_of(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  four digits
