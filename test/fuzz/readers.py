"""The readers of the project, with seeds that the project makes itself.

A reader gets a file of unknown origin. It returns, or raises an error of the types that its documentation
names, within a time and a memory that do not depend on what the file claims.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import scipy.io
import tifffile
import torch
import yaml
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from safetensors.torch import save

from hsi_tracker_ros.cubes.camera_file import read_camera_file
from tracking_runtime.bags import BagReader, BagWriter
from tracking_runtime.datasets.coco import open_coco
from tracking_runtime.datasets.coco_video import read_coco_video
from tracking_runtime.datasets.cvat import read_cvat
from tracking_runtime.datasets.result_files import read_boxes, read_tracks
from tracking_runtime.errors import FrameRefusedError, ModelError, SourceError, TrackingError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.geography.reading import read_reference
from tracking_runtime.io.array_files import open_array_file
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.envi_header import (
    read_bands,
    read_envi_header,
    read_gain_and_offset,
    read_georeference,
)
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.io.image_folder import read_spectral_info_file
from tracking_runtime.io.video_description import find_video_description, read_sequence_rate
from tracking_runtime.messages.conversion import (
    COMPRESSED_IMAGE,
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    read_image,
    read_spectral_info,
    read_truth,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.messages.definitions import (
    MessageError,
    UnknownTypeError,
    deserialize,
    find_interface,
    load_typestore,
    make_typestore,
)
from tracking_runtime.models import signatures
from tracking_runtime.models.checkpoints import read_state_dict
from tracking_runtime.models.manifest import load_model, read_manifest, save_model
from tracking_runtime.spectral_info import SpectralInfo

from . import media_readers, message_readers
from .reader import MAX_ITEMS, Reader, consume

BANDS = SpectralInfo((500.0, 550.0, 600.0, 650.0), (10.0,) * 4, mosaic=(2, 2), bit_depth=10)


# Seeds


def _make_frame(number: int) -> Frame:
    pixels = (np.arange(48).reshape(6, 8) * number % 251).astype(np.uint8)
    truth = GroundTruth(np.array([number]), np.zeros(1, np.uint8), np.array([[1.0, 2, 3, 4]]))
    return Frame(number * 10**8, pixels, "mono8", truth=truth)


def _make_messages() -> list[tuple[str, str, bytes]]:
    frame = _make_frame(1)
    assert frame.truth is not None
    compressed = load_typestore().types[COMPRESSED_IMAGE]
    header = load_typestore().types["std_msgs/msg/Header"]
    stamp = load_typestore().types["builtin_interfaces/msg/Time"]
    data = cv2.imencode(".png", frame.image)[1]
    message = compressed(header(stamp(1, 2), "cam"), "png", np.frombuffer(data.tobytes(), np.uint8))
    return [
        ("/image", IMAGE, serialize_image(frame)),
        ("/ground_truth", TRACKS, serialize_truth(frame.truth, 10**8, "cam", (8, 6), ["car"])),
        ("/spectral_info", SPECTRAL_INFO, serialize_spectral_info(BANDS, 10**8, "cam")),
        (
            "/image/compressed",
            COMPRESSED_IMAGE,
            bytes(load_typestore().serialize_cdr(message, COMPRESSED_IMAGE)),
        ),
    ]


@cache
def _make_bags() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        for compression in ("none", "zstd"):
            for finish in (True, False):
                writer = BagWriter(Path(folder) / f"{compression}{finish}", compression=compression)  # type: ignore[arg-type]
                for topic, kind, _ in _make_messages():
                    writer.add_installed_topic(topic, kind)
                for number in range(3):
                    for topic, _, data in _make_messages():
                        writer.write(topic, data, number)
                    writer.flush()
                writer.close() if finish else writer.abandon()
        files = {path.parent.name: path.read_bytes() for path in Path(folder).glob("*/*.mcap")}
        files["metadata"] = (Path(folder) / "noneTrue" / "metadata.yaml").read_bytes()
    stream = io.BytesIO()
    lz4_writer = McapWriter(stream, compression=CompressionType.LZ4)
    lz4_writer.start("ros2", "other")
    interface = find_interface(IMAGE)
    schema = lz4_writer.register_schema(IMAGE, "ros2msg", interface.definition.encode())
    channel = lz4_writer.register_channel("/image", "cdr", schema)
    lz4_writer.add_message(channel, 1, _make_messages()[0][2], 1)
    lz4_writer.finish()
    return {**files, "lz4": stream.getvalue()}


def _make_mcap_seeds() -> list[bytes]:
    return [content for name, content in _make_bags().items() if name != "metadata"]


@cache
def _make_db3() -> bytes:
    with TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        with RosbagsWriter(bag, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
            for topic, kind, data in _make_messages():
                connection = writer.add_connection(topic, kind, typestore=load_typestore())
                writer.write(connection, 1, data)
        return (bag / "bag.db3").read_bytes()


def _make_image_seeds() -> list[bytes]:
    color = np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    images = [color, color[..., 0], (color[..., 0].astype(np.uint16) * 17)]
    seeds = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    suffixes = (".jpg", ".bmp", ".webp", ".ppm", ".jp2")
    encoded = [cv2.imencode(suffix, color) for suffix in suffixes]
    return seeds + [data.tobytes() for is_encoded, data in encoded if is_encoded]


def _make_tiff_seeds() -> list[bytes]:
    cube = np.random.default_rng(0).integers(0, 4000, (4, 9, 12), dtype=np.uint16)
    options: list[tuple[Any, dict[str, Any]]] = [
        (cube[0], {}),
        (cube, {"photometric": "minisblack"}),
        (cube[:3].transpose(1, 2, 0).astype(np.uint8), {"photometric": "rgb"}),
        (cube[0], {"compression": "zlib", "predictor": True}),
        (cube[0].astype(np.float32), {"compression": "lzw", "tile": (16, 16)}),
        (cube, {"bigtiff": True, "byteorder": ">", "photometric": "minisblack"}),
    ]
    seeds = []
    for image, arguments in options:
        stream = io.BytesIO()
        tifffile.imwrite(stream, image, **arguments)
        seeds.append(stream.getvalue())
    return seeds


def _make_coco_seeds() -> list[bytes]:
    content = {
        "images": [{"id": 1, "file_name": "v/1.png"}, {"id": 2, "file_name": "v/2.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "obj_id": 1},
            {"id": 2, "image_id": "2", "category_id": 1, "bbox": ["1", 2.5, 3, 4], "obj_id": "2"},
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    return [json.dumps(content).encode()]


def _make_coco_video_seeds() -> list[bytes]:
    content = {
        "videos": [{"id": 1, "name": "v", "width": 20, "height": 10}],
        "images": [
            {"id": i, "video_id": 1, "frame_id": i, "file_name": f"{i}.png", "width": 20, "height": 10}
            for i in (1, 2)
        ],
        "tracks": [{"id": 7, "video_id": 1, "category_id": 1}],
        "annotations": [
            {"id": i, "image_id": i, "video_id": 1, "track_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}
            for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    return [json.dumps(content).encode()]


_CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>v</name><size>3</size>
<labels><label><name>car</name></label></labels><original_size><width>20</width><height>10</height>
</original_size></task></meta><track id="0" label="car">
<box frame="0" outside="0" occluded="0" keyframe="1" xtl="1.0" ytl="2.0" xbr="4.0" ybr="6.0"/>
<box frame="2" outside="1" occluded="0" keyframe="1" xtl="1.0" ytl="2.0" xbr="4.0" ybr="6.0"/>
</track></annotations>"""


def _make_cvat_seeds() -> list[bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", _CVAT)
    return [_CVAT, stream.getvalue()]


def _make_array_seeds() -> list[bytes]:
    cube = np.arange(4 * 9 * 12, dtype=np.uint16).reshape(9, 12, 4)
    npy, npz, mat, packed = (io.BytesIO() for _ in range(4))
    np.save(npy, cube)
    np.savez_compressed(npz, cube=cube)
    scipy.io.savemat(mat, {"cube": cube})
    scipy.io.savemat(packed, {"cube": cube, "wavelengths": np.arange(4.0)}, do_compression=True)
    return [stream.getvalue() for stream in (npy, npz, mat, packed)]


_ENVI = b"""ENVI
description = { a cube }
samples = 12
lines = 9
bands = 4
header offset = 0
file type = ENVI Standard
data type = 12
interleave = bsq
byte order = 0
map info = {UTM, 1, 1, 500000, 4000000, 2, 2, 11, North, WGS-84, units=Meters}
wavelength units = nm
wavelength = {500, 550, 600, 650}
fwhm = {10, 10, 10, 10}
bbl = {1, 1, 1, 0}
data gain values = {1, 1, 1, 1}
"""

_CAMERA_XML = b"""<?xml version="1.0"?>
<sensor_calibration><sensor_info><width>8</width><height>6</height><input_bpp>10</input_bpp></sensor_info>
<filter_info><filter_zones><filter_zone layout="MOSAIC"><pattern_width>2</pattern_width>
<pattern_height>1</pattern_height><filter_area><offset_x>0</offset_x><offset_y>0</offset_y><width>8</width>
<height>6</height></filter_area><bands>
<band index="0"><peaks>
<peak><wavelength_nm>500</wavelength_nm><fwhm_nm>9</fwhm_nm><QE>.2</QE></peak></peaks></band>
<band index="1"><peaks>
<peak><wavelength_nm>600</wavelength_nm><fwhm_nm>9</fwhm_nm><QE>.2</QE></peak></peaks></band>
</bands></filter_zone></filter_zones></filter_info>
<system_info><spectral_correction_info><correction_matrices><correction_matrix><virtual_bands>
<virtual_band>
<wavelength_nm>500</wavelength_nm><fwhm_nm>9</fwhm_nm><coefficients>1, 0</coefficients></virtual_band>
<virtual_band>
<wavelength_nm>600</wavelength_nm><fwhm_nm>9</fwhm_nm><coefficients>0, 1</coefficients></virtual_band>
</virtual_bands></correction_matrix></correction_matrices></spectral_correction_info></system_info>
</sensor_calibration>"""

_SPECTRAL_INFO = b"wavelengths_nm: [500, 550, 600, 650]\nmosaic: [2, 2]\nbit_depth: 10\nblack_level: 16\n"
_CAMERA_YAML = _SPECTRAL_INFO + b"sensor_size: [8, 6]\nfilter_area: [0, 0, 8, 6]\n"
_VIDEO_YAML = b"""rate_hz: 25.0
encoding: mono8
class_names: [car]
without_truth: [2]
stamps_ns: [40000000, 80000000]
"""
_SEQINFO = b"[Sequence]\nname=v\nimDir=img1\nframeRate=25\nseqLength=2\nimWidth=8\nimHeight=6\nimExt=.png\n"
_TRUTHS = [
    b"1,1,10,10,20,20,1,1,1\n1,2,30,30,5,5,1,1,1\n3,1,11,10,20,20,1,1,1\n",
    b"10 20 30 40\n11 20 30 40\n0 0 0 0\n",
    b"1;1;10,5;10,5;20;20;1;1;1\n",
    b"\xef\xbb\xbfframe,id,x,y,w,h\r\n1,1,2,3,4,5\r\n",
    b"10\t20\t30\t40\nnan\tnan\tnan\tnan\n",
]


def _make_reference_seeds() -> list[bytes]:
    corners = {"latitude": 36.0, "longitude": -115.0}
    places = {
        "top_left": corners,
        "top_right": {"latitude": 36.0, "longitude": -114.99},
        "bottom_right": {"latitude": 35.99, "longitude": -114.99},
        "bottom_left": {"latitude": 35.99, "longitude": -115.0},
    }
    points = [
        {"pixel": [x, y], "latitude": 36 - y * 1e-5, "longitude": -115 + x * 1e-5}
        for x, y in ((0, 0), (99, 0), (99, 79), (0, 79), (50, 20))
    ]
    references = [
        {"size": [100, 80], "corners": places},
        {"size": [100, 80], "points": points},
        {"transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 4000000.0], "crs": "EPSG:32611"},
    ]
    return [yaml.safe_dump(reference).encode() for reference in references]


@cache
def _make_model() -> tuple[bytes, bytes, bytes]:
    """Return the manifest, the weights and the signature of a model."""
    with TemporaryDirectory() as folder:
        weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}
        path = save_model(Path(folder), "tiny", "hanet", {"bands": 4}, weights, training={"steps": 3})
        signature = {"algorithm": "ed25519", "public_key": "AAAA", "signature": "A" * 88}
        return path.read_bytes(), save(weights), json.dumps(signature).encode()


def _make_checkpoint_seeds() -> list[bytes]:
    seeds = []
    for legacy in (False, True):
        stream = io.BytesIO()
        content = {"state_dict": {"module.a": torch.arange(6.0)}, "epoch": 3}
        torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
        seeds.append(stream.getvalue())
    return [*seeds, b"<!DOCTYPE html><html><body>404</body></html>", b""]


# Readers


def _read_bag(path: Path) -> None:
    reader = BagReader(path)
    reader.check()
    consume(reader.read_messages())


def _read_bag_source(path: Path) -> None:
    source = BagSource(path, topic="/image")
    consume([source.rate_hz, source.class_names, source.spectral_info, len(source)])
    consume(source)


def _read_metadata(path: Path) -> None:
    storage = path.parent / "noneTrue_0.mcap"
    if not storage.exists():
        storage.write_bytes(_make_bags()["noneTrue"])
    reader = BagReader(path.parent)
    consume([reader.topics, reader.gaps, reader.counts])


def _read_message(path: Path) -> None:
    content = path.read_bytes()
    kind = content[0] % 4 if content else 0
    type_name = (IMAGE, TRACKS, SPECTRAL_INFO, COMPRESSED_IMAGE)[kind]
    message = deserialize(load_typestore(), content[1:], type_name)
    (read_image, read_truth, read_spectral_info, lambda _: None)[kind](message)


def _make_message_seeds() -> list[bytes]:
    kinds = {IMAGE: 0, TRACKS: 1, SPECTRAL_INFO: 2, COMPRESSED_IMAGE: 3}
    return [bytes([kinds[kind]]) + data for _, kind, data in _make_messages()]


def _read_definition(path: Path) -> None:
    name, _, definition = path.read_bytes().decode("latin-1").partition("\n")
    store = make_typestore(name, definition)
    data = _make_messages()[1][2]
    with suppress(MessageError):
        deserialize(store, data, name)


def _make_definition_seeds() -> list[bytes]:
    return [f"{kind}\n{find_interface(kind).definition}".encode() for kind in (IMAGE, TRACKS, SPECTRAL_INFO)]


def _read_coco(path: Path) -> None:
    for video in islice(open_coco(path), MAX_ITEMS):
        consume(video.truth)


def _read_array(path: Path) -> None:
    suffixes = {b"\x93NUM": ".npy", b"PK\x03\x04": ".npz"}
    renamed = path.with_suffix(suffixes.get(path.read_bytes()[:4], ".mat"))
    shutil.move(path, renamed)
    file = open_array_file(renamed)
    consume(file.read_frame(index) for index in range(min(file.num_frames, 3)))


def _read_envi(path: Path) -> None:
    header = read_envi_header(path)
    consume([read_bands(header), read_gain_and_offset(header), read_georeference(header)])


def _read_camera(path: Path) -> None:
    suffix = ".xml" if path.read_bytes()[:1] == b"<" else ".yaml"
    renamed = path.with_suffix(suffix)
    shutil.move(path, renamed)
    read_camera_file(renamed)


def _read_results(path: Path) -> None:
    consume(read_tracks(path))


def _read_weights(path: Path) -> None:
    content = yaml.safe_load(_make_model()[0])
    content["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".yaml").write_text(yaml.safe_dump(content))
    load_model(path, "hanet")


def _read_signature(path: Path) -> None:
    keys = path.parent / "keys"
    keys.mkdir(exist_ok=True)
    signatures.verify(path.with_suffix(".yaml"), b"manifest", keys)


READERS: tuple[Reader, ...] = (
    *media_readers.READERS,
    *message_readers.READERS,
    Reader("mcap", "bag.mcap", _make_mcap_seeds, _read_bag, (SourceError, UnknownTypeError)),
    Reader("bag_source", "bag.mcap", _make_mcap_seeds, _read_bag_source, (SourceError, UnknownTypeError)),
    Reader("db3", "bag.db3", lambda: [_make_db3()], _read_bag, (SourceError, UnknownTypeError)),
    Reader("bag_metadata", "metadata.yaml", lambda: [_make_bags()["metadata"]], _read_metadata),
    Reader(
        "message",
        "message.cdr",
        _make_message_seeds,
        _read_message,
        (MessageError, FrameRefusedError, ValueError),
    ),
    Reader(
        "definition",
        "type.msg",
        _make_definition_seeds,
        _read_definition,
        (MessageError, UnknownTypeError),
    ),
    Reader("image", "image.png", _make_image_seeds, read_image_file),
    Reader("tiff", "image.tif", _make_tiff_seeds, read_image_file),
    Reader("coco", "coco.json", _make_coco_seeds, _read_coco),
    Reader("coco_video", "video.json", _make_coco_video_seeds, read_coco_video),
    Reader("cvat", "annotations.xml", _make_cvat_seeds, read_cvat),
    Reader("array", "cube.bin", _make_array_seeds, _read_array),
    Reader("envi_header", "cube.hdr", lambda: [_ENVI], _read_envi),
    Reader("ground_truth", "gt.txt", lambda: _TRUTHS, lambda path: consume(read_ground_truth(path, 3))),
    Reader("boxes", "boxes.txt", lambda: _TRUTHS, lambda path: read_boxes(path, 3)),
    Reader("results", "tracks.txt", lambda: _TRUTHS, _read_results),
    Reader("seqinfo", "seqinfo.ini", lambda: [_SEQINFO], lambda path: read_sequence_rate(path.parent)),
    Reader(
        "spectral_info",
        "spectral_info.yaml",
        lambda: [_SPECTRAL_INFO],
        lambda path: read_spectral_info_file(path.parent),
    ),
    Reader("camera", "camera.yaml", lambda: [_CAMERA_XML, _CAMERA_YAML], _read_camera),
    Reader(
        "video_description",
        "video.yaml",
        lambda: [_VIDEO_YAML],
        lambda path: find_video_description(path.parent / "img", 2),
    ),
    Reader("geography", "reference.yaml", _make_reference_seeds, read_reference, (TrackingError,)),
    Reader("manifest", "tiny.yaml", lambda: [_make_model()[0]], read_manifest, (ModelError,)),
    Reader("weights", "tiny.safetensors", lambda: [_make_model()[1]], _read_weights, (ModelError,)),
    Reader("checkpoint", "net.pth", _make_checkpoint_seeds, read_state_dict, (ModelError,)),
    Reader("signature", "tiny.sig", lambda: [_make_model()[2]], _read_signature, (ModelError,)),
)
