"""Damage to valid inputs: bytes, containers of bytes, and structures of settings."""

import gzip
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

from graphrec.core.config import Json

NUMBERS = (
    *("0", "-1", "1", "2", "1e308", "1e999", "-1e999", "nan", "NaN", "inf", "-inf", "Infinity"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616"),
    *("1" + "0" * 40, "1" + "0" * 5000, "0.0000000001", "1e-400", "007", "0x10", "1_000", "1,5"),
    *("2147483648", "4294967296", "1e18", "253402300800", "-62135596801", "true", "null", "None"),
)
TOKENS = (
    *("\ufeff", "\x00", '"', "'", '""', ",", "\t", ";", "|", "\r", "\n", "\r\n", "\n\n", " ", "::"),
    *("[" * 40, "{" * 40, "[" * 1500, '{"a":' * 1200, "]" * 5, "}", "[[", "[a.b]", "a = 1", "# x"),
    *("\u2028", "\u0130", "\ud7ff", "\U0001f600", "e\u0301", "\x1b[31m", "[/x]", "{item}", "../x"),
    *("2024-01-31", "2024-01-31T10:00:00+02:00", "99999-01-01", "0000-00-00", "31.12.2020", "%s"),
)
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7")
VALUES: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**30, -(10**30), 2**63, 0.5, 1e308, 1e-320),
    *(float("nan"), float("inf"), "", " ", "x", "\x00", "a" * 3000, "{data}/x", "../x"),
    *("ndcg@20", "ndcg@0", "ndcg@", "recall@1e3", "a:b", "os.path:join", ":", "mf", "hf:", "(?<"),
    *([], {}, [[]], [{}], {"": 1}, {"a": {"b": [1]}}, [1, "a", None], ["x"] * 50, {"low": 1}),
    *({"low": 0, "high": 1}, {"low": 1.0, "high": 1e-3, "log": True}, {"values": [1, "a"]}),
    *({"low": 1, "high": 10**30}, {"values": []}, {"low": "a", "high": "b"}, {"encoder": "file"}),
)


def damaged(content: bytes, name: str, rng: random.Random, others: list[bytes]) -> bytes:
    """Return ``content`` with one to four faults; containers are sometimes opened first."""
    inside = rng.random() < 0.5
    if inside and name.endswith(".gz"):
        return gzip.compress(_bytes(_unzipped(content), rng, others), 1, mtime=0)
    if inside and name.endswith(".npz"):
        return _archive(content, rng, others)
    if inside and name.endswith(".npy"):
        return _array(content, rng)
    if inside and name.endswith(".safetensors"):
        return _tensors(content, rng)
    return _bytes(content, rng, others)


def _bytes(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(BYTES)(content, rng, others)
    return content[:200_000]


def _unzipped(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return content


def _place(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Return a start and an end, mostly near to each other."""
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + int(rng.expovariate(1 / 12)))


def _flip(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut_end(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _cut_out(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    start, end = _place(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    start, end = _place(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 3, 50)) + content[end:]


def _splice(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    other = rng.choice(others) if others else content
    start, end = _place(content, rng)
    first, last = _place(other, rng)
    return content[:start] + other[first:last] + content[end:]


def _joined(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    other = rng.choice(others) if others else content
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def _token(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    start, end = _place(content, rng)
    end = rng.choice((start, end))
    return content[:start] + rng.choice(TOKENS).encode() + content[end:]


def _number(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return content
    chosen = rng.choice(found)
    return content[: chosen.start()] + rng.choice(NUMBERS).encode() + content[chosen.end() :]


def _lines(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    lines = content.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = rng.choice(
        (
            (lines[second], lines[first]),
            (lines[first] + lines[second], b""),
            (lines[second], lines[second]),
        )
    )
    return b"\n".join(lines)


def _recoded(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    text = content.decode("utf-8", errors="replace")
    return text.encode(rng.choice(ENCODINGS), errors="replace")


def _marked(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00")) + content


def _newlines(content: bytes, rng: random.Random, _: list[bytes]) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b" \n", b"")))


def _emptied(_: bytes, rng: random.Random, __: list[bytes]) -> bytes:
    return rng.choice((b"", b"\n", b" ", b"\x00", b"{}", b"[]", b"null", b"1", b'"x"'))


BYTES: tuple[Callable[[bytes, random.Random, list[bytes]], bytes], ...] = (
    *(_flip, _flip, _cut_end, _cut_out, _repeat, _splice, _joined, _token, _token, _number),
    *(_number, _lines, _recoded, _marked, _newlines, _emptied),
)


def _array(content: bytes, rng: random.Random) -> bytes:
    """Change dtype, order or shape in the header of a .npy file, or its data."""
    match = re.search(rb"\{'descr'.*?\}", content, re.DOTALL)
    if match is None or rng.random() < 0.2:
        return _bytes(content, rng, [])
    header = match.group()
    dtype = rng.choice((b"<f8", b"<f2", b">i4", b"|b1", b"|O", b"<c8", b"<U3", b"<M8[s]", b"<f16"))
    sizes = [rng.choice(("0", "1", "2", "3", "-1", "10**9", "99999999999", "a")) for _ in range(3)]
    shape = ", ".join(sizes[: rng.randrange(4)])
    header = rng.choice(
        (
            re.sub(rb"'descr': '[^']*'", b"'descr': '" + dtype + b"'", header),
            re.sub(rb"'shape': \([^)]*\)", f"'shape': ({shape},)".encode(), header),
            header.replace(b"False", b"True"),
            _bytes(header, rng, []),
        )
    )
    padded = header.ljust(len(match.group()) + content[match.end() :].find(b"\n"))
    end = content.find(b"\n", match.end())
    size = match.start() - content.find(b"NUMPY") - 5
    if size == 4:  # version 1.0: two bytes of version, two of length
        length = struct.pack("<H", (len(padded) + 1) % 65536)
        return content[: match.start() - 2] + length + padded + content[end:]
    return content[: match.start()] + padded + content[end:]


def _archive(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Damage, rename or drop a member of a .npz file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return _bytes(content, rng, others)
    if not members:
        return content
    name = rng.choice(sorted(members))
    match rng.randrange(5):
        case 0:
            del members[name]
        case 1:
            members[_bytes(name.encode(), rng, []).decode("utf-8", "replace")[:50] or "x"] = b"x"
        case 2:
            members[name] = rng.choice(sorted(members.values()))
        case _:
            members[name] = _array(members[name], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, inside in members.items():
            archive.writestr(member.replace("\x00", "0"), inside)
    return buffer.getvalue()


def _tensors(content: bytes, rng: random.Random) -> bytes:
    """Damage the JSON header of a safetensors file and make its length fit again."""
    if len(content) < 8:
        return content
    (length,) = struct.unpack("<Q", content[:8])
    header, data = content[8 : 8 + length], content[8 + length :]
    try:
        table = json.loads(header)
    except (ValueError, RecursionError):
        table = None
    if isinstance(table, dict) and rng.random() < 0.7:
        header = json.dumps(restructured(table, rng)).encode()
    else:
        header = _bytes(header, rng, [])
    return struct.pack("<Q", len(header)) + header + data


def restructured(value: Json, rng: random.Random) -> Json:
    """Return a structure in which one to three nodes are replaced, removed, added or moved."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _node(value, rng, 0)
    return value


def _node(value: Json, rng: random.Random, depth: int) -> Json:
    stop = rng.random() < 0.15 + 0.1 * depth and depth > 0
    if isinstance(value, dict) and value and not stop:
        return _table(value, rng, depth)
    if isinstance(value, list) and value and not stop:
        position = rng.randrange(len(value))
        changed = list(value)
        changed[position] = _node(value[position], rng, depth + 1)
        return rng.choice((changed, changed, changed[:position], changed + changed))
    return _leaf(value, rng)


def _table(value: dict[str, Json], rng: random.Random, depth: int) -> Json:
    key = rng.choice(list(value))
    chance = rng.random()
    if chance < 0.1:
        return {name: inside for name, inside in value.items() if name != key}
    if chance < 0.2:
        return value | {rng.choice((key + "x", key[:-1], key.upper(), "", "a.b")): value[key]}
    if chance < 0.3:
        return value | {key: value[rng.choice(list(value))]}
    return value | {key: _node(value[key], rng, depth + 1)}


def _leaf(value: Json, rng: random.Random) -> Json:
    if rng.random() < 0.1:
        deep: Json = value
        for _ in range(rng.choice((3, 40, 400))):
            deep = rng.choice(([deep], {"a": deep}))
        return deep
    if isinstance(value, str) and rng.random() < 0.4:
        return _bytes(value.encode(), rng, []).decode("utf-8", errors="replace")
    if isinstance(value, int | float) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value / 3, value * 1e6, str(value), [value]))
    return rng.choice(VALUES)
