"""What a lab looks like: names, addresses and files. Pure data, shared by the API and the lab init."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .mac.cables import CablePlan

#: Addresses of the two networks, from the range reserved for benchmarks between hosts (RFC 2544).
NETWORKS = ("198.18.0", "198.18.1")
#: Hosts have the addresses 11 to 254 of each network.
MOST_HOSTS = 244
#: What a host can look like.
PERSONALITIES = ("linux", "mac")
#: The normal user on every host.
USER, USER_ID = "mlx", 2000


@dataclasses.dataclass(frozen=True)
class HostSpec:
    """One host of a lab; `index` counts from 1."""

    index: int
    personality: str = "linux"
    #: a Mac whose Thunderbolt ports have cables to other hosts
    cabled: bool = False

    @property
    def name(self) -> str:
        """Host name, also its name in inventory and ssh configuration."""
        return f"node{self.index}"

    @property
    def is_mac(self) -> bool:
        """Whether it looks like a Mac over ssh."""
        return self.personality == "mac"

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Its interface on each network; a Mac's are Ethernet and, without cables, the first Thunderbolt port."""
        if not self.is_mac:
            return ("eth0", "eth1")
        return ("en0", "en20") if self.cabled else ("en0", "en2")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Address on each network."""
        return tuple(f"{network}.{10 + self.index}" for network in NETWORKS)

    @property
    def ports(self) -> tuple[str, ...]:
        """The bridge's end of each of its cables."""
        return tuple(f"{self.name}-{k}" for k in range(len(NETWORKS)))

    @property
    def macs(self) -> tuple[str, ...]:
        """Fixed hardware addresses: what others cached stays right when a host is switched off and on."""
        return tuple(f"02:00:c6:12:{k:02x}:{10 + self.index:02x}" for k in range(len(NETWORKS)))


@dataclasses.dataclass(frozen=True)
class LabSpec:
    """A whole lab."""

    dir: Path
    count: int
    disk: str = "1g"
    binds: tuple[Path, ...] = ()
    #: what hosts look like, by name; who is not named is a Linux machine
    personalities: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: the machine's Pythons for hosts that look like a Mac, by minor version
    pythons: dict[int, Path] = dataclasses.field(default_factory=dict)
    #: a plan of Thunderbolt cables, see mac/cables.py; none when it is empty
    cables: Any = None
    #: ends when standard input closes; else when told to
    owned: bool = True
    #: the directory goes with the lab
    temporary: bool = False

    @property
    def hosts(self) -> tuple[HostSpec, ...]:
        """The hosts, node1 first."""
        plain = [HostSpec(index) for index in range(1, self.count + 1)]
        return tuple(self._host(host.index, self.personalities.get(host.name, "linux")) for host in plain)

    def _host(self, index: int, personality: str) -> HostSpec:
        return HostSpec(index, personality, cabled=bool(self.cables) and personality == "mac")

    @property
    def cable_plan(self) -> CablePlan | None:
        """The cables between its Macs, or None."""
        return CablePlan.of(self.cables, [host.name for host in self.hosts]) if self.cables else None

    @property
    def key(self) -> Path:
        """The one user key; `.pub` beside it."""
        return self.dir / "key"

    @property
    def trees(self) -> Path:
        """Where the lab init, and nobody else, sees the hosts' disks mounted."""
        return self.dir / "trees"

    def host_key(self, host: HostSpec) -> Path:
        """Private host key; `.pub` beside it."""
        return self.dir / "host_keys" / host.name

    def log(self, host: HostSpec) -> Path:
        """What its sshd logged."""
        return self.dir / f"{host.name}.log"

    def tree(self, host: HostSpec) -> Path:
        """Its disk."""
        return self.trees / host.name

    def save(self) -> None:
        """Write `lab.json` into the lab's directory."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        (self.dir / "lab.json").write_text(json.dumps(fields, default=_plain, indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> LabSpec:
        """Read `lab.json`."""
        fields = json.loads((directory / "lab.json").read_text())
        pythons = {int(minor): Path(python) for minor, python in fields["pythons"].items()}
        return cls(**{**fields, "dir": Path(fields["dir"]), "binds": tuple(map(Path, fields["binds"])), "pythons": pythons})


def hosts_file(spec: LabSpec) -> str:
    """/etc/hosts of every host and of the controller."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += [f"{host.addresses[0]} {host.name}" for host in spec.hosts]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"not JSON: {value!r}")
