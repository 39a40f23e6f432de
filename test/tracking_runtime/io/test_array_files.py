"""Cubes in NumPy, MATLAB and HDF5 files: the right array and axes, or an error with the choice."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.sources import open_source

CUBE = np.random.default_rng(1).integers(0, 4000, (6, 7, 5)).astype(np.uint16)
WAVELENGTHS = np.linspace(450, 850, 5)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays in the format of the suffix."""
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, arrays, do_compression=True)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


def write_matlab_73(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays as MATLAB 7.3 does: HDF5 with a text in front, the first axis stored last."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("uint16")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def test_array_file_that_is_encrypted_tells_the_cure(tmp_path):
    path = write_arrays(tmp_path / "a.npz", {"cube": CUBE})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\3\4") + 6] |= 1  # flag of encryption, beside the data and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)

    with pytest.raises(SourceError, match=r"a\.npz is encrypted: unpack it with its password"):
        open_source(path)


def make_mat_element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def make_matlab_object() -> bytes:
    """Return a variable of level 5 that holds an object, as a string or a table of MATLAB."""
    flags = make_mat_element(6, struct.pack("<II", 17, 0))
    names = b"".join(make_mat_element(1, text) for text in (b"label", b"MCOS", b"string"))
    numbers = make_mat_element(6, struct.pack("<II", 13, 0)) + make_mat_element(5, struct.pack("<ii", 6, 1))
    numbers += make_mat_element(1, b"") + make_mat_element(6, struct.pack("<6I", 3707764736, 2, 1, 1, 1, 1))
    return make_mat_element(14, flags + names + make_mat_element(14, numbers))


def test_array_file_with_matlab_objects_gives_its_cube(tmp_path):
    """MATLAB saves strings, tables and times as objects."""
    for name, arrays in (("cube", {"cube": CUBE.astype(np.float32)}), ("none", {"number": 3.0})):
        scipy.io.savemat(tmp_path / f"{name}.mat", arrays)
        with (tmp_path / f"{name}.mat").open("ab") as file:
            file.write(make_matlab_object())

    frame = open_source(tmp_path / "cube.mat").read_frame(0)

    np.testing.assert_array_equal(frame.image, CUBE)
    with pytest.raises(SourceError, match=r"none\.mat must hold an array .*save the array by itself"):
        open_source(tmp_path / "none.mat")


def test_array_file_with_a_sparse_matrix_tells_the_cure(tmp_path):
    sparse = scipy.sparse.csc_array(np.eye(20) > 0)
    scipy.io.savemat(tmp_path / "a.mat", {"mask": sparse})

    with pytest.raises(
        SourceError, match=r"a\.mat.*(mask is a sparse matrix.*full\(mask\)|no numeric array)"
    ):
        open_source(tmp_path / "a.mat").read_frame(0)


def test_array_file_of_matlab_73_text_is_no_image(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = write_matlab_73(tmp_path / "a.mat", {"cube": CUBE, "text": CUBE[..., :2], "nothing": CUBE[..., 0]})
    with h5py.File(path, "r+") as file:
        file["text"].attrs["MATLAB_class"] = np.bytes_("char")
        file["nothing"].attrs["MATLAB_empty"] = 1

    frame = open_source(path).read_frame(0)

    np.testing.assert_array_equal(frame.image, CUBE)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5"])
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i2", "f4", "f8"])
def test_array_file_gives_its_samples(tmp_path, suffix, dtype):
    cube = (CUBE % 200).astype(dtype)
    path = write_arrays(tmp_path / f"a{suffix}", {"cube": cube})

    frame = open_source(path).read_frame(0)

    expected = {"u1": np.uint8, "u2": np.uint16, ">u2": np.uint16}.get(dtype, np.float32)
    assert frame.image.dtype == expected
    np.testing.assert_array_equal(frame.image, cube)


def test_array_file_of_matlab_73_has_its_axes_in_order(tmp_path):
    path = write_matlab_73(tmp_path / "a.mat", {"cube": CUBE, "wavelengths": WAVELENGTHS[None]})

    source = open_source(path)

    np.testing.assert_array_equal(source.read_frame(0).image, CUBE)
    assert source.spectral_info.wavelengths_nm == tuple(WAVELENGTHS)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_array_file_with_wavelengths_gives_bands_and_axes(tmp_path, suffix):
    arrays = {
        "data": CUBE.transpose(2, 0, 1),
        "wavelength": WAVELENGTHS / 1000,
        "mask": np.zeros((6, 7), bool),
    }
    path = write_arrays(tmp_path / f"a{suffix}", arrays)

    source = open_source(path)

    np.testing.assert_array_equal(source.read_frame(0).image, CUBE)
    assert source.spectral_info.wavelengths_nm == pytest.approx(tuple(WAVELENGTHS))


@pytest.mark.parametrize(
    ("stored", "axes"),
    [
        (np.stack([CUBE, CUBE + 1]), ""),
        (np.stack([CUBE, CUBE + 1], axis=3), "yxct"),
        (np.stack([CUBE, CUBE + 1]).transpose(0, 3, 1, 2), "tcyx"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_array_file_with_time_is_a_video(tmp_path, stored, axes, suffix):
    path = write_arrays(tmp_path / f"a{suffix}", {"cube": stored})
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n2,2,3,4\n")

    source = CubeSource(path, axes=axes, rate=25)
    frames = list(source)

    assert len(source) == 2 and [frame.stamp_ns for frame in frames] == [40_000_000, 80_000_000]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, CUBE + index)
        np.testing.assert_array_equal(frame.truth.boxes, [[1 + index, 2, 3, 4]])


def test_array_file_gray_video_is_read_by_axes(tmp_path):
    path = write_arrays(tmp_path / "a.npy", {"": np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)})

    frames = list(CubeSource(path, axes="tyx"))

    assert [(frame.image.shape, frame.encoding) for frame in frames] == [((5, 6), "mono8")] * 4


def test_array_file_with_unclear_content_tells_the_choice(tmp_path):
    several = write_arrays(tmp_path / "several.npz", {"a": CUBE, "b": CUBE + 1})
    unclear = write_arrays(tmp_path / "unclear.npy", {"": np.zeros((31, 64, 300), np.uint8)})
    small = write_arrays(tmp_path / "small.npy", {"": np.zeros((12, 96, 128), np.uint8)})
    last = write_arrays(tmp_path / "last.mat", {"v": np.zeros((96, 128, 16, 12), np.uint8)})
    second = write_arrays(tmp_path / "second.npy", {"": np.zeros((12, 16, 96, 128), np.uint8)})
    flat = write_arrays(tmp_path / "flat.npz", {"scores": np.zeros(5)})
    words = write_arrays(tmp_path / "words.npz", {"names": np.array(["a", "b"])})

    for path, reason in {
        several: "several arrays: got a, b; choose one by variable=NAME",
        unclear: "axes of 31 x 64 x 300 are not clear; state axes=",
        small: "axes of 12 x 96 x 128 are not clear; state axes=yxc",
        last: "axes of 96 x 128 x 16 x 12 are not clear; state axes=tyxc .* axes=yxct if it is last",
        second: "axes of 12 x 16 x 96 x 128 are not clear; .* axes=tcyx if the bands are second",
        flat: "must hold an array .* got scores",
        words: "must hold an array .* got no numeric array",
    }.items():
        with pytest.raises(SourceError, match=reason) as error:
            CubeSource(path)
        assert str(path) in str(error.value)
    np.testing.assert_array_equal(CubeSource(several, variable="b").read_frame(0).image, CUBE + 1)
    assert CubeSource(unclear, axes="cyx").read_frame(0).image.shape == (64, 300, 31)
    with pytest.raises(SourceError, match="has no array 'c'"):
        CubeSource(several, variable="c")
    with pytest.raises(SourceError, match="axes must be 3 of the letters"):
        CubeSource(unclear, axes="xyz")


@pytest.mark.parametrize(
    "shape", [(1, 640, 224), (145, 145, 200), (512, 217, 204), (12, 96, 128, 16), (500, 96, 64, 16)]
)
def test_array_file_of_a_usual_shape_needs_no_axes(tmp_path, shape):
    path = write_arrays(tmp_path / "a.npy", {"": np.zeros(shape, np.uint8)})

    source = CubeSource(path)

    assert source.read_frame(0).image.shape == shape[-3:]


def test_array_file_of_groups_is_read_by_the_path_of_the_array(tmp_path):
    path = write_arrays(
        tmp_path / "a.h5", {"SWIR/Data/cube": CUBE, "SWIR/wavelengths": WAVELENGTHS, "x/mask": CUBE[..., 0]}
    )
    two = write_arrays(tmp_path / "two.h5", {"a/first": CUBE, "b/second": CUBE + 1})
    with pytest.importorskip("h5py").File(path, "a") as file:
        file["again"] = file["SWIR"]  # a circle of hard links is left out
        file["SWIR/self"] = file["SWIR"]

    found = CubeSource(path)

    np.testing.assert_array_equal(found.read_frame(0).image, CUBE)
    assert found.spectral_info.wavelengths_nm == tuple(WAVELENGTHS)
    np.testing.assert_array_equal(CubeSource(two, variable="b/second").read_frame(0).image, CUBE + 1)
    with pytest.raises(SourceError, match=r"several arrays: got a/first, b/second; choose one"):
        CubeSource(two)


def test_array_file_of_structures_and_objects_tells_the_cure(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"s": {"cube": CUBE}})
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)

    with pytest.raises(SourceError, match=r"a\.mat must hold .*not in a structure, cell or table"):
        CubeSource(tmp_path / "a.mat")
    with pytest.raises(SourceError, match=r"a\.npy holds Python objects, .*; save an array of numbers"):
        CubeSource(tmp_path / "a.npy")


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_array_file_with_objects_is_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harmful = np.array([[_Harmful()]], object)
    np.save(tmp_path / "a.npy", harmful, allow_pickle=True)
    np.savez(tmp_path / "a.npz", cube=harmful)

    for name in ("a.npy", "a.npz"):
        with pytest.raises(SourceError, match=name):
            CubeSource(tmp_path / name)
    assert not (tmp_path / "harm").exists()


def test_array_file_claiming_gigabytes_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (9000, 9000, 500)}
    )
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(1000))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("cube.npy", header.getvalue() + bytes(1000))

    with pytest.raises(SourceError, match=r"a\.npy is damaged, cut short"):
        CubeSource(tmp_path / "a.npy")
    with pytest.raises(SourceError, match="RSTRACK_MAX_IMAGE_BYTES"):
        CubeSource(tmp_path / "a.npz").read_frame(0)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([".npy", ".npz", ".mat", ".h5"]))
def test_array_file_mutated_opens_or_is_a_source_error(tmp_path_factory, data, suffix):
    path = write_arrays(tmp_path_factory.mktemp("arrays") / f"a{suffix}", {"cube": CUBE, "wl": WAVELENGTHS})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 130]))])

    with suppress(SourceError):
        CubeSource(path).read_frame(0)
