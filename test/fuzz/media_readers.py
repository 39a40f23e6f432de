"""Readers of videos, maps, tracks and the files of training and evaluation."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import rasterio
import yaml
from mcap.writer import Writer as McapWriter

from hsi_tracker_ros.photographs import find_photographs
from hsi_tracker_ros.training.clips import read_clips
from tracking_runtime.bags import BagReader
from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.attributes import read_attributes
from tracking_runtime.datasets.track_files import read_track_file
from tracking_runtime.errors import ModelError, SourceError, TrackingError
from tracking_runtime.evaluation.result_store import VideoResult, write_result
from tracking_runtime.evaluation.run import read_run
from tracking_runtime.evaluation.video_scores import SCHEMA, Prediction, score_video
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.envi import open_envi
from tracking_runtime.io.raster import open_raster
from tracking_runtime.io.video_file import VideoFileSource
from tracking_runtime.messages.conversion import IMAGE, serialize_image
from tracking_runtime.messages.definitions import UnknownTypeError, find_interface
from tracking_runtime.models import signatures
from tracking_runtime.models.coreml import read_coreml_layers
from tracking_runtime.models.public_models import read_catalog
from tracking_runtime.reports.support_report import read_diagnoses, read_log_messages

from .reader import Reader, consume

_TRACK_LINES = b"""{"frame": 1, "stamp_ns": 4, "tracks": [{"id": 1, "box": [1, 2, 3, 4], "score": 1}]}
{"frame": 2, "stamp_ns": 8, "tracks": []}
{"frame": 4, "stamp_ns": 16, "tracks": [{"id": 1, "box": [1.5, 2, 3, 4], "class": "a", "state": "lost"}]}
"""
_WORLD_FILES = [b"2.0\n0.0\n0.0\n-2.0\n500000.0\n4000000.0\n", b"2,0\r\n0,0\r\n0,0\r\n-2,0\r\n5e5\r\n4e6\r\n"]
_ATTRIBUTES = [b"a: [OCC, SV]\nb: []\n", b"1 0 0 1 0 0 0 0 0 0 0\n", b"1\n0\n0\n1\n0\n0\n0\n0\n0\n0\n0\n"]
_PHOTOGRAPH_BOXES = [b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.1 0.1\n", b"0 .5 .5 1 1\n"]
_ENVI_HEADER = (
    "ENVI\nsamples = 4\nlines = 3\nbands = 2\nheader offset = 0\ndata type = 12\ninterleave = {interleave}\n"
    "byte order = {order}\nwavelength = {{500, 600}}\n"
)


@cache
def _make_video_seeds() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    seeds = []
    for suffix, codec, pixel_format in (
        ("mp4", "mpeg4", "yuv420p"),
        ("mkv", "ffv1", "gray"),
        ("avi", "mjpeg", "yuvj420p"),
        ("mpg", "mpeg2video", "yuv420p"),
    ):
        stream = io.BytesIO()
        with av.open(stream, "w", format={"mkv": "matroska", "mpg": "mpeg"}.get(suffix, suffix)) as container:
            track = container.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 48, 32, pixel_format
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pixel_format)
            for number in range(3):
                picture.pts = number
                container.mux(track.encode(picture))
            container.mux(track.encode())
        seeds.append(stream.getvalue())
    return seeds


@cache
def _make_geotiff_seeds() -> list[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.tif"
        options = {"driver": "GTiff", "width": 8, "height": 6, "count": 2, "dtype": "uint16"}
        transform = rasterio.Affine(2, 0, 500000, 0, -2, 4000000)
        with rasterio.open(path, "w", crs="EPSG:32611", transform=transform, nodata=0, **options) as file:
            file.write(np.arange(96, dtype=np.uint16).reshape(2, 6, 8))
            file.set_band_description(1, "500 nm")
            file.set_band_description(2, "600 nm")
            file.update_tags(1, WAVELENGTH="500")
        return [path.read_bytes()]


def _make_schema_seeds() -> list[bytes]:
    return [find_interface(IMAGE).definition.encode()]


def _make_record_seeds() -> list[bytes]:
    kinds = ("diagnostic_msgs/msg/DiagnosticArray", "rcl_interfaces/msg/Log")
    return [f"{kind}\n{find_interface(kind).definition}".encode() for kind in kinds]


@cache
def _make_run_seeds() -> list[bytes]:
    box = np.array([[1.0, 2, 3, 4]])
    truth = [GroundTruth(np.array([1]), np.zeros(1, np.uint8), box)] * 2
    objects = [ScoredBoxes(np.array([1], np.int64), box, np.ones(1), np.zeros(1, np.int64))] * 2
    predictions: list[Prediction] = [np.repeat(box, 2, axis=0), objects]
    with TemporaryDirectory() as folder:
        for number, prediction in enumerate(predictions):
            scores = score_video(f"v{number}", truth, prediction)
            write_result(Path(folder), VideoResult(f"v{number}", "0", scores=scores, speed={"mean_ms": 1.0}))
        return [path.read_bytes() for path in sorted(Path(folder).glob("videos/*.json"))]


def _make_clip_seeds() -> list[bytes]:
    description = {
        "boxes": [[1.0, 2.0, 3.0, 4.0]] * 2,
        "wavelengths_nm": [500.0, 600.0],
        "band_means": [[0.1, 0.2]] * 2,
        "white": [1.0, 1.0],
    }
    return [json.dumps(description).encode()]


def _make_catalog_seeds() -> list[bytes]:
    model = {
        "name": "net", "description": "a net", "url": "https://example.org/net.pth", "sha256": "0" * 64,
        "size": 9, "license": "MIT", "importer": "nanotrack", "scores": {"success": 0.5},
    }  # fmt: skip
    return [yaml.safe_dump([model]).encode()]


def _encode_field(number: int, content: bytes | int) -> bytes:
    def encode(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + encode(rest) if rest else bytes([low])

    if isinstance(content, int):
        return encode(number << 3) + encode(content)
    return encode(number << 3 | 2) + encode(len(content)) + content


def _make_coreml_seeds() -> list[bytes]:
    weights = np.arange(18, dtype="<f4").tobytes()
    convolution = b"".join(
        _encode_field(number, content)
        for number, content in (
            (1, 2), (2, 1), (10, 1), (20, b"\3\3"), (30, b"\1\1"), (50, b""),
            (90, _encode_field(1, weights)), (70, 1), (91, _encode_field(2, bytes(4))),
        )
    )  # fmt: skip
    layers = [
        _encode_field(1, b"c")
        + _encode_field(2, b"in")
        + _encode_field(3, b"c")
        + _encode_field(100, convolution),
        _encode_field(1, b"r") + _encode_field(2, b"c") + _encode_field(3, b"r") + _encode_field(130, b""),
    ]
    network = b"".join(_encode_field(1, layer) for layer in layers)
    return [_encode_field(1, 4) + _encode_field(500, network)]


def _make_key_seeds() -> list[bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    return [key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]


def _read_video(path: Path) -> None:
    for damaged in ("raise", "keep"):
        source = VideoFileSource(path, damaged=damaged)  # type: ignore[arg-type]
        len(source)
        consume(source)


def _read_cube(path: Path) -> None:
    cube = open_raster(path)
    consume(cube.view_frame(index) for index in range(min(cube.num_frames, 3)))


def _read_envi_cube(path: Path) -> None:
    """Read a cube whose header is in the first bytes of the file, before a null byte."""
    header, _, data = path.read_bytes().partition(b"\0")
    path.with_suffix(".hdr").write_bytes(header)
    path.with_suffix(".dat").write_bytes(data)
    cube = open_envi(path.with_suffix(".hdr"))
    consume(cube.view_frame(index) for index in range(min(cube.num_frames, 3)))


def _make_envi_seeds() -> list[bytes]:
    samples = bytes(range(48))
    return [
        _ENVI_HEADER.format(interleave=interleave, order=order).encode() + b"\0" + samples
        for interleave, order in (("bsq", 0), ("bil", 1), ("bip", 0))
    ]


def _write_bag(path: Path, kind: str, definition: str, data: bytes) -> None:
    """Write a recording whose checksums are right, with a definition that may be hostile."""
    with path.open("wb") as stream:
        writer = McapWriter(stream)
        writer.start("ros2", "other")
        schema = writer.register_schema(kind, "ros2msg", definition.encode())
        channel = writer.register_channel("/image", "cdr", schema)
        for stamp_ns in (1, 2):
            writer.add_message(channel, stamp_ns, data, stamp_ns)
        writer.finish()


def _read_schema(path: Path) -> None:
    definition = path.read_bytes().decode("latin-1")
    image = serialize_image(Frame(1, np.zeros((6, 8), np.uint8), "mono8"))
    _write_bag(path, IMAGE, definition, image)
    source = BagSource(path, topic="/image")
    consume([source.rate_hz, source.class_names, source.spectral_info, len(source)])
    consume(source)


def _read_records(path: Path) -> None:
    kind, _, definition = path.read_bytes().decode("latin-1").partition("\n")
    _write_bag(path, kind, definition, b"\0\1\0\0" + bytes(64))
    reader = BagReader(path)
    consume([read_diagnoses(reader), read_log_messages(reader)])


def _read_attributes(path: Path) -> None:
    content = path.read_bytes()
    if b":" in content:
        path.with_name("attributes.yaml").write_bytes(content)
    else:
        path.with_name("att").mkdir(exist_ok=True)
        path.with_name("att").joinpath("v.txt").write_bytes(content)
    read_attributes(path.parent)


def _read_run(path: Path) -> None:
    content = path.read_bytes()
    (path.parent / "videos").mkdir(exist_ok=True)
    (path.parent / "videos" / "v.json").write_bytes(content)
    summary = {"schema": SCHEMA, "name": "run", "videos": [{"name": "v"}], "failed": []}
    (path.parent / "scores.json").write_text(json.dumps(summary))
    consume([read_run(path.parent).summary])


def _read_run_summary(path: Path) -> None:
    read_run(path.parent)


def _make_summary_seeds() -> list[bytes]:
    return [json.dumps({"schema": SCHEMA, "name": "run", "videos": [], "failed": []}).encode()]


def _read_clips(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.zeros((2, 4, 4, 2), np.float16))
    read_clips(path.parent)


def _read_photographs(path: Path) -> None:
    path.with_suffix(".png").write_bytes(b"")
    find_photographs(path.parent)


def _read_key(path: Path) -> None:
    keys = path.parent / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "key.pem").write_bytes(path.read_bytes())
    signature = {"algorithm": "ed25519", "public_key": "AAAA", "signature": "A" * 88}
    path.with_suffix(".sig").write_text(json.dumps(signature))
    signatures.verify(path.with_suffix(".yaml"), b"manifest", keys)


READERS: tuple[Reader, ...] = (
    Reader("video", "clip.video", _make_video_seeds, _read_video),
    Reader("geotiff", "image.tif", _make_geotiff_seeds, _read_cube),
    Reader("envi_cube", "cube.bytes", _make_envi_seeds, _read_envi_cube),
    Reader("world_file", "image.tfw", lambda: _WORLD_FILES, read_reference, (TrackingError,)),
    Reader("track_file", "tracks.jsonl", lambda: [_TRACK_LINES], read_track_file),
    Reader("bag_schema", "bag.mcap", _make_schema_seeds, _read_schema, (SourceError, UnknownTypeError)),
    Reader("bag_logs", "bag.mcap", _make_record_seeds, _read_records, (SourceError, UnknownTypeError)),
    Reader("attributes", "attributes", lambda: _ATTRIBUTES, _read_attributes),
    Reader("evaluation_result", "content.json", _make_run_seeds, _read_run),
    Reader("evaluation_run", "scores.json", _make_summary_seeds, _read_run_summary),
    Reader("clips", "clip.json", _make_clip_seeds, _read_clips),
    Reader("photograph_boxes", "photo.txt", lambda: _PHOTOGRAPH_BOXES, _read_photographs),
    Reader("catalog", "catalog.yaml", _make_catalog_seeds, read_catalog, (ModelError,)),
    Reader("coreml", "net.mlmodel", _make_coreml_seeds, read_coreml_layers, (ModelError,)),
    Reader("public_key", "net.bytes", _make_key_seeds, _read_key, (ModelError,)),
)
