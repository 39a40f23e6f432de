"""The documentation builds, and README, CONTRIBUTING and docs link to files that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README_LINES = 150
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CODE = re.compile(r"^[ ]*(`{3,}|~{3,}).*?^[ ]*\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:|#")


def links_of(text: str) -> list[str]:
    """Return the relative link targets of a page, without code and anchors."""
    targets = _LINK.findall(_CODE.sub("", text))
    return [target.partition("#")[0] for target in targets if not _ADDRESS.match(target)]


def test_readme_length_is_limited() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()

    assert len(lines) <= README_LINES, "move details to docs/"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    if "_build" in page.parts:
        pytest.skip("a generated page")

    broken = [target for target in links_of(page.read_text()) if not (page.parent / target).exists()]

    assert not broken, f"{page}: no such files"


def test_links_of_skips_code_and_addresses() -> None:
    text = "[a](b.md#c) `[d](e.md)` [f](https://g) [h](#i)\n```\n[j](k.md)\n```\n![l](m.png)\n"

    assert links_of(text) == ["b.md", "m.png"]


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    for module in ("sphinx", "myst_parser", "furo", "sphinx_click"):
        pytest.importorskip(module, reason="the extra docs is not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]

    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert built.returncode == 0, built.stderr
    assert (tmp_path / "html" / "reference" / "cli.html").is_file()
