"""The page of what ran tells the tests' record where there is one, else the card."""

import json
import shutil
from pathlib import Path

from _ext.ran import ran

ROOT = Path(__file__).resolve().parents[2]
RECORD = {"seconds": 7, "megabytes": 120, "date": "2026-11-20", "python": "3.11.7"}
RECORD |= {"torch": "2.13.0", "system": "linux", "cores": 2}


def test_rows(tmp_path):
    chapters = tmp_path / "chapters"
    chapters.mkdir()
    for name in ("02_tokenizer", "04_attention"):
        shutil.copy(ROOT / "chapters" / f"{name}.ipynb", chapters)
    folder = tmp_path / "_build" / "ran"
    folder.mkdir(parents=True)
    (folder / "02_tokenizer.json").write_text(json.dumps(RECORD), "utf-8")
    (_, first, tested), (_, second, carded) = ran(tmp_path)
    assert (first, second) == ("2. Text into tokens", "4. Attention")
    assert tested[:3] == ("7 s", "120 MB", "2026-11-20") and "2.13.0" in tested[3]
    assert carded[0].endswith(" s") and carded[2] == "with its outputs"


def test_every_chapter_has_a_row():
    rows = [path.stem for path, _, _ in ran(ROOT)]
    assert {path.stem for path in ROOT.glob("chapters/[0-9]*.ipynb")} <= set(rows)
