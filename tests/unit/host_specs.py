"""Specifications of hosts for tests: the smallest, to be changed by name."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import HostSpec, RankSpec

#: The id of jobs that run: those of tests at the same time must not end one another.
OWN_JOB = f"20260101-000000-{os.getpid():06x}"


def rank_spec(rank: int = 0, *argv: str, **changes: Any) -> RankSpec:
    """Return the specification of a rank, of `true` if no command is named."""
    return RankSpec(rank=rank, argv=argv or ("true",), env={}).replace(**changes)


def host_spec(*ranks: RankSpec, **changes: Any) -> HostSpec:
    """Return the specification of a host with these ranks, that needs nothing."""
    return HostSpec(
        job="20260101-000000-abcdef",
        index=0,
        python="",
        script="",
        command="",
        cwd="",
        default_cwd="",
        root="",
        trust_owner="",
        local=False,
        hold=(),
        addresses=(),
        listen=(),
        shifts=(0,),
        port_flag="--starting-port",
        devices=(),
        grace=5.0,
        lease=60.0,
        files={},
        modules={},
        ranks=ranks,
    ).replace(**changes)
