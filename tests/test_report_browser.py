"""The page in a real browser: no word on its console, no connection, no sideways scrolling on a phone."""

import re
import runpy
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from archgym.running import report

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)
PHONE = 400  # pixels

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
write_run = runpy.run_path(str(Path(__file__).with_name("test_report.py")))["write_run"]


def browse(page: Path) -> tuple[str, list[str]]:
    """Open a page: the document that it became, and what its console said (refused connections among it)."""
    profile = page.parent / f"profile-{page.stem}"
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("space", ["mlp", "mlp-wide"])
def test_the_console_stays_silent(tmp_path: Path, space: str) -> None:
    document, console = browse(report.write(write_run(tmp_path, space)))
    assert console == []
    assert "Architecture search on CartPole-v1" in document
    assert document.count("<svg") == (8 if space == "mlp" else 13)


@pytest.mark.parametrize("space", ["mlp", "mlp-wide"])
def test_a_phone_shows_the_whole_width(tmp_path: Path, space: str) -> None:
    page = report.write(write_run(tmp_path, space)).read_text(encoding="utf-8")
    measure = "document.title = document.querySelector('iframe').contentDocument.documentElement.scrollWidth"
    frame = f'<iframe style="width:{PHONE}px;height:800px;border:0" srcdoc="{escape(page)}"></iframe>'
    phone = tmp_path / "phone.html"
    phone.write_text(f'<title></title><body onload="{measure}">{frame}</body>', encoding="utf-8")
    document, _ = browse(phone)
    found = re.search(r"<title>(\d+)</title>", document)
    assert found is not None
    assert int(found[1]) <= PHONE


def test_a_picture_from_elsewhere_would_be_noticed(tmp_path: Path) -> None:
    page = report.write(write_run(tmp_path))
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", '<img src="http://archgym.invalid/x.png"></body>'), encoding="utf-8")
    _, console = browse(page)
    assert any("Content Security Policy" in line for line in console)
