"""Cached engines: found by other processes, rebuilt when damaged, and built anew in an unwritable cache."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import Result
from torch import nn

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import (
    KERNELS_FILE,
    EngineCache,
    compute_content_key,
    compute_graph_key,
    find_cache_folder,
)

KEY = "0" * 64
OTHER_KEY = "1" * 64


class CountingBuilder:
    """A builder that writes one file and counts its calls."""

    def __init__(self) -> None:
        self.num_builds = 0

    def __call__(self, folder: Path) -> None:
        self.num_builds += 1
        (folder / "network").write_text("weights")


@pytest.fixture
def builder() -> CountingBuilder:
    return CountingBuilder()


def make_graph(seed: int = 0) -> Graph:
    torch.manual_seed(seed)
    return Graph("sum", nn.Sequential(nn.Conv2d(3, 4, 3)), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))


def get_or_build(cache: EngineCache, build: Callable[[Path], None]) -> str:
    with cache.get_or_build(KEY, "engine", build) as folder:
        return (folder / "network").read_text()


def run_script(script: str, **environment: str) -> str:
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


def test_engine_is_built_once_until_cleared(cache: EngineCache, builder: CountingBuilder) -> None:
    assert [get_or_build(cache, builder) for _ in range(3)] == ["weights"] * 3
    assert builder.num_builds == 1
    (entry,) = cache.find_entries()
    assert (entry.label, entry.damage, entry.folder.name) == ("engine", "", KEY)

    assert cache.clear() == 1

    assert cache.find_entries() == []
    (cache.folder / f".{KEY}").mkdir()
    assert cache.clear() == 0
    assert not list(cache.folder.glob(".*"))
    get_or_build(cache, builder)
    assert builder.num_builds == 2


def test_clear_deletes_nothing_that_is_not_an_engine(cache: EngineCache, builder: CountingBuilder) -> None:
    get_or_build(cache, builder)
    elsewhere = cache.folder.parent / "elsewhere"
    own = ["photos", ".git", ".ssh", ".venv", f".{'f' * 63}", "A" * 64, "2" * 64, f".{'3' * 64}"]
    for name in own:
        (cache.folder / name).mkdir()
        (cache.folder / name / "file").write_text("mine")
    elsewhere.mkdir()
    (cache.folder / f"{OTHER_KEY}.lock").touch()
    (cache.folder / OTHER_KEY).symlink_to(elsewhere, target_is_directory=True)

    assert cache.clear() == 1

    assert all((cache.folder / name / "file").read_text() == "mine" for name in own)
    assert (cache.folder / OTHER_KEY).is_symlink()
    assert elsewhere.is_dir()
    assert not (cache.folder / KEY).exists()


def test_cache_that_every_user_can_write_is_not_used(
    cache: EngineCache, builder: CountingBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    get_or_build(cache, builder)
    cache.folder.chmod(0o777)

    assert get_or_build(cache, builder) == "weights"

    assert builder.num_builds == 2
    assert f"every user can write {cache.folder}: run chmod o-w" in caplog.text


def test_cache_folder_belongs_to_its_user_alone(tmp_path: Path, builder: CountingBuilder) -> None:
    before = os.umask(0)
    try:
        get_or_build(EngineCache(tmp_path / "engines"), builder)
    finally:
        os.umask(before)

    assert (tmp_path / "engines").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "network").write_text("weigh"),
        lambda entry: (entry / "network").unlink(),
        lambda entry: (entry / "more").write_text(""),
        lambda entry: (entry / "checksums.json").write_text("{"),
        lambda entry: (entry / "checksums.json").unlink(),
    ],
)
def test_damaged_engine_is_rebuilt(
    cache: EngineCache,
    builder: CountingBuilder,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    get_or_build(cache, builder)
    damage(cache.folder / KEY)
    assert cache.find_entries()[0].damage

    with caplog.at_level(logging.WARNING):
        assert get_or_build(cache, builder) == "weights"

    assert builder.num_builds == 2
    assert "damaged" in caplog.text
    assert not cache.find_entries()[0].damage


def test_files_of_a_killed_builder_are_replaced(cache: EngineCache, builder: CountingBuilder) -> None:
    (cache.folder / f".{KEY}").mkdir(parents=True)
    (cache.folder / f".{KEY}" / "network").write_text("wei")

    assert get_or_build(cache, builder) == "weights"

    assert [entry.damage for entry in cache.find_entries()] == [""]


def test_kernels_are_stored_until_the_engine_changes(cache: EngineCache, builder: CountingBuilder) -> None:
    with pytest.raises(OSError, match=KEY):
        cache.write_kernels(KEY, "engine", b"of nothing")
    get_or_build(cache, builder)

    for kernels in (b"first", b"second"):
        cache.write_kernels(KEY, "engine", kernels)
        with cache.get_or_build(KEY, "engine", builder) as folder:
            assert (folder / KERNELS_FILE).read_bytes() == kernels
    assert builder.num_builds == 1
    assert [entry.damage for entry in cache.find_entries()] == [""]

    cache.replace(KEY, "engine", builder)
    with cache.get_or_build(KEY, "engine", builder) as folder:
        assert not (folder / KERNELS_FILE).exists()


def test_concurrent_builders_build_once(cache: EngineCache, builder: CountingBuilder) -> None:
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(lambda _: get_or_build(cache, builder), range(8)))

    assert contents == ["weights"] * 8
    assert builder.num_builds == 1


def test_unwritable_cache_still_builds(
    tmp_path: Path, builder: CountingBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    with caplog.at_level(logging.WARNING):
        assert get_or_build(EngineCache(tmp_path / "file" / "cache"), builder) == "weights"

    assert "cannot be stored" in caplog.text


def test_engine_without_lock_is_used_unchanged(
    cache: EngineCache, builder: CountingBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    get_or_build(cache, builder)
    lock = cache.folder / f"{KEY}.lock"
    lock.unlink()
    lock.mkdir()  # fails like a read-only folder, but for a superuser too

    with caplog.at_level(logging.WARNING):
        assert get_or_build(cache, builder) == "weights"

    assert builder.num_builds == 1


def test_incomplete_engine_is_never_returned(cache: EngineCache, builder: CountingBuilder) -> None:
    def fill_the_disk(folder: Path) -> None:
        (folder / "network").write_text("wei")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        get_or_build(cache, fill_the_disk)

    assert cache.find_entries() == []
    assert get_or_build(cache, builder) == "weights"


def test_error_of_the_builder_is_raised(cache: EngineCache) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        get_or_build(cache, lambda folder: (folder / "absent").read_text() and None)

    assert cache.find_entries() == []


def test_graph_key_of_a_network_in_a_script_exists() -> None:
    script = (
        "import torch; from torch import nn; from tracking_runtime.engines import Graph\n"
        "from tracking_runtime.engines.cache import compute_graph_key\n"
        "class Net(nn.Module): pass\n"
        "print(len(compute_graph_key(Graph('n', Net(), (), (), ()))))"
    )

    assert run_script(script).strip() == "64"


def test_graph_key_depends_on_weights_shapes_and_versions() -> None:
    wider = replace(make_graph(), examples=(torch.zeros(1, 3, 9, 10),))
    strided = make_graph()
    strided.module[0].stride = (2, 2)  # type: ignore[index]

    key = compute_graph_key(make_graph(), "1.0")
    other_keys = [
        compute_graph_key(make_graph(1), "1.0"),
        compute_graph_key(make_graph(), "1.1"),
        compute_graph_key(wider, "1.0"),
        compute_graph_key(strided, "1.0"),
    ]

    assert key == compute_graph_key(make_graph(), "1.0")
    assert len({key, *other_keys}) == 5


def test_graph_key_depends_on_all_code_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_package_of_networks"
    (package / "networks").mkdir(parents=True)
    (package / "rates.py").write_text("RATE = 2\ndef rate(): return RATE\n")
    (package / "peaks.py").write_text(
        f"from {package.name} import rates\ndef best(x): return x.max() * rates.rate()\n"
    )
    (package / "unused.py").write_text("")
    (package / "networks" / "net.py").write_text(
        f"from torch import nn\nfrom {package.name}.peaks import best\n"
        "class Net(nn.Module):\n    def forward(self, x): return best(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    network = Graph("n", import_module(f"{package.name}.networks.net").Net(), (), (), ())
    before = compute_graph_key(network)

    (package / "unused.py").write_text("# edited")
    assert compute_graph_key(network) == before

    keys = {before}
    for used in ("networks/net.py", "peaks.py", "rates.py"):
        (package / used).write_text((package / used).read_text() + "# edited")
        keys.add(compute_graph_key(network))
    assert len(keys) == 4


def test_graph_key_is_the_same_in_other_processes() -> None:
    script = (
        "from hsi_tracker_ros.hanet.network import HANet\n"
        "from hsi_tracker_ros.hanet.config import HANET_EDGE\n"
        "import torch; from tracking_runtime.engines import Graph\n"
        "from tracking_runtime.engines.cache import compute_graph_key\n"
        "torch.manual_seed(0); print(compute_graph_key(Graph('n', HANet(HANET_EDGE), (), (), ())))"
    )

    keys = {run_script(script, PYTHONHASHSEED=seed) for seed in ("1", "2")}

    assert len(keys) == 1


def test_content_key_is_the_same_cached_or_not(cache: EngineCache, tmp_path: Path) -> None:
    def build(folder: Path, content: str = "weights") -> None:
        (folder / "network.bin").write_text(content)
        (folder / "network.onnx").write_text(content)

    uncached = tmp_path / "uncached"
    uncached.mkdir()
    build(uncached)

    with cache.get_or_build(KEY, "engine", build) as folder:
        key = compute_content_key(folder, ["network.bin"], 1)
        assert key == compute_content_key(uncached, ["network.bin"], 1)
        assert key != compute_content_key(folder, ["network.bin"], 2)
    with cache.get_or_build(OTHER_KEY, "other", partial(build, content="others")) as other_folder:
        assert compute_content_key(folder, ["network.bin"]) != compute_content_key(
            other_folder, ["network.bin"]
        )


def test_openvino_converts_and_compiles_once(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    assert find_cache_folder() == cache.folder
    image = torch.rand(1, 3, 9, 9).numpy()
    first = load_engine(make_graph(), EngineSettings(engine="openvino", threads=1)).run(image)

    for name in ("convert_model", "Core.compile_model"):
        monkeypatch.setattr(f"openvino.{name}", lambda *_: pytest.fail("the engine was cached"))
    second = load_engine(make_graph(), EngineSettings(engine="openvino", threads=1)).run(image)

    assert (first[0] == second[0]).all()


def test_command_lists_verifies_and_clears(
    cache: EngineCache, builder: CountingBuilder, run_rstrack: Callable[..., Result]
) -> None:
    get_or_build(cache, builder)
    assert "intact" in run_rstrack("engine", "list").output
    assert run_rstrack("engine", "verify").exit_code == 0

    (cache.folder / KEY / "network").write_text("")
    result = run_rstrack("engine", "verify")

    assert result.exit_code == 1
    assert "checksum differs: network" in result.output
    assert "1 engines removed" in run_rstrack("engine", "clear").output


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_buckets_of_one_model_are_converted_once(run_rstrack: Callable[..., Result]) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    options = ["--engine", "openvino", "--batch", 80, "--batch", 128]

    built = run_rstrack("engine", "build", "spax_small", *options)

    assert built.exit_code == 0, built.output
    assert "spax_small 80 tiles" in built.output
    assert "spax_small 128 tiles" in built.output
    entries = run_rstrack("engine", "list").output
    assert entries.count("spax_small tiles, OpenVINO") == 1
    assert entries.count("tiles, OpenVINO") == 3  # converted once, compiled for each bucket
    assert "intact" in run_rstrack("engine", "verify").output
    assert "3 engines removed" in run_rstrack("engine", "clear").output
