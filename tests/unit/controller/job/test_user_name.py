"""Names of users that become part of paths and commands."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.user_name import check_user_name
from tests.support.refusals import refusal


@pytest.mark.parametrize("name", ["ada", "ada.l", "_www", "ada@corp.example", "u-1", "0ada"])
def test_name_of_a_user_may_be_a_file_name(name: str) -> None:
    assert check_user_name(name, "here") == name
    assert check_settings({"trust_owner": name}, job=False).trust_owner == name


@pytest.mark.parametrize("name", ["-o", "..", "a/b", "a b", "$(id)", "a;b", "a\nb", "a" * 100, "\u00e4"])
def test_other_names_are_refused_where_they_come_in(name: str) -> None:
    assert refusal(check_settings, {"trust_owner": name}, job=False).startswith("--trust-owner: ")
