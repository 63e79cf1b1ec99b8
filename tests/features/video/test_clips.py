import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs graphrec[encoders]")

import av
from PIL import Image

from graphrec.features.content.networks import UnreadableError
from graphrec.features.video import clips
from graphrec.features.video.clips import read_frames
from tests.features import tiny

LIMIT = 10_000_000
GREYS = [10 * number for number in range(20)]

# Groups of five pictures, so that stretches can be left out, with pictures coded before earlier
# ones; without times in the file; with pictures that need those of the group before.
FILES = {
    "a.mp4": {"options": {"g": "5", "bf": "2", "sc_threshold": "0"}},
    "b.mkv": {"codec": "mpeg4", "options": {"g": "5", "sc_threshold": "1000000000"}},
    "c.ts": {"options": {"g": "5", "bf": "2"}},
    "d.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "e.h264": {"options": {"g": "5"}},
    "f.webm": {"codec": "libvpx"},
    "g.mp4": {"options": {"g": "5", "bf": "2", "x264-params": "open-gop=1:scenecut=0"}},
    "h.gif": {"codec": "gif", "pixels": "rgb8"},
}


def read(path: Path, count: int, max_pixels: int = LIMIT) -> list[Image.Image]:
    key = hashlib.sha256(path.read_bytes()).hexdigest()
    return read_frames(str(path), key, count, max_pixels)


def greys(path: Path, count: int) -> list[int]:
    """The brightness of each frame; frames are flat, but coded with loss."""
    return [round(float(np.asarray(frame).mean())) for frame in read(path, count)]


def all_frames(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [round(float(frame.mean())) for frame in frames]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("count", [1, 2, 3, 8, 20, 47])
def test_frames_are_those_on_screen_at_evenly_spread_times(tmp_path, name, count):
    path = tiny.video(tmp_path / name, GREYS, **FILES[name])
    everything = all_frames(path)
    assert len(everything) == len(GREYS)
    places = [int((number + 0.5) / count * len(GREYS)) for number in range(count)]
    assert greys(path, count) == [everything[place] for place in places]


def test_frames_of_a_variable_rate_are_spread_over_time(tmp_path):
    path = tiny.video(tmp_path / "a.mkv", [0, 100, 200], times=[0, 1, 9])
    assert np.allclose(greys(path, 5), [100, 100, 100, 100, 200], atol=3)


def test_only_stretches_around_the_frames_are_decoded(tmp_path, monkeypatch):
    path = tiny.video(tmp_path / "a.mp4", [0] * 200, options={"g": "5", "bf": "0"})
    decoded = []
    original = clips._decoded
    monkeypatch.setattr(clips, "_decoded", lambda *each: decoded.append(1) or original(*each))
    read(path, 4)
    assert len(decoded) < 40


def test_few_frames_are_in_memory_at_once(tmp_path, monkeypatch):
    path = tiny.video(tmp_path / "a.mp4", GREYS * 10, options={"bf": "2"})
    most = []
    original = clips._Frames._advance

    def spy(self: clips._Frames, start: int) -> None:
        original(self, start)
        most.append(len(self.ahead))

    monkeypatch.setattr(clips._Frames, "_advance", spy)
    read(path, 2)
    assert len(most) > 100
    assert max(most) <= 4


def test_a_video_of_one_frame_repeats_it(tmp_path):
    path = tiny.video(tmp_path / "a.mp4", [130])
    assert np.allclose(greys(path, 3), [130] * 3, atol=3)


def test_a_video_is_turned_as_its_rotation_says(tmp_path):
    bright_left = np.zeros((32, 48, 3), np.uint8)
    bright_left[:, :24] = 200
    path = tiny.video(tmp_path / "a.mp4", [bright_left], size=(48, 32))
    content = bytearray(path.read_bytes())
    # The matrix of the track header: x' = -y, y' = x turns by 90 degrees clockwise.
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(bytes(content))
    turned = np.asarray(read(path, 1)[0])
    assert turned.shape == (48, 32, 3)
    assert turned[:20].mean() > 190
    assert turned[28:].mean() < 10


def test_an_animated_picture_is_a_video(tmp_path):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    dark = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    clear.save(tmp_path / "a.gif", save_all=True, append_images=[dark], duration=100, disposal=2)
    assert greys(tmp_path / "a.gif", 2) == [255, 0]


def test_a_title_of_any_encoding_does_no_harm(tmp_path):
    path = tmp_path / "a.mkv"
    tiny.video(path, [130], title="Cafe")
    path.write_bytes(path.read_bytes().replace(b"Cafe", "Café".encode("latin-1")))
    assert np.allclose(greys(path, 1), [130], atol=3)


def test_transparency_shows_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert greys(tmp_path / "a.png", 1) == [255]


# --- bad files ---


def test_a_text_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_text("<html>not found</html>")
    with pytest.raises(UnreadableError, match="not a video of a known format"):
        read(tmp_path / "a.mp4", 2)


def test_a_video_without_its_index_is_cut_short(tmp_path):
    path = tiny.video(tmp_path / "a.mp4", GREYS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableError, match="cut short"):
        read(path, 2)


def test_of_a_stream_cut_short_counts_what_is_there(tmp_path):
    path = tiny.video(tmp_path / "a.ts", GREYS, options={"g": "5", "bf": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = greys(path, 4)
    assert found == sorted(found)
    assert 50 < found[-1] < 130


def test_a_stream_that_never_begins_cannot_be_decoded(tmp_path):
    path = tiny.video(tmp_path / "a.mkv", [0, 50], options={"bf": "0"})
    content = bytearray(path.read_bytes())
    start = content.index(b"\x1f\x43\xb6\x75") + 12  # the first cluster
    content[start + 20 :] = bytes(len(content) - start - 20)
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableError, match=r"no frame that can be decoded"):
        read(path, 2)


def test_a_damaged_stretch_is_passed_over(tmp_path):
    path = tiny.video(tmp_path / "a.ts", GREYS, options={"g": "5", "bf": "0"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 188 * 3] = bytes(188 * 3)
    path.write_bytes(bytes(content))
    found = read(path, 20)
    assert len(found) == 20


def test_sound_alone_has_no_picture_stream(tmp_path):
    with pytest.raises(UnreadableError, match="no picture stream"):
        read(tiny.sound(tmp_path / "a.wav"), 2)


def test_the_cover_of_a_song_is_no_picture_stream(tmp_path):
    Image.new("RGB", (16, 16)).save(tmp_path / "cover.jpg")
    with av.open(str(tmp_path / "a.mp3"), "w") as song:
        sound = song.add_stream("libmp3lame", rate=44100, layout="mono")
        cover = song.add_stream("mjpeg")
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        blank = av.VideoFrame.from_image(Image.new("RGB", (16, 16)))
        song.mux(cover.encode(blank.reformat(format="yuvj420p")))
        song.mux(cover.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), layout="mono")
        silence.sample_rate = 44100
        song.mux(sound.encode(silence))
        song.mux(sound.encode())
    with pytest.raises(UnreadableError, match="no picture stream"):
        read(tmp_path / "a.mp3", 2)


def test_too_large_frames_are_refused(tmp_path):
    path = tiny.video(tmp_path / "a.mp4", [0], size=(64, 32))
    with pytest.raises(UnreadableError, match="too large: 64 x 32, more than 1,000 pixels"):
        read(path, 2, max_pixels=1000)


def test_frames_that_become_too_large_are_refused(tmp_path):
    small = tiny.video(tmp_path / "a.h264", [0] * 5, size=(32, 32))
    large = tiny.video(tmp_path / "b.h264", [0] * 5, size=(128, 64))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    assert len(read(small, 2)) == 2
    with pytest.raises(UnreadableError, match="too large: 128 x 64, more than 2,000 pixels"):
        read(small, 2, max_pixels=2000)


def test_thin_frames_are_refused(tmp_path):
    path = tiny.video(tmp_path / "a.mp4", [0], size=(1024, 16))
    with pytest.raises(UnreadableError, match="too thin: 1024 x 16"):
        read(path, 2)


def test_a_playlist_leads_to_no_other_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.video(tmp_path / "a.ts", GREYS)
    (tmp_path / "b.mp4").write_text("ffconcat version 1.0\nfile a.ts\n")
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n"
    (tmp_path / "c.m3u8").write_text(f"{head}{tmp_path}/a.ts\n#EXT-X-ENDLIST\n")
    for name in ("b.mp4", "c.m3u8"):
        with pytest.raises(UnreadableError):
            read(tmp_path / name, 2)


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path):
    path = tiny.video(tmp_path / "a.mp4", [0])
    with pytest.raises(UnreadableError, match="changed while it was encoded"):
        read_frames(str(path), "0" * 64, 2, LIMIT)


@pytest.mark.parametrize("error", [SystemError("x"), MemoryError(), ValueError("x")])
def test_whatever_a_decoder_raises_is_damage_of_that_file(tmp_path, monkeypatch, error):
    def broken(*_: object) -> None:
        raise error

    (tmp_path / "a.mp4").write_bytes(b"ftyp")
    monkeypatch.setattr(clips, "_packets_of", broken)
    with pytest.raises(UnreadableError, match="damaged"):
        read(tmp_path / "a.mp4", 2)
