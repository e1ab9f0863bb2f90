"""The work of the first_contact action: its options, its hosts and its result."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.host_key import HostKey
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Way
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError, naming_options
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.first_contact import HOST_KEY, FirstContactTask, _host_keys
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.meetings import ASKS, KEY

FINGERPRINT = HostKey(*KEY.split()).fingerprint


class FakeHosts:
    """One host by ssh and one that is this machine."""

    def __init__(self, key: Any = "", password: bool = False) -> None:
        self._key, self._before = key, ASKS if password else ()

    def variables(self, name: str) -> dict[str, Any]:
        return {HOST_KEY: self._key} if name == "a" else {}

    def way(self, name: str, *, key_only: bool) -> Way:
        return Way(("ssh", "--", name), () if key_only else self._before)

    def command(self, name: str, _program: bytes, _trust_owner: str) -> str:
        return f"run on {name}"

    def access(self, host: HostSettings, _settings: Any, *, become: bool) -> Any:
        assert become
        return SimpleNamespace(argv=lambda command: ["sudo on", host.name, command])


def task(hosts: FakeHosts, **options: Any) -> FirstContactTask:
    context = TaskContext(options, None, None, None, {}, print)
    return FirstContactTask(context, Request.of(context, {}, FirstContactTask.own_options), cast("Hosts", hosts))


@pytest.mark.parametrize(
    "options",
    [
        {"contact": "n", "apply": True},
        {"contact": False},
        {"state": "present"},
        {"state": "present", "apply": "f"},
        {"state": ""},
        {"state": "absent"},
    ],
)
def test_hosts_are_not_met_ahead_of_a_preparation_that_does_without(options: dict[str, Any]) -> None:
    result = task(FakeHosts(), **options)._run()
    assert (result["skipped"], result["returncode"], result["cause"], result["changed"]) == (True, 0, "skipped", False)


@pytest.mark.parametrize("options", [{}, {"apply": "no"}, {"state": "present", "apply": "y"}, {"contact": "t", "apply": "t", "state": ""}])
def test_hosts_are_met_by_itself_and_ahead_of_changes(options: dict[str, Any]) -> None:
    class Met(Exception):
        pass

    class Asked(FakeHosts):
        def members(self, _group: str) -> list[HostSettings]:
            raise Met

    with pytest.raises(Met):
        task(Asked(), **options)._run()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"contact": "nonsense", "apply": True}, "mlx_prepare_contact: 'nonsense' is not yes or no"),
        ({"apply": "nonsense"}, "mlx_prepare_apply: 'nonsense' is not yes or no"),
        ({"state": "gone", "apply": True}, "mlx_prepare_state 'gone': want present or absent"),
    ],
)
def test_option_that_cannot_be_read_is_refused_before_any_host_is_met(options: dict[str, Any], text: str) -> None:
    with naming_options(by_flag=False), pytest.raises(UsageError) as caught:
        task(FakeHosts(), **options)._run()
    assert str(caught.value) == text


def test_target_has_both_ways_its_keys_and_root() -> None:
    made = task(FakeHosts([KEY, FINGERPRINT], password=True))
    found = made._target(HostSettings("a", "a"), check_settings({}, job=False))
    assert found.given == (KEY, FINGERPRINT)
    assert found.by_password
    assert (found.by_key.before, found.by_password.before) == ((), ASKS)
    assert found.root
    assert found.root("x") == ["sudo on", "a", "x"]
    assert task(FakeHosts())._target(HostSettings("a", "a"), check_settings({}, job=False)).by_password is None


def test_this_machine_is_a_target_without_ssh() -> None:
    found = task(FakeHosts())._target(HostSettings("b", "b", local=True), check_settings({}, job=False))
    assert (found.local, found.hello, found.by_key.words) == (True, "run on b", ())


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (None, {}),
        ("", {}),
        ({"a": FINGERPRINT}, {"a": (FINGERPRINT,)}),
        ({"a": [KEY]}, {"a": (KEY,)}),
        (f'{{"a": "{FINGERPRINT}"}}', {"a": (FINGERPRINT,)}),
    ],
)
def test_keys_may_be_text_or_lists(value: Any, keys: dict[str, tuple[str, ...]]) -> None:
    assert _host_keys(value) == keys


@pytest.mark.parametrize("value", [7, ["x"], {"a": "SHA256:x"}, {"a": 7}])
def test_other_keys_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="host_keys"):
        _host_keys(value)


def test_wrong_key_of_a_host_names_its_variable() -> None:
    with pytest.raises(UsageError, match=f"^a: {HOST_KEY}: want a line"):
        task(FakeHosts("MD5:x"))._target(HostSettings("a", "a"), check_settings({}, job=False))


def test_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="first_contact: unknown option: aply"):
        FirstContactTask.of(TaskContext({"aply": True}, None, None, None, {}, print))
