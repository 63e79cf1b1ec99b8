"""Decode some frames of a video file, upright and as RGB, or explain why it cannot be decoded."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from graphrec.features.content.networks import UnreadableError, decoding, opened
from graphrec.features.image.pictures import require_decent_size, rgb

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

SAMPLING = "the frame on screen at (i + 1/2) / count of the length, by presentation time"
"""Rule by which ``read_frames`` chooses frames; part of the identity of every video encoder."""

DECODING = "first picture stream, as far as it can be decoded; rotation; transparency on white; RGB"
"""Description of ``read_frames``; part of the identity of every video encoder."""

NO_TIME = np.iinfo(np.int64).min
PACKETS = np.dtype([("time", "i8"), ("duration", "i8"), ("key", "?"), ("shown", "?")])


class _Wanted(NamedTuple):
    """Presentation time of a frame, and the packet from which decoding leads to it."""

    time: int
    start: int


def read_frames(path: str, key: str, count: int, max_pixels: int) -> "list[Image]":
    """Return ``count`` frames as 8-bit RGB, evenly spread over the length of a video.

    Frame i is the one on screen at (i + 1/2) / count of the length; a video with fewer frames
    repeats them. Times come from the packets, so neither an index nor a known length is needed. Of
    a damaged video the decodable part counts. Only stretches around the frames are decoded, and
    besides the returned frames only a few are in memory.

    Raises:
        UnreadableError: the file is no video, has no pictures or none that can be decoded, has
            pictures too large or too thin, or is no longer the file whose sha256 is ``key``.
    """
    import av

    with decoding():
        try:
            with opened(path, key) as file:
                packets = _packets_of(file, max_pixels)
                timed = bool((packets["time"] != NO_TIME).all())
                if not timed:
                    packets = _numbered(file, max_pixels)
                return _decode(file, _wanted(packets, count), max_pixels, timed=timed)
        except av.error.InvalidDataError as error:
            raise UnreadableError("not a video of a known format, or cut short") from error


@contextmanager
def _opened_stream(
    file: BinaryIO, max_pixels: int
) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open the first picture stream of a file, for decoding in this thread alone."""
    import av

    file.seek(0)
    # Without a name, only the bytes decide on the format; without protocols, a playlist cannot lead
    # to another file.
    nameless = SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell)
    # The decoder counts its padding as well; the exact check is the check of the sizes.
    limit = {"max_pixels": str(2 * max_pixels + 2**20)}
    options = {"protocol_whitelist": "", **limit}
    with av.open(nameless, options=options, metadata_errors="replace") as container:
        cover = av.stream.Disposition.attached_pic
        streams = [video for video in container.streams.video if not video.disposition & cover]
        if not streams:
            raise UnreadableError("no picture stream")
        codec = streams[0].codec_context
        if codec is None:
            raise UnreadableError("its pictures have an unknown format")
        if codec.width and codec.height:
            require_decent_size((codec.width, codec.height), max_pixels)
        codec.thread_count = 1
        codec.options = limit
        yield container, streams[0]


def _demuxed(container: "InputContainer", stream: "VideoStream") -> "Iterator[Packet | None]":
    """Yield the packets of a stream, as far as they can be read, and None at the end."""
    import av

    with suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    yield None


def _decoded(stream: "VideoStream", packet: "Packet | None") -> "list[VideoFrame]":
    """Return the frames that a packet completes; none if it is damaged."""
    import av

    try:
        frames: list[VideoFrame] = stream.codec_context.decode(packet)
    except av.error.FFmpegError:
        return []
    return frames


def _packets_of(file: BinaryIO, max_pixels: int) -> npt.NDArray[np.void]:
    """Return time, duration and kind of every packet, in decoding order, without decoding."""
    with _opened_stream(file, max_pixels) as (container, stream):
        return np.fromiter(
            (
                (
                    NO_TIME if packet.pts is None else packet.pts,
                    packet.duration or 0,
                    packet.is_keyframe,
                    not packet.is_discard,
                )
                for packet in _demuxed(container, stream)
                if packet is not None
            ),
            PACKETS,
        )


def _numbered(file: BinaryIO, max_pixels: int) -> npt.NDArray[np.void]:
    """Return one packet per frame that can be decoded, with the frame's number as its time."""
    with _opened_stream(file, max_pixels) as (container, stream):
        count = sum(len(_decoded(stream, packet)) for packet in _demuxed(container, stream))
    packets = np.zeros(count, PACKETS)
    packets["time"], packets["duration"], packets["shown"] = np.arange(count), 1, True
    return packets


def _wanted(packets: npt.NDArray[np.void], count: int) -> list[_Wanted]:
    """Choose ``count`` frames, spread over the length."""
    shown = np.sort(packets[packets["shown"]], order="time")
    if not len(shown):
        raise UnreadableError("no frame that can be decoded")
    times = shown["time"]
    first, last = int(times[0]), int(times[-1])
    length = last - first + int(shown["duration"][-1] or max((last - first) // len(times), 1))
    keys = np.flatnonzero(packets["key"])
    wanted = []
    for number in range(count):
        at = first + (2 * number + 1) * length // (2 * count)
        time = int(times[np.searchsorted(times, at, side="right") - 1])
        before = keys[packets["time"][keys] <= time]
        wanted.append(_Wanted(time, int(before[-1]) if len(before) else 0))
    return wanted


def _decode(
    file: BinaryIO, wanted: list[_Wanted], max_pixels: int, *, timed: bool
) -> "list[Image]":
    """Return, for each wanted time, the last frame that was on screen by then."""
    pictures: list[Image] = []
    last: VideoFrame | None = None
    with _opened_stream(file, max_pixels) as (container, stream):
        frames = _Frames(container, stream, timed=timed)
        for time, start in wanted:
            frame = frames.on_screen(time, start)
            if frame is not last:
                require_decent_size((frame.width, frame.height), max_pixels)
                last, picture = frame, _picture(frame)
            pictures.append(picture)
    return pictures


class _Frames:
    """The frames of a stream in the order of their times; stretches between can be skipped."""

    def __init__(self, container: "InputContainer", stream: "VideoStream", *, timed: bool) -> None:
        self.stream = stream
        self.timed = timed
        self.packets = enumerate(_demuxed(container, stream))
        self.ahead: deque[tuple[int, VideoFrame]] = deque()
        self.shown: VideoFrame | None = None
        self.clock = -1
        self.ended = False

    def on_screen(self, time: int, start: int) -> "VideoFrame":
        """Return the last frame up to ``time``, or else the first one."""
        while True:
            while self.ahead and (self.shown is None or self.ahead[0][0] <= time):
                self.shown = self.ahead.popleft()[1]
            if self.ahead or self.ended:
                break
            self._advance(start)
        if self.shown is None:
            raise UnreadableError("no frame that can be decoded")
        return self.shown

    def _advance(self, start: int) -> None:
        """Decode the next packet, from ``start`` on."""
        number, packet = next(self.packets)
        if number < start:
            while packet is not None and number < start:
                number, packet = next(self.packets)
            self.stream.codec_context.flush_buffers()
        self.ended = packet is None
        for frame in _decoded(self.stream, packet):
            if not self.timed:
                self.clock += 1
            elif frame.pts is not None:
                self.clock = frame.pts
            self.ahead.append((self.clock, frame))


def _picture(frame: "VideoFrame") -> "Image":
    from PIL import Image

    kind = frame.format
    clear = kind.has_palette or any(component.is_alpha for component in kind.components)
    picture = rgb(Image.fromarray(frame.to_ndarray(format="rgba" if clear else "rgb24")))
    quarters = round(frame.rotation / 90) % 4  # counterclockwise
    turns = (
        None,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
    )
    turn = turns[quarters]
    return picture if turn is None else picture.transpose(turn)
