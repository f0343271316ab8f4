"""What opens the pages: links that work once, the cookie that they are exchanged for, and a token for programs.

Everything but that token is made anew at each start, so that nothing of an earlier start opens anything.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum

_BYTES = 32


class Refusal(Enum):
    """Why a token of a link opens nothing."""

    UNKNOWN = "This link is not one of this server."
    USED = "This link was used before, and works once."


@dataclass(frozen=True)
class Keys:
    """The secrets of one start; `program_token` opens everything as often as it is shown, None lets no program in.

    >>> keys = Keys()
    >>> token = keys.make_link_token()
    >>> session = keys.exchange(token)
    >>> keys.is_session(session), keys.exchange(token)
    (True, <Refusal.USED: 'This link was used before, and works once.'>)
    """

    program_token: str | None = None
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(_BYTES), repr=False)
    _open: set[str] = field(default_factory=set, repr=False)
    _used: set[str] = field(default_factory=set, repr=False)

    def make_link_token(self) -> str:
        """Return a token that `exchange` takes once."""
        token = secrets.token_urlsafe(_BYTES)
        self._open.add(self._mark(token))
        return token

    def exchange(self, token: str) -> str | Refusal:
        """Return the value of a session's cookie for the token of a link, or why there is none."""
        mark = self._mark(token)
        if mark in self._used:
            return Refusal.USED
        if mark not in self._open:
            return Refusal.UNKNOWN
        self._open.remove(mark)
        self._used.add(mark)
        session = secrets.token_urlsafe(_BYTES)
        return f"{session}.{self._mark(session)}"

    def is_session(self, value: str | Refusal) -> bool:
        """Return whether a cookie's value is one that `exchange` returned."""
        if not isinstance(value, str):
            return False
        session, _, mark = value.partition(".")
        return hmac.compare_digest(self._mark(session).encode(), mark.encode())

    def is_program_token(self, token: str) -> bool:
        """Return whether this is the token for programs."""
        expected = self.program_token
        return expected is not None and hmac.compare_digest(token.encode(), expected.encode())

    def _mark(self, token: str) -> str:
        """The token as only this start can mark it: comparing marks tells nothing of a token by its time."""
        return hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()
