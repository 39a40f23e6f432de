"""Engines that are kept: found again by other processes, made again when damaged, done without if need be."""

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tracking_runtime.commands.engine import engine
from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import KERNELS, EngineCache, content_key, default_folder, graph_key

KEY = "0" * 64


def graph(seed: int = 0) -> Graph:
    torch.manual_seed(seed)
    return Graph("sum", nn.Sequential(nn.Conv2d(3, 4, 3)), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "cache")


class Maker:
    """Writes a file, and counts how often."""

    def __init__(self):
        self.made = 0

    def __call__(self, folder: Path) -> None:
        self.made += 1
        (folder / "network").write_text("weights")


def obtained(cache, make, key=KEY):
    with cache.obtain(key, "it", make) as folder:
        return (folder / "network").read_text()


def test_an_engine_is_made_once(cache):
    make = Maker()
    assert [obtained(cache, make) for _ in range(3)] == ["weights"] * 3
    assert make.made == 1
    (entry,) = cache.entries()
    assert (entry.label, entry.damage, entry.folder.name) == ("it", "", KEY)
    assert cache.clear() == 1
    assert cache.entries() == []
    (cache.folder / f".{KEY}").mkdir()
    assert cache.clear() == 0
    assert not list(cache.folder.glob(".*"))
    obtained(cache, make)
    assert make.made == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: (entry / "network").write_text("weigh"),
        lambda entry: (entry / "network").unlink(),
        lambda entry: (entry / "more").write_text(""),
        lambda entry: (entry / "checksums.json").write_text("{"),
        lambda entry: (entry / "checksums.json").unlink(),
    ],
)
def test_what_is_damaged_is_made_again(cache, caplog, spoil):
    make = Maker()
    obtained(cache, make)
    spoil(cache.folder / KEY)
    assert cache.entries()[0].damage
    with caplog.at_level(logging.WARNING):
        assert obtained(cache, make) == "weights"
    assert make.made == 2
    assert "damaged" in caplog.text
    assert not cache.entries()[0].damage


def test_a_builder_that_was_killed_leaves_nothing_in_the_way(cache):
    make = Maker()
    (cache.folder / f".{KEY}").mkdir(parents=True)
    (cache.folder / f".{KEY}" / "network").write_text("wei")
    assert obtained(cache, make) == "weights"
    assert [entry.damage for entry in cache.entries()] == [""]


def test_kernels_are_kept_with_the_engine_that_they_were_compiled_of(cache):
    with pytest.raises(OSError, match=KEY):
        cache.keep_kernels(KEY, "it", b"of nothing")
    make = Maker()
    obtained(cache, make)
    for kernels in (b"first", b"second"):
        cache.keep_kernels(KEY, "it", kernels)
        with cache.obtain(KEY, "it", make) as folder:
            assert (folder / KERNELS).read_bytes() == kernels
    assert make.made == 1
    assert [entry.damage for entry in cache.entries()] == [""]
    cache.replace(KEY, "it", make)
    with cache.obtain(KEY, "it", make) as folder:
        assert not (folder / KERNELS).exists()


def test_two_builders_make_it_once(cache):
    make = Maker()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: obtained(cache, make), range(8))) == ["weights"] * 8
    assert make.made == 1


def test_where_nothing_can_be_kept_it_still_works(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    make = Maker()
    with caplog.at_level(logging.WARNING):
        assert obtained(EngineCache(tmp_path / "file" / "cache"), make) == "weights"
    assert "cannot be kept" in caplog.text


def test_an_entry_that_cannot_be_locked_is_used_as_it_is(cache, caplog):
    make = Maker()
    obtained(cache, make)
    lock = cache.folder / f"{KEY}.lock"
    lock.unlink()
    lock.mkdir()  # as a read-only folder, but for a superuser as well
    with caplog.at_level(logging.WARNING):
        assert obtained(cache, make) == "weights"
    assert make.made == 1


def test_what_was_half_made_is_never_served(cache):
    def fill_the_disk(folder: Path) -> None:
        (folder / "network").write_text("wei")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        obtained(cache, fill_the_disk)
    assert cache.entries() == []
    assert obtained(cache, Maker()) == "weights"


def test_a_network_of_a_script_has_a_key():
    script = (
        "import torch; from torch import nn; from tracking_runtime.engines import Graph\n"
        "from tracking_runtime.engines.cache import graph_key\n"
        "class Net(nn.Module): pass\n"
        "print(len(graph_key(Graph('n', Net(), (), (), ()))))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "64"


def test_errors_of_the_maker_are_told(cache):
    with pytest.raises(FileNotFoundError, match="absent"):
        obtained(cache, lambda folder: (folder / "absent").read_text())
    assert cache.entries() == []


def test_the_key_tells_weights_shapes_and_versions_apart():
    same = graph_key(graph(), "1.0")
    assert same == graph_key(graph(), "1.0")
    wider = replace(graph(), examples=(torch.zeros(1, 3, 9, 10),))
    stride = graph()
    stride.module[0].stride = (2, 2)
    others = [
        graph_key(graph(1), "1.0"),
        graph_key(graph(), "1.1"),
        graph_key(wider, "1.0"),
        graph_key(stride, "1.0"),
    ]
    assert len({same, *others}) == 5


def test_the_key_tells_apart_all_code_that_the_network_uses(tmp_path, monkeypatch):
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
    before = graph_key(network)
    (package / "unused.py").write_text("# edited")
    assert graph_key(network) == before
    keys = {before}
    for used in ("networks/net.py", "peaks.py", "rates.py"):
        (package / used).write_text((package / used).read_text() + "# edited")
        keys.add(graph_key(network))
    assert len(keys) == 4


def test_what_is_made_of_an_engine_has_one_key_whether_that_is_kept_or_not(cache, tmp_path):
    def make(folder, content="weights"):
        (folder / "network.bin").write_text(content)
        (folder / "network.onnx").write_text(content)

    aside = tmp_path / "aside"
    aside.mkdir()
    make(aside)
    with cache.obtain(KEY, "it", make) as kept:
        assert content_key(kept, ["network.bin"], 1) == content_key(aside, ["network.bin"], 1)
        assert content_key(kept, ["network.bin"], 1) != content_key(kept, ["network.bin"], 2)
    with cache.obtain("1" * 64, "other", partial(make, content="others")) as other:
        assert content_key(kept, ["network.bin"]) != content_key(other, ["network.bin"])


def test_another_process_finds_the_same_key():
    script = (
        "from hsi_tracker_ros.hanet.network import HANet\n"
        "from hsi_tracker_ros.hanet.config import HANET_EDGE\n"
        "import torch; from tracking_runtime.engines import Graph\n"
        "from tracking_runtime.engines.cache import graph_key\n"
        "torch.manual_seed(0); print(graph_key(Graph('n', HANet(HANET_EDGE), (), (), ())))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1


def test_openvino_converts_and_compiles_a_network_once(tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs OpenVINO")
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    image = torch.rand(1, 3, 9, 9).numpy()
    first = load_engine(graph(), EngineSettings(engine="openvino", threads=1)).run(image)
    for name in ("convert_model", "Core.compile_model"):
        monkeypatch.setattr(f"openvino.{name}", lambda *_: pytest.fail("it was kept"))
    again = load_engine(graph(), EngineSettings(engine="openvino", threads=1)).run(image)
    assert (first[0] == again[0]).all()


def test_the_command_shows_verifies_and_clears(cache, monkeypatch):
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(cache.folder))
    obtained(cache, Maker())

    def run(command):
        return CliRunner().invoke(engine, [command], env={"COLUMNS": "200"})

    assert "whole" in run("list").output
    assert run("verify").exit_code == 0
    (cache.folder / KEY / "network").write_text("")
    broken = run("verify")
    assert broken.exit_code == 1
    assert "network is not as it was written" in broken.output
    assert "1 engines removed" in run("clear").output


def test_buckets_of_one_model_are_converted_once(tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs OpenVINO")
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))

    def run(*arguments):
        result = CliRunner().invoke(engine, arguments, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    built = run("build", "spax_small", "--engine", "openvino", "--batch", "80", "--batch", "128")
    assert "spax_small 80 tiles" in built
    assert "spax_small 128 tiles" in built
    kept = run("list")
    assert kept.count("spax_small tiles, OpenVINO") == 1
    assert kept.count("tiles, OpenVINO") == 3  # converted once, compiled for each bucket
    assert "whole" in run("verify")
    assert "3 engines removed" in run("clear")
