"""The work that options ask for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError, naming_options
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work, check_work


@pytest.mark.parametrize(
    ("given", "dry_run", "wanted", "writes"),
    [
        ({}, False, False, False),
        ({"apply": None, "state": None, "sleep": None}, False, False, False),
        ({"apply": "no", "state": "", "sleep": "no"}, False, False, False),
        ({"apply": True}, False, True, True),
        ({"apply": "yes", "wired_limit": "auto"}, True, True, False),
        ({"state": "absent"}, False, True, True),
        ({"state": "absent", "apply": False}, True, True, False),
    ],
)
def test_work_is_a_look_a_change_or_a_dry_run(given: dict[str, Any], dry_run: bool, wanted: bool, writes: bool) -> None:
    work = check_work(given, dry_run=dry_run)
    assert (work.wanted, work.writes) == (wanted, writes)


def test_undo_is_the_state_absent() -> None:
    assert check_work({"state": "absent"}) == Work(undo=True)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"apply": "perhaps"}, "--apply: 'perhaps' is not yes or no"),
        ({"state": "gone"}, "--state 'gone': want present or absent"),
        ({"apply": True, "state": "absent"}, "--undo takes a preparation back, and --apply makes one"),
        ({"wired_limit": "auto", "state": "absent"}, "--undo takes back all that was set, whatever it was; --wired-limit has no use there"),
        ({"sleep": False, "state": "absent"}, "--sleep has no use there"),
        ({"open_files": "some"}, "--open-files: 'some': want off"),
    ],
)
def test_mistake_is_told_before_any_host_is_asked(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_work(given)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"apply": "x"}, "mlx_prepare_apply: 'x' is not yes or no"),
        ({"state": "x"}, "mlx_prepare_state 'x': want present or absent"),
        ({"sleep": "x"}, "mlx_prepare_sleep: 'x' is not yes or no"),
        ({"apply": True, "state": "absent"}, "mlx_prepare_state=absent takes a preparation back, and mlx_prepare_apply makes one; "),
        (
            {"open_files": 999, "state": "absent"},
            "mlx_prepare_state=absent takes back all that was set, whatever it was; mlx_prepare_open_files ",
        ),
    ],
)
def test_wrong_option_of_a_play_is_named_by_its_variable(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught, naming_options(by_flag=False):
        check_work(given)
    assert str(caught.value).startswith(text)
