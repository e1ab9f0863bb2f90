# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The specification of a job that each host gets: written by the controller's plan, read by the host's supervisor.

Nothing changes a specification; `replace` returns a changed copy. The wire form is plain data for JSON.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing, or dataclasses, would cost every host a hundredth of a second
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """Return the class as it is; type checkers see a dataclass in it."""
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Spec:
    """Base of frozen records: the annotations of a subclass are its fields, their values the defaults."""

    def __init__(self, **fields: Any) -> None:
        names = type(self).__annotations__
        wrong = [name for name in fields if name not in names] + [n for n in names if n not in fields and not hasattr(type(self), n)]
        if wrong:
            raise TypeError("%s: unknown or missing: %s" % (type(self).__name__, ", ".join(wrong)))
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a %s does not change: %s" % (type(self).__name__, name))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment] # it holds mappings

    def __repr__(self) -> str:
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % item for item in self._fields().items()))

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).__annotations__}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values of some fields."""
        return type(self)(**dict(self._fields(), **changes))

    def to_wire(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {name: _plain(value) for name, value in self._fields().items()}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """Return the record from its wire form; fields that are not this class's are left out."""
        return cls(**{name: _frozen(data[name]) for name in cls.__annotations__ if name in data})


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.to_wire()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


class RankSpec(Spec):
    """One rank of a host.

    Attributes:
        rank: its number in the job.
        argv: the command, with its program as a path or as a name for the rank's PATH.
        env: variables on top of the host's own environment.
        stdin: kind of its standard input: "pipe", "terminal", or "" for /dev/null.
        screen: (columns, lines) of its terminal, when known.
    """

    rank: int
    argv: Sequence[str]
    env: Mapping[str, str]
    stdin: str = ""
    screen: Sequence[int] | None = None


class MpiSpec(Spec):
    """The part of a host in a job of mpirun.

    Attributes:
        candidates: paths where mpirun may be, best first.
        shim: source of the program that takes the place of ssh and of ranks, see `launch/mpi_shim`.
    """

    candidates: Sequence[str]
    shim: str


class HostSpec(Spec):
    """The part of a job that runs on one host.

    Attributes:
        job: the job's id.
        index: the host's number; it tells apart hosts that are one machine.
        python, script, command: programs that have to be there; "" for one that is not needed.
        cwd: working directory of the ranks; "" for `default_cwd`.
        default_cwd: working directory if it exists here, otherwise the home directory.
        root: directory for all that is deployed; "" for none.
        trust_owner: name of a user whose files there are trusted too; "" for none.
        local: whether this is the launching machine.
        hold: deployed directories that have to stay while the job runs, below `root`.
        addresses: IP addresses that have to be the host's own.
        listen: ("ip:port", ...) that have to be free.
        reached: what stands there for the address by which the host is reached; "" when that does not count.
        shifts: numbers that may be added to all of these ports, best first.
        port_flag: option that changes the ports, for messages.
        devices: the CUDA device of each rank, as CUDA_VISIBLE_DEVICES names it; none for a backend without.
        key: secret of the job, in hexadecimal, by which hosts hash the values of their own variables.
        verbose: whether the values themselves are wanted too.
        grace: seconds between TERM and KILL.
        lease: seconds of silence after which the controller counts as gone.
        files: contents of the files that all ranks read, by the variable that holds the path.
        modules: sources of Python modules that ranks import before all others, by file name.
        ranks: the ranks, in the order of their numbers.
        mpi: mpirun's part; None for the other backends.
    """

    job: str
    index: int
    python: str
    script: str
    command: str
    cwd: str
    default_cwd: str
    root: str
    trust_owner: str
    local: bool
    hold: Sequence[str]
    addresses: Sequence[str]
    listen: Sequence[str]
    reached: str = ""
    shifts: Sequence[int]
    port_flag: str
    devices: Sequence[str]
    key: str = ""
    verbose: bool = False
    grace: float
    lease: float
    files: Mapping[str, str]
    modules: Mapping[str, str]
    ranks: Sequence[RankSpec]
    mpi: MpiSpec | None = None

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Self:
        """Return the specification from its wire form."""
        ranks = tuple(RankSpec.from_wire(rank) for rank in data["ranks"])
        mpi = MpiSpec.from_wire(data["mpi"]) if data.get("mpi") else None
        return super().from_wire(dict(data, ranks=ranks, mpi=mpi))


class RecoverySpec(Spec):
    """The request for everything that a lost connection did not carry.

    Attributes:
        job, index, grace, lease: as in `HostSpec`.
        have: bytes that the controller has of each stream, by rank as text: {"0": {"stdout": 10, "stderr": 0}}.
        patience: seconds to wait until the earlier supervisor is gone.
    """

    job: str
    index: int
    grace: float
    lease: float
    have: Mapping[str, Mapping[str, int]]
    patience: float
