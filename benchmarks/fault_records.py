"""Damage inside of a file whose checksums are right: frames of a spool, and blocks, cells and pages of a history."""

import json
import random
import sqlite3
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fault_damage import damage_bytes, write_anew
from fault_values import damage_value, shown

from clusterplan.launcher.sampler.spool import Frame, frame, read_frames

PAGE_BYTES = 4096
BOMB_BYTES = 1 << 30

_Frames = list[tuple[int, bytes]]  # sequence and payload

_ODD_WORDS = (
    *(struct.pack("<d", number) for number in (-1.0, 1e300, float("nan"), float("inf"), 0.0, 5e-324, 1e12)),
    *(struct.pack("<Q", number) for number in (2**64 - 1, 2**63, 0)),
)
_EVENT = {"time_s": 1.7e9, "kind": "gap", "text": "x", "gpu": 1}


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value).encode(errors="surrogatepass")


def _header(rng: random.Random, frames: _Frames) -> str:
    header, what = damage_value(rng, json.loads(frames[0][1]))
    frames[0] = (0, _json_bytes(header))
    return what


def _payload(rng: random.Random, frames: _Frames) -> str:
    place = rng.randrange(1, len(frames))
    number, payload = frames[place]
    changed = bytearray(payload)
    for _ in range(rng.choice((1, 3))):
        changed[rng.randrange(len(changed))] = rng.choice((0, 1, 2, 3, 127, 128, 255))
    frames[place] = (number, bytes(changed))
    return f"frame {place}"


def _word(rng: random.Random, frames: _Frames) -> str:
    """Change eight bytes of a tick: a time, an energy or a memory may be there."""
    place = rng.randrange(1, len(frames))
    number, payload = frames[place]
    at = rng.randrange(1, max(len(payload) - 8, 2))
    frames[place] = (number, payload[:at] + rng.choice(_ODD_WORDS) + payload[at + 8 :])
    return f"frame {place} at {at}"


def _order(rng: random.Random, frames: _Frames) -> str:
    rest = frames[1:]
    rng.shuffle(rest)
    frames[1:] = rest
    return "all frames"


def _copies(rng: random.Random, frames: _Frames) -> str:
    last = rng.randrange(1, len(frames))
    frames += frames[1:last]
    return f"frames 1 to {last - 1}"


def _sequence(rng: random.Random, frames: _Frames) -> str:
    place = rng.randrange(1, len(frames))
    frames[place] = (rng.choice((0, 2**32 - 1, place + 1000)), frames[place][1])
    return f"frame {place} is {frames[place][0]}"


def _event(rng: random.Random, frames: _Frames) -> str:
    place = rng.randrange(1, len(frames))
    event, what = damage_value(rng, _EVENT)
    frames[place] = (frames[place][0], b"\x02" + _json_bytes(event))
    return f"frame {place}: {what}"


def _without_header(_: random.Random, frames: _Frames) -> str:
    del frames[0]
    return "gone"


_SPOOL_WAYS: Mapping[str, Callable[[random.Random, _Frames], str]] = {
    "header": _header,
    "payload": _payload,
    "word": _word,
    "order": _order,
    "copies": _copies,
    "sequence": _sequence,
    "event": _event,
    "no header": _without_header,
}


def damage_spool(rng: random.Random, path: Path) -> str:
    """Change what frames say, their order, their numbers or the header; other files get `damage_bytes`."""
    with path.open("rb") as file:
        frames = [(f.sequence, f.payload) for f in read_frames(file) if isinstance(f, Frame)]
    if len(frames) < 2:
        return damage_bytes(rng, path)
    way = rng.choice(("header", "payload", "word", "word", *_SPOOL_WAYS))
    what = _SPOOL_WAYS[way](rng, frames)
    write_anew(path, b"".join(frame(*each) for each in frames))
    return f"{way}: {what}"


def _inside(rng: random.Random, packed: bytes, first: int, last: int) -> bytes:
    data = bytearray(zlib.decompress(packed))
    for _ in range(rng.choice((1, 1, 10))):
        data[rng.randrange(first, min(last, len(data)))] = rng.choice((0, 1, 2, 127, 255))
    return zlib.compress(bytes(data))


_BLOCK_WAYS: Mapping[str, Callable[[random.Random, bytes], object]] = {
    "flip": lambda rng, packed: bytes(
        byte ^ (1 << rng.randrange(8) if place == at else 0)
        for at in [rng.randrange(len(packed))]
        for place, byte in enumerate(packed)
    ),
    "cut": lambda rng, packed: packed[: rng.randrange(len(packed))],
    "values": lambda rng, packed: _inside(rng, packed, 0, 1 << 30),
    "head": lambda rng, packed: _inside(rng, packed, 0, 40),
    "bomb": lambda _, __: zlib.compress(bytes(BOMB_BYTES), 1),
    "type": lambda rng, _: rng.choice((b"", "text", 7, 1.5)),
    "counts": lambda _, __: zlib.compress(struct.pack("<II", 2**32 - 1, 2**32 - 1)),
}
_ODD_CELLS: Sequence[object] = (
    *(0, -1, 2**62, -(2**63), 1e300, float("inf"), None),
    *("", "x", "[1, 2]", '{"a": 1}', "[" * 5000, b"\x00\xff", "\x1b[31m", "9" * 400),
)


def damage_block(rng: random.Random, path: Path) -> str:
    """Change a packed block inside the history."""
    way = rng.choice(list(_BLOCK_WAYS))
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT rowid, packed FROM raw_block ORDER BY run, uuid, time_s").fetchall()
        rowid, packed = rng.choice(rows)
        db.execute("UPDATE raw_block SET packed = ? WHERE rowid = ?", (_BLOCK_WAYS[way](rng, packed), rowid))
    db.close()
    return f"block {way}"


def damage_cell(rng: random.Random, path: Path) -> str:
    """Put another value into cells of a column of the history, or drop a table or a column."""
    with sqlite3.connect(path) as db:
        names = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        table = rng.choice([row[0] for row in db.execute(names)])
        column = rng.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
        way, value = rng.random(), rng.choice(_ODD_CELLS)
        place = rng.random()
        try:
            if way < 0.04:
                db.execute(f"DROP TABLE {table}")
                return f"{table} dropped"
            if way < 0.08:
                db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
                return f"{table}.{column} dropped"
            some = f"(SELECT {column} FROM {table} LIMIT 1 OFFSET (SELECT cast(? * count(*) AS int) FROM {table}))"
            db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} IS {some}", (value, place))
        except sqlite3.Error as error:  # the schema forbids it
            return f"{table}.{column}: {error}"
    db.close()
    return f"{table}.{column} = {shown(value)}"


_PAGE_WAYS: Mapping[str, Callable[[random.Random, bytes], bytes]] = {
    "zero": lambda _, page: bytes(len(page)),
    "noise": lambda rng, page: rng.randbytes(len(page)),
    "head": lambda rng, page: _with_byte(page, rng.randrange(16), rng.randrange(256)),
    "flip": lambda rng, page: _with_byte(page, rng.randrange(len(page)), rng.randrange(256)),
    "beginning": lambda rng, page: _with_byte(page, rng.randrange(100), rng.randrange(256)),
}


def _with_byte(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes((byte,)) + data[at + 1 :]


def damage_pages(rng: random.Random, path: Path) -> str:
    """Damage a page of the history, exchange two, or lose the last ones."""
    data = path.read_bytes()
    pages = [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]
    way, at, other = (
        rng.choice((*_PAGE_WAYS, "swap", "cut")),
        rng.randrange(len(pages)),
        rng.randrange(len(pages)),
    )
    if way == "swap":
        pages[at], pages[other] = pages[other], pages[at]
    elif way == "cut":
        del pages[at:]
    else:
        at = 0 if way == "beginning" else at
        pages[at] = _PAGE_WAYS[way](rng, pages[at])
    write_anew(path, b"".join(pages))
    return f"page {at}: {way}"
