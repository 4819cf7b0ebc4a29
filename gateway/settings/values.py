"""How a setting is written: sizes, durations, addresses, switches and names, turned into values.

Rules: text (flag, environment) and TOML values take the same path; a parser raises ValueError whose
message says what was *expected* (never what was given: gateway.settings.config adds that, with the
source).
`Option` is one row of the table of settings. Knows nothing of which settings exist.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

# Binary and decimal units both exist in the wild; a bare "M" would be a guess, so it is refused.
_BYTES_PER_UNIT = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_MS_PER_UNIT = {
    "": 1,
    "ms": 1,
    "s": 1_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
_QUANTITY = re.compile(r"(\d{1,19})\s*([A-Za-z]*)")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._/-]*)?")
_MEMBER = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
PORT_MAX = 65_535
MEMORY = "memory:"  # a data location: nothing outlives the process
BUCKETS = ("s3://", "gs://", "az://")  # how a data location in an object store begins
ENV_PREFIX = "WOODPECKER_"

Value = bool | int | float | str | tuple[str, int]


def parse_size(raw: object) -> int:
    """A size in bytes: 1048576, "1048576", "1MiB", "16 MiB", "10MB"."""
    return _quantity(raw, _BYTES_PER_UNIT, 'a size such as 65536, "64KiB", "16MiB" or "10MB"')


def parse_duration(raw: object) -> int:
    """A duration in milliseconds: 500, "500ms", "30s", "5min", "2h", "7d"."""
    return _quantity(raw, _MS_PER_UNIT, 'a duration such as 500 (milliseconds), "30s" or "5min"')


def parse_count(raw: object) -> int:
    """A whole number, zero or more."""
    return _quantity(raw, {"": 1}, "a whole number")


def _quantity(raw: object, units: dict[str, int], expected: str) -> int:
    if isinstance(raw, bool):  # bool is an int in Python, never a quantity
        raise ValueError(expected)
    if isinstance(raw, int):
        if raw < 0:
            raise ValueError(expected)
        return raw
    match = _QUANTITY.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None or (unit := match.group(2).lower()) not in units:
        raise ValueError(expected)
    return int(match.group(1)) * units[unit]


def parse_price(raw: object) -> float:
    """An amount of money, zero or more: 5, 0.4, "0.4"."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raw = str(raw)
    if isinstance(raw, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw.strip()):
        return float(raw)
    raise ValueError("an amount of money such as 5 or 0.4")


def parse_switch(raw: object) -> bool:
    """true or false, also yes/no, on/off, 1/0 where the source only has text."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and (value := _SWITCH.get(raw.strip().lower())) is not None:
        return value
    raise ValueError("true or false")


def parse_address(raw: object) -> tuple[str, int]:
    """HOST:PORT; an IPv6 host stands in brackets: [::1]:9092. Port 0 lets the system choose."""
    expected = 'HOST:PORT, such as "127.0.0.1:9092" or "[::1]:9092"'
    if not isinstance(raw, str):
        raise ValueError(expected)
    host, colon, port_text = raw.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:  # an IPv6 address without brackets: where it ends is anyone's guess
        raise ValueError(expected)
    if not colon or not host or any(c.isspace() or c in "/,@" for c in host):
        raise ValueError(expected)
    if not (port_text.isascii() and port_text.isdecimal()) or int(port_text) > PORT_MAX:
        raise ValueError(f"{expected}, with a port from 0 to {PORT_MAX}")
    if not _can_be_a_name(host):
        raise ValueError(f"{expected}, with a HOST of parts of 1 to 63 letters")
    return host, int(port_text)


def _can_be_a_name(host: str) -> bool:
    """Asked for any other, Python's resolver raises no OSError. Tables of all letters are loaded
    only where there are such."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return False
    return all(0 < len(part) < 64 for part in host.removesuffix(".").split("."))


def parse_text(raw: object) -> str:
    """Text that is not empty and has no control characters in it."""
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError("a text that is not empty")
    return raw.strip()


def parse_endpoint(raw: object) -> str:
    """http://HOST:PORT or https://HOST; nothing at all: the provider's own."""
    if isinstance(raw, str) and (
        not raw or _ENDPOINT.fullmatch(raw.strip()) or "@" in raw  # a secret: not to be shown here
    ):
        return raw.strip()
    raise ValueError('a URL such as "http://127.0.0.1:9000" or "https://storage.example.org"')


def parse_members(raw: object) -> str:
    """URLs of one etcd's members, all with or all without TLS: http://HOST:PORT,http://HOST:PORT."""
    expected = 'URLs such as "http://10.0.0.1:2379,http://10.0.0.2:2379", all http or all https'
    if not isinstance(raw, str):
        raise ValueError(expected)
    urls = [url.strip().rstrip("/") for url in raw.split(",")]
    if "@" in raw:  # a secret: not to be shown here
        return ",".join(urls)
    if not all(_MEMBER.fullmatch(url) for url in urls) or len({u.split(":")[0] for u in urls}) > 1:
        raise ValueError(expected)
    return ",".join(urls)


def parse_prefix(raw: object) -> str:
    """What keys begin with: /NAME or /NAME/NAME."""
    if isinstance(raw, str) and re.fullmatch(r"(/[A-Za-z0-9._-]+){1,8}", raw.strip()):
        return raw.strip()
    raise ValueError('a prefix such as "/woodpecker", without a slash at its end')


def parse_region(raw: object) -> str:
    """A region's name; nothing at all: what the environment says."""
    if isinstance(raw, str) and re.fullmatch(r"[A-Za-z0-9-]{0,64}", raw.strip()):
        return raw.strip()
    raise ValueError('a region such as "eu-central-1"')


def parse_account(raw: object) -> str:
    """The name of a storage account; nothing at all: what the environment says."""
    if isinstance(raw, str) and re.fullmatch(r"[a-z0-9-]{0,63}", raw.strip()):
        return raw.strip()
    raise ValueError('a storage account such as "mystorage"')


def parse_choice(raw: object, choices: tuple[str, ...]) -> str:
    """One of a few words, in any case."""
    if isinstance(raw, str) and (word := raw.strip().lower()) in choices:
        return word
    raise ValueError("one of " + ", ".join(choices))


def show_size(size_bytes: int) -> str:
    """The shortest exact way to write a size: 10485760 -> 10MiB, 1000 -> 1000 bytes."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes} bytes"


def show_duration(duration_ms: int) -> str:
    """The shortest exact way to write a duration: 30000 -> 30s."""
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if duration_ms and duration_ms % factor == 0:
            return f"{duration_ms // factor}{unit}"
    return f"{duration_ms}ms"


def show_address(host: str, port: int) -> str:
    """HOST:PORT as parse_address reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Parser = Callable[[object], Value]


class Option(NamedTuple):
    """How one setting is written and which range it has. `key` is its name in the TOML file."""

    key: str
    parse: Parser
    section: str  # a heading of `serve --help`
    help: str
    minimum: int = 0  # both ends belong to the range; a maximum of 0 means: no range
    maximum: int = 0
    choices: tuple[str, ...] = ()
    default: str = ""  # for people, where the field's default does not say it
    flag_name: str = ""  # where the key with dashes would be too long a word

    @property
    def flag(self) -> str:
        return "--" + (self.flag_name or self.key.replace("_", "-"))

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.key.upper()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of Config it sets: an address sets a host and a port."""
        if self.parse is parse_address:
            return f"{self.key}_host", f"{self.key}_port"
        return (self.key,)

    @property
    def metavar(self) -> str:
        """What stands behind the flag in --help."""
        if self.choices:
            return "|".join(self.choices)
        return _METAVARS.get(self.parse, "TEXT")

    def show(self, value: object) -> str:
        """A value as a person would write it."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, int) and self.parse is parse_size:
            return show_size(value)
        if isinstance(value, int) and self.parse is parse_duration:
            return show_duration(value)
        return str(value)

    def read(self, raw: object) -> dict[str, Value]:
        """Text or TOML value -> the fields it sets; raises ValueError saying what was expected."""
        value = parse_choice(raw, self.choices) if self.choices else self.parse(raw)
        if isinstance(value, int) and not isinstance(value, bool):
            self._check_range(value)
        values = value if isinstance(value, tuple) else (value,)
        return dict(zip(self.fields, values, strict=True))

    def check(self, values: tuple[object, ...]) -> None:
        """Hold the values of `fields` to this row; raises ValueError saying what was expected."""
        if self.parse is not parse_address:
            self.read(values[0])
        elif values[0] is not None:
            host, port = values
            parse_address(show_address(str(host), port) if isinstance(port, int) else None)

    def _check_range(self, value: int) -> None:
        if self.maximum and not self.minimum <= value <= self.maximum:
            raise ValueError(f"{self.show(self.minimum)} to {self.show(self.maximum)}")


_METAVARS: dict[Parser, str] = {
    parse_size: "SIZE",
    parse_duration: "TIME",
    parse_count: "NUMBER",
    parse_switch: "BOOL",
    parse_address: "HOST:PORT",
    parse_endpoint: "URL",
    parse_region: "NAME",
    parse_members: "URL,URL",
    parse_prefix: "PREFIX",
    parse_price: "AMOUNT",
}
