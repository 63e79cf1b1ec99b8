import gzip
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from graphrec.core.errors import ConfigError, DataError
from graphrec.core.progress import reporting
from graphrec.data import CATALOG
from graphrec.data.catalog.download import download
from graphrec.data.catalog.entries import CatalogEntry, Download, Layout
from graphrec.data.catalog.fetch import fetch
from graphrec.data.catalog.identities import Identity

CONTENT = bytes(range(256)) * 40
LISTS = {"train.txt": b"0 0 1\n1 1\n", "test.txt": b"0 2\n1 0\n"}
RIGHT = Identity(5, hashlib.sha256(b"right").hexdigest())
TINY_NAME = "tests.data.catalog.test_fetch:TINY"
TINY = CatalogEntry(
    title="Two users",
    folder="tiny",
    page="https://example.org",
    licence="none",
    citation="",
    layouts=(
        Layout(tuple(LISTS), {"train": "train.txt", "test": "test.txt", "format": "adjacency"}),
    ),
    counts={"users": 2, "items": 3, "interactions": 5},
    split="given",
    identities={"text_feat.npy": RIGHT, "image_feat.npy": RIGHT},
)


class Handler(BaseHTTPRequestHandler):
    """Serves ``files``; the first request for a name in ``cut`` breaks off half-way."""

    files: ClassVar[dict[str, bytes]] = {}
    cut: ClassVar[set[str]] = set()
    status: ClassVar[int] = 206
    span: ClassVar[str | None] = None
    hides_length: ClassVar[bool] = False
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404, "Not Found")
            return
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if self.status == 200:
            start = 0  # a server without ranges sends the whole file
        if start >= len(content):
            self.send_response(416, "Range Not Satisfiable")
            if self.span is not None:
                self.send_header("Content-Range", self.span)
            self.end_headers()
            return
        self.send_response(self.status if wanted else 200)
        if not self.hides_length:
            self.send_header("Content-Length", str(len(content) - start))
        if wanted and self.span is not None:
            self.send_header("Content-Range", self.span)
        self.end_headers()
        end = len(content) // 2 if self.path in self.cut else len(content)
        self.cut.discard(self.path)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.files, Handler.cut, Handler.ranges = {"/a.bin": CONTENT}, set(), []
    Handler.status, Handler.span, Handler.hides_length = 206, None, False
    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{service.server_address[1]}"
    service.shutdown()
    service.server_close()
    thread.join()


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Seen:
    """A reporter that remembers the last state."""

    def start(self, description: str, total: int | None) -> int:
        self.description, self.total = description, total
        return 0

    def update(self, handle: int, done: int, note: str) -> None:
        self.done = done

    def finish(self, handle: int) -> None:
        pass


def test_download_verifies_and_reports_progress(server: str, tmp_path: Path) -> None:
    seen = Seen()
    with reporting(seen):
        download(Download(f"{server}/a.bin", checksum(CONTENT)), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert (seen.description, seen.total) == ("Downloading a.bin", len(CONTENT))
    assert seen.done == len(CONTENT)
    assert names(tmp_path) == ["a.bin"]


def test_a_cut_download_resumes_where_it_stopped(server: str, tmp_path: Path) -> None:
    Handler.cut = {"/a.bin"}
    file = Download(f"{server}/a.bin", checksum(CONTENT))
    with pytest.raises(DataError, match="Run again to resume"):
        download(file, tmp_path)
    assert names(tmp_path) == ["a.bin.part"]
    download(file, tmp_path)
    assert Handler.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_a_complete_part_is_used_as_it_is(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    download(Download(f"{server}/a.bin", checksum(CONTENT)), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_the_whole_file(server: str, tmp_path: Path) -> None:
    """A reply of 200 to a ranged request is the whole file: appended, it would be damaged."""
    Handler.status = 200
    (tmp_path / "a.bin.part").write_bytes(CONTENT[: len(CONTENT) // 2])
    download(Download(f"{server}/a.bin"), tmp_path)  # no checksum would find the damage
    assert Handler.ranges == [f"bytes={len(CONTENT) // 2}-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.bin"]


def test_another_range_than_asked_for_is_refused(server: str, tmp_path: Path) -> None:
    Handler.span = f"bytes 7-99/{len(CONTENT)}"
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:99])
    with pytest.raises(DataError, match="answers with another range"):
        download(Download(f"{server}/a.bin"), tmp_path)
    assert names(tmp_path) == []
    Handler.span = f"bytes 99-{len(CONTENT) - 1}/{len(CONTENT)}"
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:99])
    download(Download(f"{server}/a.bin"), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_no_download(server: str, tmp_path: Path) -> None:
    Handler.span = f"bytes */{len(CONTENT)}"
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DataError, match=r"416 .*Run again to start over"):
        download(Download(f"{server}/a.bin"), tmp_path)
    assert names(tmp_path) == []


# Links, sizes, identities.


@pytest.mark.parametrize("hard", [False, True])
def test_no_link_is_followed(server: str, tmp_path: Path, hard: bool) -> None:
    """A link in place of the part sent the download into a file elsewhere."""
    victim, folder = tmp_path / "victim", tmp_path / "raw"
    victim.write_bytes(b"mine")
    folder.mkdir()
    for name in ("a.bin.part", "a.txt.gz.part", "a.bin", "a.txt", "a.txt.unpacked"):
        (folder / name).hardlink_to(victim) if hard else (folder / name).symlink_to(victim)
    Handler.files["/a.txt.gz"] = gzip.compress(b"0 1\n")
    download(Download(f"{server}/a.bin", checksum(CONTENT)), folder)
    download(Download(f"{server}/a.txt.gz"), folder)
    assert victim.read_bytes() == b"mine"
    assert (folder / "a.bin").read_bytes() == CONTENT
    assert (folder / "a.txt").read_bytes() == b"0 1\n"
    assert not (folder / "a.bin").is_symlink()


def test_files_longer_than_their_limit_are_refused(server: str, tmp_path: Path) -> None:
    """A small archive could fill the disk."""
    Handler.files["/bomb.txt.gz"] = gzip.compress(bytes(10**6))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.inter", bytes(10**6))
    Handler.files["/bomb.zip"] = packed.getvalue()
    limit = 10**5
    for file in (
        Download(f"{server}/bomb.txt.gz", limit_bytes=limit),
        Download(f"{server}/bomb.zip", members=("x.inter",), limit_bytes=limit),
        Download(f"{server}/a.bin", limit_bytes=100),
    ):
        for hidden in (False, True):
            Handler.hides_length = hidden
            with pytest.raises(
                DataError, match=r"is longer than the 1.* bytes that the catalog allows"
            ):
                download(file, tmp_path)
            assert names(tmp_path) == []
    assert all(file.limit_bytes <= 10**9 for entry in CATALOG.values() for file in entry.downloads)


def test_an_encrypted_or_odd_archive_is_refused(server: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.inter", bytes(100))
    content = bytearray(packed.getvalue())
    for offset in (6, content.index(b"PK\x01\x02") + 8):
        content[offset] |= 1  # encrypted
    Handler.files["/x.zip"] = bytes(content)
    with pytest.raises(DataError, match=r"x\.zip cannot be unpacked"):
        download(Download(f"{server}/x.zip", members=("x.inter",)), tmp_path)
    content = bytearray(gzip.compress(bytes(1000)))
    content[15] ^= 255
    Handler.files["/x.txt.gz"] = bytes(content)
    with pytest.raises(DataError, match=r"x\.txt\.gz cannot be unpacked"):
        download(Download(f"{server}/x.txt.gz"), tmp_path)
    assert names(tmp_path) == []


def test_what_is_unpacked_must_be_the_file_of_the_release(server: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.inter", "other")
    Handler.files["/x.zip"] = packed.getvalue()
    file = Download(f"{server}/x.zip", members=("x.inter",))
    with pytest.raises(DataError, match=r"x\.inter has 5 bytes and sha256 .*another version"):
        download(file, tmp_path, {"x.inter": RIGHT})
    assert names(tmp_path) == []
    download(file, tmp_path, {"x.inter": Identity(5, hashlib.sha256(b"other").hexdigest())})
    assert names(tmp_path) == ["x.inter"]


SERVED: CatalogEntry = TINY
"""``TINY`` with downloads; the tests set it."""


def served(server: str, checksums: dict[str, str]) -> str:
    global SERVED
    Handler.files |= {f"/{file}": content for file, content in LISTS.items()}
    downloads = tuple(Download(f"{server}/{file}", checksums.get(file, "")) for file in LISTS)
    SERVED = replace(TINY, downloads=downloads)
    return "tests.data.catalog.test_fetch:SERVED"


def test_a_download_without_a_checksum_needs_consent(server: str, tmp_path: Path) -> None:
    name = served(server, {"test.txt": checksum(LISTS["test.txt"])})
    with pytest.raises(DataError) as error:
        fetch(name, tmp_path)
    for part in (f"No checksum is known of {server}/train.txt,", "--unverified", "--from DIR"):
        assert part in str(error.value)
    assert not (tmp_path / "tiny").exists()
    assert names(fetch(name, tmp_path, unverified=True)) == ["test.txt", "train.txt"]


def test_a_download_with_checksums_needs_no_consent(server: str, tmp_path: Path) -> None:
    name = served(server, {file: checksum(content) for file, content in LISTS.items()})
    assert names(fetch(name, tmp_path)) == ["test.txt", "train.txt"]


def test_consent_does_not_accept_another_checksum(server: str, tmp_path: Path) -> None:
    name = served(server, {file: checksum(b"other") for file in LISTS})
    with pytest.raises(DataError, match="expected"):
        fetch(name, tmp_path, unverified=True)


def test_a_download_that_fails_names_the_copy(server: str, tmp_path: Path) -> None:
    name = served(server, {})
    del Handler.files["/test.txt"]
    with pytest.raises(DataError, match=r"test\.txt answers 404.*data get .*--from DIR.*example"):
        fetch(name, tmp_path, unverified=True)


def test_no_download_follows_a_branch() -> None:
    """What a branch serves today may be another file tomorrow."""
    for name, entry in CATALOG.items():
        for file in entry.downloads:
            assert not re.search(r"/(master|main|HEAD)/", file.address), name
            if "githubusercontent" in file.address:
                assert re.search(r"/[0-9a-f]{40}/", file.address), name


def test_what_cannot_be_verified_is_known() -> None:
    unverifiable = {name: len(entry.unverifiable()) for name, entry in CATALOG.items()}
    found = {name: count for name, count in unverifiable.items() if count}
    assert found == {"ml-1m": 1, "gowalla": 1, "yelp2018": 1, "amazon-book": 1}


def test_a_wrong_checksum_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.bin: sha256 is .*expected 00ff"):
        download(Download(f"{server}/a.bin", "sha256:00ff"), tmp_path)
    assert names(tmp_path) == []


def test_an_error_of_the_server_keeps_what_was_downloaded(server: str, tmp_path: Path) -> None:
    (tmp_path / "gone.bin.part").write_bytes(CONTENT[:99])
    with pytest.raises(DataError, match="404"):
        download(Download(f"{server}/gone.bin"), tmp_path)
    assert (tmp_path / "gone.bin.part").read_bytes() == CONTENT[:99]


def test_unreachable_addresses_are_named(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.bin answers 404"):
        download(Download(f"{server}/gone.bin"), tmp_path)
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/x cannot be read"):
        download(Download("http://127.0.0.1:1/x"), tmp_path)


def test_gz_is_unpacked(server: str, tmp_path: Path) -> None:
    Handler.files["/a.txt.gz"] = gzip.compress(b"0 1\n")
    download(Download(f"{server}/a.txt.gz"), tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"0 1\n"
    assert names(tmp_path) == ["a.txt"]


def test_named_members_of_a_zip_are_unpacked(server: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("deep/x.inter", "user_id:token")
        archive.writestr("deep/x.kg", "unwanted")
    Handler.files["/x.zip"] = packed.getvalue()
    download(Download(f"{server}/x.zip", members=("x.inter",)), tmp_path)
    assert names(tmp_path) == ["x.inter"]
    with pytest.raises(DataError, match=r"x\.zip holds no x\.item, only x\.inter, x\.kg"):
        download(Download(f"{server}/x.zip", members=("x.item",)), tmp_path)
    Handler.files["/x.zip"] = b"no archive"
    with pytest.raises(DataError, match=r"x\.zip cannot be unpacked"):
        download(Download(f"{server}/x.zip", members=("x.inter",)), tmp_path)
    assert names(tmp_path) == ["x.inter"]


@pytest.mark.parametrize("inside", ["tiny", "."])
def test_copy_from_a_folder(tmp_path: Path, inside: str) -> None:
    source = tmp_path / "source"
    (source / inside).mkdir(parents=True)
    for file, content in (*LISTS.items(), ("other", b"")):
        (source / inside / file).write_bytes(content)
    folder = fetch(TINY_NAME, tmp_path / "raw", source)
    assert folder == tmp_path / "raw" / "tiny"
    assert names(folder) == ["test.txt", "train.txt"]
    assert {file: (folder / file).read_bytes() for file in LISTS} == LISTS
    assert fetch(TINY_NAME, tmp_path / "raw", tmp_path / "raw") == folder
    assert fetch(TINY_NAME, tmp_path / "raw") == folder  # complete: nothing to download


@pytest.mark.parametrize("content", [b"0 1\n", b"0 1 x\n", b"0 1 9\n"])
def test_copy_checks_before_it_copies(tmp_path: Path, content: bytes) -> None:
    """Files of another data set were copied first and refused afterwards, and stayed there."""
    (tmp_path / "train.txt").write_bytes(content)
    (tmp_path / "test.txt").write_bytes(LISTS["test.txt"])
    with pytest.raises(DataError, match=r"https://example\.org"):
        fetch(TINY_NAME, tmp_path / "raw", tmp_path)
    assert not (tmp_path / "raw").exists()


def test_copy_brings_right_files_of_the_release_and_names_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file, content in (
        *LISTS.items(),
        ("text_feat.npy", b"right"),
        ("image_feat.npy", b"wrong"),
    ):
        (tmp_path / file).write_bytes(content)
    folder = fetch(TINY_NAME, tmp_path / "raw", tmp_path)
    assert names(folder) == ["test.txt", "text_feat.npy", "train.txt"]
    assert f"{tmp_path / 'image_feat.npy'} is not that of the release" in caplog.text
    assert "it is not copied" in caplog.text
    assert "text_feat" not in caplog.text


def test_files_without_arrays_or_columns_are_told_in_terms_of_the_data_set(tmp_path: Path) -> None:
    """The message advised settings that may not stand beside the name of a data set."""
    np.savez(tmp_path / "tiktok.npz", training=np.zeros((2, 3), dtype=np.int32))
    with pytest.raises(DataError) as error:
        fetch("tiktok", tmp_path / "raw", tmp_path)
    message = str(error.value)
    for part in ("tiktok.npz is not the file of data set 'tiktok'", "no array 'train'",
                 "Wanted: train, valid, test; found: training", "data info tiktok"):  # fmt: skip
        assert part in message
    assert "data.arrays" not in message and "data.user" not in message
    (tmp_path / "ml-1m.inter").write_text("user_id:token\tmovie_id:token\n1\t2\n")
    (tmp_path / "ml-1m.item").write_text("item_id:token\tmovie_title:token_seq\n")
    with pytest.raises(
        DataError, match=r"no column 'item_id'\. Wanted: user_id, item_id, timestamp"
    ):
        fetch("ml-1m", tmp_path / "raw", tmp_path)


def test_copy_without_the_files_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"microlens'.*microlens\.inter"):
        fetch("microlens", tmp_path / "raw", tmp_path)


def test_sets_that_need_a_person_say_from_where_to_where(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        fetch("amazon-clothing", tmp_path)
    for part in ("MMRec", "clothing.inter", str(tmp_path / "amazon-clothing"), "--from DIR"):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match=r"Unknown data set 'tiktak'.*'tiktok'"):
        fetch("tiktak", tmp_path)


def test_every_download_gives_the_files_of_a_layout() -> None:
    for name, entry in CATALOG.items():
        if entry.downloads:
            given = {member for file in entry.downloads for member in file.members}
            given |= {file.address.rpartition("/")[2] for file in entry.downloads}
            assert any(set(layout.files) <= given for layout in entry.layouts), name
