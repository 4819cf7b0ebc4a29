"""Where settings come from: flags before environment before a TOML file before defaults.

Rules: everything given is used or refused, nothing is ignored in silence; a refusal names its
source. Environment names are WOODPECKER_ and the key in capitals.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.settings.config import Config, ConfigError
from gateway.settings.options import OPTIONS
from gateway.settings.values import ENV_PREFIX, Option, Value
from gateway.translated.finder import PURE_ENV

CONFIG_ENV = ENV_PREFIX + "CONFIG"

# Kubernetes puts such names into every container beside a service called "woodpecker..." (its
# addresses; "tcp://..." for the plain _PORT form). They are not ours and no mistake of the user's.
_SERVICE_LINK = re.compile(r".*_SERVICE_(HOST|PORT(_.*)?)|.*_?PORT_\d+_(TCP|UDP|SCTP)(_.*)?")


class _Given(NamedTuple):
    key: str
    raw: object
    source: str


def load_config(flags: Mapping[str, object], environ: Mapping[str, str]) -> Config:
    """The Config for a set of flags (by key, None = not given) and an environment.

    The file is named by the flag key "config" or by WOODPECKER_CONFIG. Raises ConfigError.
    """
    path = flags.get("config") or environ.get(CONFIG_ENV) or None
    layers = [_from_environ(environ), _from_flags(flags)]
    if path is not None:
        source = "the flag --config" if flags.get("config") else f"the environment, {CONFIG_ENV}"
        layers.insert(0, _from_file(Path(str(path)), source))
    fields: dict[str, Value] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for given in layer:
            fields.update(_read(given))
            sources[given.key] = given.source
    try:
        return Config(**fields)  # type: ignore[arg-type] # each row of OPTIONS yields its field's type
    except ConfigError as e:  # settings that do not go together
        source = sources.get(e.key, "defaults")
        raise ConfigError(e.key, e.given, e.expected, source) from None


def _read(given: _Given) -> dict[str, Value]:
    try:
        return _BY_KEY[given.key].read(given.raw)
    except ValueError as e:
        raise ConfigError(given.key, given.raw, str(e), given.source) from None


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for key, raw in flags.items():
        if raw is None or key == "config":
            continue
        option = _find(key, "the command line")
        yield _Given(key, raw, f"the flag {option.flag}")


def _from_environ(environ: Mapping[str, str]) -> Iterator[_Given]:
    for name, raw in sorted(environ.items()):
        no_setting = name in (CONFIG_ENV, PURE_ENV) or _is_service_link(name, raw)
        if not name.startswith(ENV_PREFIX) or no_setting:
            continue
        source = f"the environment, {name}"
        key = name.removeprefix(ENV_PREFIX).lower()
        if key not in _BY_KEY:
            raise ConfigError(name, raw, _known(key, env=True), source)
        if raw.strip():  # an empty variable is how compose files and shells say "not set"
            yield _Given(key, raw, source)


def _is_service_link(name: str, raw: str) -> bool:
    plain_port = name.endswith("_PORT") and "://" in raw
    return plain_port or _SERVICE_LINK.fullmatch(name) is not None


def _from_file(path: Path, source: str) -> Iterator[_Given]:
    import tomllib  # noqa: PLC0415 - only with --config; costs 10 ms of start-up otherwise

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        expected = f"a TOML file that can be read ({e.strerror or e})"
        raise ConfigError("config", str(path), expected, source) from None
    except (ValueError, RecursionError) as e:  # TOMLDecodeError, UnicodeDecodeError; too deep
        raise ConfigError("config", str(path), f"valid TOML ({e})", source) from None
    for key, raw in table.items():
        where = f"the file {path}, key {key}"
        _find(key, where)
        yield _Given(key, raw, where)


def _find(key: str, source: str) -> Option:
    if key not in _BY_KEY:
        raise ConfigError(key, None, _known(key, env=False), source)
    return _BY_KEY[key]


def _known(key: str, *, env: bool) -> str:
    """What to write instead of an unknown key: the nearest one, or where the list is."""
    from difflib import get_close_matches  # noqa: PLC0415 - only on the way out with an error

    near = get_close_matches(key.replace("-", "_"), _BY_KEY, n=1)
    if not near:
        return "a known setting; `woodpecker-gateway serve --help` lists them"
    return f"a known setting; did you mean {_BY_KEY[near[0]].env if env else near[0]}?"


_BY_KEY = {option.key: option for option in OPTIONS}
