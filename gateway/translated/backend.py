"""Makes machine code of the modules listed in modules.txt, for a checkout and for a wheel.

`python -m gateway.translated.backend` does it for the checkout it runs in, with the mypy of its
environment. It is also the build backend of the project: setuptools' own, which translates before
it makes a wheel. Where that cannot be done the wheel is made without, and all works, slower.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Distribution, build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_ext import build_ext

from gateway.translated import finder

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

TRANSLATOR = "mypy==2.4.1"
"""As requirements-dev.lock has it: a wheel is made by what the tests were run with."""

_GROUP = finder.LIBRARY.removesuffix("__mypyc")
_HIDDEN = "-fvisibility=hidden"
"""What is called within the library alone is called without a detour: else anybody could put
another function of that name in its place."""
_OPTIONS = ("--config-file=", "--ignore-missing-imports", "--python-version=3.11")


def get_requires_for_build_wheel(settings: dict[str, Any] | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(settings), TRANSLATOR]


def build_wheel(
    folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    _try_to_translate()
    return str(build_meta.build_wheel(folder, settings, metadata))


def modules() -> list[str]:
    """The names in modules.txt."""
    return Path(__file__).with_name("modules.txt").read_text("ascii").split()


def translate() -> None:
    """Make built/<interpreter>/ anew. Raises what the translator and the compiler do, SystemExit
    among it."""
    from mypyc.build import mypycify  # noqa: PLC0415 - a wheel without it is made all the same

    os.chdir(finder.ROOT)  # mypy knows the names of modules by where it stands
    # Before they are read: of what changes meanwhile nothing was made that fits.
    crcs = {name: finder.source_crc(finder.ROOT, name) for name in modules()}
    work = Path("build", "translated")
    shutil.rmtree(work, ignore_errors=True)
    extensions = mypycify(
        [*_OPTIONS, *(f"{name.replace('.', '/')}.py" for name in crcs)],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name=_GROUP,
        target_dir=str(work),
    )
    if os.name == "posix":  # compilers that know the word
        for extension in extensions:
            extension.extra_compile_args.append(_HIDDEN)
    command = _SideBySide(Distribution({"name": _GROUP, "ext_modules": extensions}))
    command.build_lib = str(work / "lib")
    command.build_temp = str(work / "temp")
    command.ensure_finalized()
    command.run()
    _gather(work / "lib", command, crcs)


class _SideBySide(build_ext):  # type: ignore[misc] # setuptools has no types
    """Compiles the files of a library on all cores; setuptools does so with libraries only."""

    def build_extensions(self) -> None:
        one_after_the_other = self.compiler.compile
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:

            def compile_all(sources: list[str], **options: Any) -> list[str]:
                made = pool.map(lambda source: one_after_the_other([source], **options), sources)
                return [file for files in made for file in files]

            self.compiler.compile = compile_all
            super().build_extensions()


def _gather(made: Path, command: build_ext, crcs: dict[str, int]) -> None:
    new = made / "new"
    new.mkdir()
    for name in (*crcs, finder.LIBRARY):
        shutil.move(made / command.get_ext_filename(name), new / (name + finder.SUFFIX))
    lines = [f"{crc:08x} {name}\n" for name, crc in crcs.items()]
    (new / finder.SOURCES).write_text("".join(lines), "ascii")
    shutil.rmtree(finder.BUILT, ignore_errors=True)
    finder.BUILT.parent.mkdir(exist_ok=True)
    new.rename(finder.BUILT)  # all at once: brokers may be starting


def _try_to_translate() -> None:
    here = Path.cwd()
    try:
        if finder.fitting() != modules():
            translate()
    except (Exception, SystemExit) as error:
        print(f"not translated to machine code, all works without: {error}", file=sys.stderr)  # noqa: T201
    finally:
        os.chdir(here)


if __name__ == "__main__":
    _try_to_translate()
