"""Machine code is taken where it fits all of its sources, and not at all otherwise."""

import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

from gateway.translated import finder

NAMES = ["some.one", "some.other"]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Where machine code was made of two modules, which does not load, and their sources."""
    built, root = tmp_path / "built", tmp_path / "root"
    built.mkdir()
    (root / "some").mkdir(parents=True)
    lines = []
    for name in NAMES:
        source = f"x = {name!r}\n".encode()
        (root / (name.replace(".", "/") + ".py")).write_bytes(source)
        lines.append(f"{crc32(source):08x} {name}\n")
    (built / finder.SOURCES).write_text("".join(lines))
    (built / (finder.LIBRARY + finder.SUFFIX)).write_bytes(b"no library")
    return built, root


def test_it_fits_the_sources_it_was_made_of(places: tuple[Path, Path]) -> None:
    assert finder.fitting(*places) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_fit_when_one_of_them_has_changed(places: tuple[Path, Path], name: str) -> None:
    source = places[1] / (name.replace(".", "/") + ".py")
    source.write_text(source.read_text().upper())
    assert finder.fitting(*places) is None
    source.unlink()
    assert finder.fitting(*places) is None


@pytest.mark.parametrize("said", ["", "zz some.one\n", "some.one\n", "0 some.one more\n"])
def test_it_does_not_fit_when_the_note_of_them_is_damaged(
    places: tuple[Path, Path], said: str
) -> None:
    (places[0] / finder.SOURCES).write_text(said)
    assert finder.fitting(*places) is None
    assert not finder.install(*places)


@pytest.mark.parametrize("file", [finder.SOURCES, finder.LIBRARY + finder.SUFFIX])
def test_there_may_be_none(places: tuple[Path, Path], file: str) -> None:
    (places[0] / file).unlink()
    assert finder.fitting(*places) is None
    assert not finder.install(*places)


def test_a_library_that_does_not_load_leaves_the_sources(places: tuple[Path, Path]) -> None:
    before = list(sys.meta_path)
    assert not finder.install(*places)
    assert sys.meta_path == before


def test_after_one_of_the_sources_was_imported_it_is_too_late(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(finder, "import_module", loaded.append)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    assert finder.install(*places)
    assert finder.in_use() == len(NAMES)
    assert loaded == [finder.LIBRARY]
    monkeypatch.setitem(sys.modules, NAMES[1], sys)
    assert not finder.install(*places)
    assert loaded == [finder.LIBRARY]


def test_it_is_not_looked_at_when_python_is_wanted(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(finder.PURE_ENV, "1")
    monkeypatch.setattr(finder, "fitting", lambda *places: pytest.fail("looked"))
    assert not finder.install(*places)


def test_the_ways_into_the_program_import_nothing_before_it_is_asked() -> None:
    # What was imported from its source stays, and cannot be had as machine code as well.
    for module in ("gateway.__main__", "gateway.workers.worker"):
        code = f"import sys, {module}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        ours = {
            name for name in done.stdout.split() if name.startswith(("gateway", "protocol", "wal_"))
        }
        expected = {"gateway", "gateway.translated", "gateway.translated.finder", module}
        assert ours <= expected | {"gateway.workers"}
