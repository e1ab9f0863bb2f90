"""The programs that run beside ranks have the names of their files."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch import init_guard
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_sources import HostSources


def test_every_program_is_a_file_of_the_host_side() -> None:
    folder = Path(init_guard.__file__).parent
    names = {field.name for field in fields(HostSources)}
    assert names
    assert names <= {path.stem for path in folder.glob("*.py")}


def test_nothing_can_be_set_on_the_sources() -> None:
    sources = HostSources("hook", "guard", "shim")
    with pytest.raises(FrozenInstanceError):
        sources.mpi_shim = "other"  # type: ignore[misc]
