"""Damage to one file: in its bytes, in the values of its JSON, in the words of its text, or something else in its place.

Each function takes a generator of random numbers and a path, damages the file, and returns what it did in words.
Files are replaced and not written over.
"""

import json
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fault_values import any_value, damage_value, shown

Damage = Callable[[random.Random, Path], str]

SPARSE_BYTES = 1 << 30
DEEP = 100_000


def write_anew(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def damage_json(rng: random.Random, path: Path) -> str:
    """Change the values of a JSON file, or of a line of one with a value per line; a file of another kind gets JSON."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    place = rng.randrange(max(len(lines), 1))
    try:
        value = json.loads(lines[place])
    except (ValueError, IndexError):
        value, lines = {}, [""]
        place = 0
    if rng.random() < 0.05:
        data = ("[" * DEEP + "]" * DEEP) if rng.random() < 0.5 else '{"a":' * DEEP + "1" + "}" * DEEP
        what = "nested very deep"
    else:
        value, what = damage_value(rng, value)
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            value, more = damage_value(rng, value)
            what += f"; {more}"
        data = json.dumps(value)
    lines[place] = data
    end = "\n" if path.suffix == ".jsonl" else ""
    write_anew(path, ("\n".join(lines) + end).encode(errors="surrogatepass"))
    return f"line {place + 1}: {what}" if path.suffix == ".jsonl" else what


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 5, 50)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _swap(rng: random.Random, data: bytes) -> bytes:
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _inserted(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice((rng.randbytes(rng.choice((1, 16, 512, 4096))), bytes(100), b"\xff\xfe", b"\n" * 5))
    return data[:at] + new + data[at:]


def _piece(rng: random.Random, data: bytes, times: int, fill: bytes = b"") -> bytes:
    """Repeat a piece of the data so many times (0: cut it), or put `fill` in its place."""
    begin = rng.randrange(len(data) + 1)
    end = min(begin + rng.choice((1, 4, 16, 100, 512, 4096)), len(data))
    return data[:begin] + data[begin:end] * times + fill * (end - begin) + data[end:]


_BYTE_WAYS: Mapping[str, Callable[[random.Random, bytes], bytes]] = {
    "flip": _flip,
    "swap": _swap,
    "insert": _inserted,
    "cut": lambda rng, data: _piece(rng, data, 0),
    "double": lambda rng, data: _piece(rng, data, 2),
    "zero": lambda rng, data: _piece(rng, data, 0, bytes(1)),
    "empty": lambda _, __: b"",
    "end": lambda rng, data: data[: rng.randrange(len(data) + 1)],
    "replace": lambda rng, _: rng.choice(
        (bytes(1000), b"\xff" * 1000, b"{}", b"[]", b"null", b"0", rng.randbytes(5000))
    ),
}


def damage_bytes(rng: random.Random, path: Path) -> str:
    """Flip, cut, insert, double, zero, swap or replace bytes."""
    way = rng.choice(list(_BYTE_WAYS))
    write_anew(path, _BYTE_WAYS[way](rng, path.read_bytes()))
    return f"bytes: {way}"


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        folder = os.open(path.parent, os.O_RDONLY)
        end.bind(f"/proc/self/fd/{folder}/{path.name}")  # a name of a socket has at most 108 bytes
        os.close(folder)


def _make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SPARSE_BYTES)


_KINDS: Mapping[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "fifo": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": _make_socket,
    "sparse": _make_sparse,
    "gone": lambda _: None,
    "no permission": lambda path: path.touch(0),  # root may read it all the same
}


def damage_kind(rng: random.Random, path: Path, ways: Sequence[str] = tuple(_KINDS)) -> str:
    """Put something in the file's place that is no file, or one that may not or cannot be read."""
    way = rng.choice(ways)
    path.unlink()
    _KINDS[way](path)
    return way


def damage_given(rng: random.Random, path: Path) -> str:
    """Do the same to a file that a user gives, who may give a pipe, and then waits for what comes."""
    return damage_kind(rng, path, [way for way in _KINDS if way != "fifo"])


def damage_folder(rng: random.Random, path: Path) -> str:
    """Do to the folder of a file what `damage_kind` does to a file, or fill it."""
    target = path.parent
    way = rng.choice(("a file", "fifo", "gone", "link to itself", "many"))
    if way == "many":
        for number in range(2000):
            (target / f"{number}.{path.name}").write_bytes(b"0")
        return f"2000 files in {target.name}/"
    elsewhere = target.with_name(f"{target.name}.gone")
    target.rename(elsewhere)
    if way == "a file":
        target.write_bytes(b"0")
    elif way == "fifo":
        os.mkfifo(target)
    elif way == "link to itself":
        target.symlink_to(target.name)
    return f"{target.name}/ {way}"


def damage_text(rng: random.Random, path: Path) -> str:
    """Change words of a text: CSV, TOML, a batch script, a log."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if rng.random() < 0.3:
        return damage_bytes(rng, path)
    words = list(
        dict.fromkeys(word for word in text.replace(",", " ").replace('"', " ").replace("=", " ").split())
    )
    if not words:
        return damage_bytes(rng, path)
    word = rng.choice(words)
    value = any_value(rng)
    new = value if isinstance(value, str) else json.dumps(value)
    if rng.random() < 0.1:
        new = rng.choice(
            ('"""', "[[", "]]", "\\", "'", '"', "=", "#", ",,,,", "\t", "\r", "1979-05-27T07:32:00Z", "h100")
        )
    places = text.count(word)
    at = rng.randrange(places)
    parts = text.split(word)
    changed = word.join(parts[: at + 1]) + new + word.join(parts[at + 1 :])
    write_anew(path, changed.encode(errors="surrogatepass"))
    return f"{word!r} is {shown(new)}"
