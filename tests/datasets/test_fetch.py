import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from graphrec.datasets.entries import CATALOG, Download
from graphrec.datasets.fetch import download, fetch
from graphrec.errors import ConfigError, DataError
from graphrec.progress import reporting

CONTENT = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Serves ``files``; the first request for a name in ``cut`` breaks off half-way.

    A name in ``whole`` is answered with 200 and the whole content, whatever part was asked for.
    """

    files: ClassVar[dict[str, bytes]] = {}
    cut: ClassVar[set[str]] = set()
    whole: ClassVar[set[str]] = set()
    ranges: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404, "Not Found")
            return
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        if self.path in self.whole:
            wanted = None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(content):
            self.send_error(416, "Range Not Satisfiable")
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) // 2 if self.path in self.cut else len(content)
        self.cut.discard(self.path)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.files, Handler.cut, Handler.ranges = {"/a.bin": CONTENT}, set(), []
    Handler.whole = set()
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


def test_a_server_that_cannot_resume_sends_the_whole_file_and_the_part_is_replaced(
    server: str, tmp_path: Path
) -> None:
    """Appended to the part, the whole file would be a longer one that no checksum might catch."""
    Handler.whole = {"/a.bin"}
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:100])
    seen = Seen()
    with reporting(seen):
        download(Download(f"{server}/a.bin"), tmp_path)
    assert Handler.ranges == ["bytes=100-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert (seen.total, seen.done) == (len(CONTENT), len(CONTENT))


def test_a_complete_part_is_used_as_it_is(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    download(Download(f"{server}/a.bin", checksum(CONTENT)), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.bin: sha256 is .*expected 00ff"):
        download(Download(f"{server}/a.bin", "sha256:00ff"), tmp_path)
    assert names(tmp_path) == []


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


@pytest.mark.parametrize("inside", ["gowalla", "."])
def test_copy_from_a_folder(tmp_path: Path, inside: str) -> None:
    source = tmp_path / "source"
    (source / inside).mkdir(parents=True)
    for file in ("train.txt.gz", "test.txt.gz", "other"):
        (source / inside / file).write_bytes(file.encode())
    folder = fetch("gowalla", tmp_path / "raw", source)
    assert folder == tmp_path / "raw" / "gowalla"
    assert names(folder) == ["test.txt.gz", "train.txt.gz"]
    assert fetch("gowalla", tmp_path / "raw", tmp_path / "raw") == folder
    assert fetch("gowalla", tmp_path / "raw") == folder  # complete: nothing to download


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
