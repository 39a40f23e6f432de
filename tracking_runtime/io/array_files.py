"""Cubes in array files: NumPy `.npy` and `.npz`, MATLAB `.mat` and HDF5.

Arrays have the axes rows, columns and bands, with the frames in front if there are four. Nothing is
unpickled.
"""

from __future__ import annotations

import importlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.io.band_list import make_spectral_info
from tracking_runtime.io.cube_file import CubeFile
from tracking_runtime.untrusted.files import open_file
from tracking_runtime.untrusted.limits import IMAGE_BYTES
from tracking_runtime.untrusted.mat_files import check_mat_file

_WAVELENGTH_NAMES = {
    "wavelength",
    "wavelengths",
    "wavelengths_nm",
    "wavelength_nm",
    "wl",
    "lambda",
    "lambdas",
}
_PREFERRED_NAMES = {"cube", "data", "hsi", "img", "image", "hypercube", "frames", "video"}
_DEFAULT_AXES = {2: "yx", 3: "yxc", 4: "tyxc"}
_MAX_BANDS = 100_000
_AMBIGUOUS_LENGTH = 64  # length of the last axis from which few rows are suspicious
_AMBIGUOUS_LENGTH_OF_LINE = 256  # the same for a single row, as a line scanner's reference has
_MAX_DEPTH = 16  # groups in groups of an HDF5 file
_MAX_NAMED = 8  # arrays that a message names
_ENCRYPTED_FLAG = 1  # bit of an entry of a zip archive
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MATLAB_73_MAGIC = b"MATLAB 7.3"


@dataclass(frozen=True)
class _StoredArray:
    """An array in a file.

    Attributes:
        shape: lengths of its axes.
        dtype: type of its numbers; None: unknown before it is read.
        view: function that returns the array, or maps it into memory.
        is_in_memory: True if `view` reads all of it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    view: Callable[[], NDArray[Any]]
    is_in_memory: bool = True

    @property
    def num_bytes(self) -> int:
        item_bytes = 8 if self.dtype is None else self.dtype.itemsize
        return int(np.prod([*self.shape, item_bytes], dtype=object))


def open_array_file(path: Path, *, variable: str = "", axes: str = "") -> CubeFile:
    """Open an array file as a cube, or as the frames of a video.

    Args:
        path: `.npy`, `.npz`, `.mat` (versions 4 to 7.3) or HDF5 file.
        variable: name of the array in the file. Empty: the only array that can be a cube.
        axes: meaning of each axis, from t (time), y (row), x (column) and c (band), for example `cyx`.
            Empty: yx, yxc or tyxc.

    Raises:
        SourceError: the file is damaged, holds no cube or several, or is larger than a limit.
    """
    with _report_errors(path):
        arrays = _list_arrays(path)
        name = _choose_array(path, arrays, variable)
        array = arrays[name]
        wavelengths = _read_wavelengths(arrays)
        order = _choose_axes(path, array.shape, axes, len(wavelengths))
        if array.is_in_memory:
            IMAGE_BYTES.check(array.num_bytes, f"{path}, array {name}" if name else path)
        sizes = dict(zip(order, array.shape, strict=True))
        view_frame = _make_frame_view(path, array, order)
        num_bands = sizes.get("c", 1)
        bands = None
        if len(wavelengths) == num_bands:
            bands = make_spectral_info(wavelengths, (), "", path)
    shape = " x ".join(map(str, array.shape))
    meanings = ", ".join({"t": "frames", "y": "rows", "x": "columns", "c": "bands"}[axis] for axis in order)
    return CubeFile(
        path,
        num_frames=sizes.get("t", 1),
        height=sizes["y"],
        width=sizes["x"],
        num_bands=num_bands,
        view_frame=view_frame,
        spectral_info=bands,
        remarks=()
        if axes
        else (f"the array of {shape} is taken as {meanings}; state axes= if that is wrong",),
    )


@contextmanager
def _report_errors(path: Path) -> Iterator[None]:
    """Raise every error of a reader as a SourceError: damaged files raise errors of many types."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SourceError(
            f"{path} is damaged, cut short, or not an array file: {reason}; copy or save it again"
        ) from error


def _list_arrays(path: Path) -> Mapping[str, _StoredArray]:
    """Return the numeric arrays of a file by name. The array of an `.npy` file has the name ''."""
    with open_file(path) as file:
        start = file.read(16)
    if start.startswith(b"\x93NUMPY"):
        return {"": _open_npy(path)}
    if start.startswith(b"PK"):
        return _list_npz(path)
    if start.startswith((_HDF5_MAGIC, _MATLAB_73_MAGIC)):
        return _list_hdf5(path)
    return _list_mat(path)


def _open_npy(path: Path) -> _StoredArray:
    with open_file(path) as file:
        _, dtype = _read_npy_header(file)
    if dtype.hasobject:
        raise SourceError(f"{path} holds Python objects, which are not read; save an array of numbers")
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)

    def view() -> NDArray[Any]:
        return np.load(path, mmap_mode="r", allow_pickle=False)

    return _StoredArray(mapped.shape, mapped.dtype, view, is_in_memory=False)


def _list_npz(path: Path) -> dict[str, _StoredArray]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                continue
            if entry.flag_bits & _ENCRYPTED_FLAG:
                raise SourceError(
                    f"{path} is encrypted: unpack it with its password, and give the array in it"
                )
            with archive.open(entry) as member:
                shape, dtype = _read_npy_header(member)
            name = entry.filename.removesuffix(".npy")
            if dtype.kind in "buif":
                arrays[name] = _StoredArray(shape, dtype, _make_npz_view(path, name, entry.file_size))
    return arrays


def _read_npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _make_npz_view(path: Path, name: str, num_bytes: int) -> Callable[[], NDArray[Any]]:
    def view() -> NDArray[Any]:
        IMAGE_BYTES.check(num_bytes, f"{path}, array {name}")
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]

    return view


def _list_mat(path: Path) -> dict[str, _StoredArray]:
    from scipy import io

    check_mat_file(path)
    types = {"single": "f4", "float32": "f4", "double": "f8", "float64": "f8", "logical": "u1"}
    arrays = {}
    try:
        listed = io.whosmat(str(path), appendmat=False)
    except TypeError:  # scipy cannot list files with objects, as strings and tables, but it can read them
        listed = [
            (name, value.shape, value.dtype.name)
            for name, value in io.loadmat(str(path), appendmat=False).items()
            if isinstance(value, np.ndarray) and not name.startswith("__")
        ]
    for name, shape, kind in listed:
        type_name = types.get(kind, kind)
        if re.fullmatch(r"u?int(8|16|32|64)|f4|f8|u1", type_name):
            arrays[name] = _StoredArray(tuple(shape), np.dtype(type_name), _make_mat_view(path, name))
    return arrays


def _make_mat_view(path: Path, name: str) -> Callable[[], NDArray[Any]]:
    def view() -> NDArray[Any]:
        from scipy import io

        value = io.loadmat(str(path), variable_names=[name], appendmat=False)[name]
        if not isinstance(value, np.ndarray):
            raise SourceError(f"{path}: {name} is a sparse matrix, which is not read; save full({name})")
        return value

    return view


def _list_hdf5(path: Path) -> dict[str, _StoredArray]:
    h5py = _import_h5py(path)
    arrays = {}
    with h5py.File(path, "r") as file:
        for name, item in _walk_datasets(h5py, file, "", set()):
            is_text = item.attrs.get("MATLAB_class") == b"char"
            is_placeholder = is_text or bool(item.attrs.get("MATLAB_empty", 0))
            if item.dtype.kind in "buif" and not (item.external or item.is_virtual or is_placeholder):
                # MATLAB stores its first axis last.
                is_matlab = "MATLAB_class" in item.attrs
                shape = item.shape[::-1] if is_matlab else item.shape
                arrays[name] = _StoredArray(shape, item.dtype, _make_hdf5_view(path, name, is_matlab))
    return arrays


def _walk_datasets(h5py: Any, group: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the data set of each in a group and in its groups. Links are not followed.

    Args:
        h5py: library.
        group: group, or the file.
        prefix: path of the group, with a slash at its end.
        seen: addresses of what was yielded or entered, so that a circle of groups ends.
    """
    for name in group:
        if name.startswith("#") or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue  # MATLAB keeps the parts of cells in #refs#
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(item, h5py.Dataset):
            yield f"{prefix}{name}", item
        elif isinstance(item, h5py.Group) and prefix.count("/") < _MAX_DEPTH:
            yield from _walk_datasets(h5py, item, f"{prefix}{name}/", seen)


def _make_hdf5_view(path: Path, name: str, is_matlab: bool) -> Callable[[], NDArray[Any]]:
    def view() -> NDArray[Any]:
        with _import_h5py(path).File(path, "r") as file:
            samples = file[name][()]
        return samples.T if is_matlab else samples

    return view


def _import_h5py(path: Path) -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise SourceError(
            f"{path} is an HDF5 or MATLAB 7.3 file, which needs the library h5py: "
            "pip install 'remote_sensing_tracking[matlab]', or pip install h5py"
        ) from error


def _choose_array(path: Path, arrays: Mapping[str, _StoredArray], variable: str) -> str:
    """Return the name of the array to read. Raise SourceError if none, or several, can be a cube."""
    candidates = {name: array for name, array in arrays.items() if len(array.shape) in (2, 3, 4)}
    if variable:
        if variable not in candidates:
            names = ", ".join(candidates) or "none"
            raise SourceError(
                f"{path} has no array {variable!r} of 2 to 4 axes: got {names}; correct variable="
            )
        return variable
    for is_choice in (
        lambda name: len(candidates[name].shape) >= 3 and _get_stem(name) in _PREFERRED_NAMES,
        lambda name: len(candidates[name].shape) >= 3,
        lambda name: min(candidates[name].shape) > 1,
    ):
        choices = [name for name in candidates if is_choice(name)]
        if len(choices) == 1:
            return choices[0]
        if choices:
            names = ", ".join(choices[:_MAX_NAMED]) + (", …" if len(choices) > _MAX_NAMED else "")
            raise SourceError(f"{path} has several arrays: got {names}; choose one by variable=NAME")
    found = ", ".join(f"{name} {array.shape}".strip() for name, array in [*arrays.items()][:_MAX_NAMED])
    raise SourceError(
        f"{path} must hold an array of rows, columns and bands: got {found or 'no numeric array'}; save the "
        "array by itself, not in a structure, cell or table"
    )


def _get_stem(name: str) -> str:
    """Return the name of an array without its groups, in lower case."""
    return name.rpartition("/")[2].lower()


def _read_wavelengths(arrays: Mapping[str, _StoredArray]) -> tuple[float, ...]:
    """Return the numbers of the array that is named as wavelengths; empty if the file has none."""
    for name, array in arrays.items():
        size = int(np.prod(array.shape, dtype=object))
        if _get_stem(name) in _WAVELENGTH_NAMES and 0 < size <= _MAX_BANDS and max(array.shape) == size:
            return tuple(float(value) for value in array.view().ravel())
    return ()


def _choose_axes(path: Path, shape: tuple[int, ...], axes: str, num_wavelengths: int) -> str:
    """Return the letter of each axis. Raise SourceError if the axes are not stated and not clear."""
    if len(shape) not in _DEFAULT_AXES or not all(shape):
        raise SourceError(
            f"{path} must hold an array of 2 to 4 axes, none of them empty: got the shape {shape}"
        )
    if axes:
        if len(axes) != len(shape) or len({*axes}) != len(axes) or not {*"yx"} <= {*axes} <= {*"tyxc"}:
            raise SourceError(
                f"axes must be {len(shape)} of the letters t, y, x, c, with y and x: got {axes!r} for {path}"
            )
        return axes
    if (
        len(shape) == 3
        and num_wavelengths
        and shape[2] != num_wavelengths
        and shape.count(num_wavelengths) == 1
    ):
        return {0: "cyx", 1: "ycx"}[shape.index(num_wavelengths)]
    if len(shape) > 2 and _are_axes_unclear(shape):
        choices = (
            "axes=yxc if the bands are last, axes=cyx if they are first, or axes=tyx if time is first"
            if len(shape) == 3
            else "axes=tyxc if time is first, axes=yxct if it is last, or axes=tcyx if the bands are second"
        )
        lengths = " x ".join(map(str, shape))
        raise SourceError(f"{path}: the axes of {lengths} are not clear; state {choices}")
    return _DEFAULT_AXES[len(shape)]


def _are_axes_unclear(shape: tuple[int, ...]) -> bool:
    """Return whether the usual axes of an array make an unlikely image: few rows or columns, many bands."""
    if len(shape) == 4 and min(shape[:2]) > max(shape[2:]) and shape[1] >= 2 * shape[2]:
        return True  # MATLAB's video: rows, columns, bands, frames
    rows, _, last = shape[-3:]
    threshold = _AMBIGUOUS_LENGTH_OF_LINE if rows == 1 else _AMBIGUOUS_LENGTH
    return last >= threshold and rows == min(shape[-3:]) and 2 * rows < last


def _make_frame_view(path: Path, array: _StoredArray, axes: str) -> Callable[[int], NDArray[Any]]:
    """Return the function from the number of a frame to its samples (H, W) or (H, W, bands)."""
    kept: list[NDArray[Any]] = []  # the array, read once

    def view_frame(index: int) -> NDArray[Any]:
        with _report_errors(path):
            if not kept:
                samples = array.view()
                if samples.shape != array.shape:
                    raise SourceError(f"{path}: the array has changed; open the file again")
                kept.append(samples)
            wanted = [axis for axis in "tyxc" if axis in axes]
            ordered = kept[0].transpose([axes.index(axis) for axis in wanted])
            frame = ordered[index] if "t" in axes else ordered
            return frame[..., 0] if frame.ndim == 3 and frame.shape[2] == 1 else frame

    return view_frame
