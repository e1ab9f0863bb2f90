# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The specification of a host: frozen, complete, and the same after it has travelled."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import HostSpec, MpiSpec, RankSpec, RecoverySpec
from tests.unit.host_specs import host_spec, rank_spec


def travelled(spec: HostSpec) -> HostSpec:
    """Return the specification as it arrives on the host."""
    return HostSpec.from_wire(json.loads(json.dumps(spec.to_wire())))


@pytest.mark.parametrize(
    "spec",
    [
        host_spec(),
        host_spec(rank_spec(0, "python", "train.py"), rank_spec(1, stdin="terminal", screen=(80, 24)), listen=("10.0.0.1:1",)),
        host_spec(mpi=MpiSpec(candidates=("/usr/bin/mpirun",), shim="pass"), files={"A": "b"}),
    ],
)
def test_specification_arrives_as_it_was_sent(spec: HostSpec) -> None:
    assert travelled(spec) == spec
    assert repr(travelled(spec)) == repr(spec)


def test_nothing_changes_a_specification() -> None:
    spec = host_spec()
    with pytest.raises(AttributeError, match="a HostSpec does not change: grace"):
        spec.grace = 0  # type: ignore[misc]
    changed = spec.replace(grace=0)
    assert (spec.grace, changed.grace) == (5.0, 0)
    assert changed != spec
    assert changed.replace(grace=5.0) == spec


def test_missing_and_unknown_fields_are_named() -> None:
    with pytest.raises(TypeError, match="RankSpec: unknown or missing: argv, env"):
        RankSpec(rank=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="RankSpec: unknown or missing: colour"):
        rank_spec(colour="red")


def test_specifications_of_different_kinds_differ() -> None:
    assert MpiSpec(candidates=(), shim="") != rank_spec()
    assert rank_spec() != "rank"


def test_recovery_takes_its_part_of_the_request() -> None:
    have = {"0": {"stdout": 10, "stderr": 0}}
    request = {"job": "j", "index": 0, "grace": 5.0, "lease": 9.0, "recover": True, "have": have, "patience": 20.0}
    spec = RecoverySpec.from_wire(request)
    assert (spec.have, spec.patience) == (have, 20.0)
