"""Programs that take a secret behind an option of one letter, or as a word of its own."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Program(NamedTuple):
    """A program: the `options` whose value is a secret, also glued to a one-letter one if `glued`.

    Behind the word `login` the value of `options` is one; with `word` so is the next word itself, as of `wandb login KEY`.
    """

    names: tuple[str, ...]
    options: tuple[str, ...] = ()
    glued: bool = False
    login: bool = False
    word: bool = False


# Each from the program's own manual: `docker login --help`, curl(1), mysql(1), sshpass(1), redis-cli --help, ldapsearch(1), ...
PROGRAMS = (
    Program(("wandb", "huggingface-cli", "hf", "comet", "neptune", "vault"), ("-k",), login=True, word=True),
    Program(
        ("docker", "podman", "nerdctl", "helm", "skopeo", "crane", "oras", "apptainer", "singularity"),
        ("-p",),
        login=True,
    ),
    Program(("az", "oc", "cf"), ("-p", "-t"), login=True),
    Program(
        ("curl",), ("-u", "--user", "-U", "--proxy-user", "-b", "--cookie", "--oauth2-bearer"), glued=True
    ),
    Program(("http", "https"), ("-a",)),
    Program(("mysql", "mysqldump", "mysqladmin", "mariadb", "sshpass", "7z", "7za"), ("-p",), glued=True),
    Program(("mongo", "mongosh", "mongodump", "mongorestore"), ("-p",)),
    Program(("zip", "unzip", "sqlcmd", "bcp"), ("-P",)),
    Program(("redis-cli",), ("-a",)),
    Program(("ldapsearch", "ldapadd", "ldapmodify", "ldapwhoami"), ("-w",)),
    Program(("openssl",), ("-passin", "-passout", "-pass", "-k")),
    Program(("smbclient", "rpcclient"), ("-U",)),
    Program(("lftp",), ("-u",)),
    Program(("twine",), ("-p",)),
    Program(("aws",), ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")),
)
_BY_NAME = {name: program for program in PROGRAMS for name in program.names}
NAMES = tuple(_BY_NAME)
_LOGIN = ("login", "auth")


def secret_words(words: Sequence[str]) -> dict[int, int]:
    """Return the places of words that hold secrets of the programs before them, with how much of each word is no secret.

    >>> secret_words(["mysql", "-psecret", "-u", "me"]), secret_words(["env", "wandb", "login", "abc"])
    ({1: 2}, {3: 0})
    >>> secret_words(["curl", "-u", "me:abc", "-p", "x"])
    {2: 3}
    """
    places = dict[int, int]()
    program: Program | None = None
    login = False
    for at, word in enumerate(words):
        name = word.rpartition("/")[2].lstrip("" if at else "+-!")  # the mark of a line of a diff
        if (named := _BY_NAME.get(name)) and not (program and words[at - 1] in program.options):
            program, login = named, False
        elif program is None:
            continue
        elif word in _LOGIN:
            login = True
        elif program.login and not login:
            continue
        elif at and words[at - 1] in program.options:
            if not word.startswith("-"):
                places[at] = _user_length(word)
        elif program.glued and not word.startswith("--") and word[:2] in program.options and word[2:]:
            places[at] = 2 + _user_length(word[2:])
        elif program.word and not word.startswith("-") and "://" not in word:
            places[at] = 0
    return places


def _user_length(word: str) -> int:
    """The length of a user's name and what is between it and the password: user:password, user%password."""
    user = re.match(r"[\w.@+-]{1,128}[:%,]", word)
    return user.end() if user else 0
