"""The hostfile role says the same in its defaults, in its arguments and to the filter."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.mlxlaunch.cluster.plugins.filter.hostfile import hostfile
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.backend_names import AUTO, SUPPORTED
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import BY_NAME, HOST
from tests.unit.collection.documented import documentation

ROLE = Path(__file__).parents[3] / "collection" / "roles" / "hostfile"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
ARGUMENTS = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
#: What is set per host, or by an inventory plugin: a default in the role would hide that it is not set.
NO_DEFAULT = {"mlx_hostfile", "mlx_ips", "mlx_slots", "mlx_rdma"}


def test_every_argument_has_a_default_but_those_of_a_host() -> None:
    assert set(DEFAULTS) == set(ARGUMENTS) - NO_DEFAULT
    assert {name: ARGUMENTS[name]["default"] for name in DEFAULTS} == DEFAULTS


def test_every_way_to_a_hostfile_documents_the_backends_of_a_launch() -> None:
    documented = [documentation(f"{kind}/hostfile.py")["options"]["backend"] for kind in ("modules", "filter")]
    for option in (ARGUMENTS["mlx_backend"], *documented):
        assert (tuple(option["choices"]), option["default"]) == ((AUTO, *SUPPORTED), AUTO)


def test_filter_refuses_an_unknown_backend() -> None:
    with pytest.raises(AnsibleFilterError, match="unknown backend 'foo'"):
        hostfile(["a"], {"a": {"mlx_ips": ["10.0.0.1"]}}, schema="object", backend="foo")


def test_arguments_of_a_launch_have_the_same_default_here() -> None:
    shared = {name: BY_NAME[name.removeprefix("mlx_")] for name in ARGUMENTS if name.removeprefix("mlx_") in BY_NAME}
    assert {"mlx_group", "mlx_backend", "mlx_ips", "mlx_slots"} <= set(shared)
    for name, setting in shared.items():
        default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        assert (name, ARGUMENTS[name]["default"]) == (name, default)
        assert (setting.scope == HOST) == (name in NO_DEFAULT)
