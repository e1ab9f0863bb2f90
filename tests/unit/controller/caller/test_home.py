"""The home directory in paths of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.home import without_tildes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import SETTINGS

PATHS = [setting.name for setting in SETTINGS if setting.type == "path"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", PATHS)
def test_every_path_here_may_begin_at_home(home: Path, name: str) -> None:
    assert without_tildes({name: "~/x y"}) == {name: f"{home}/x y"}
    assert without_tildes({name: "x/~"}) == {name: "x/~"}
    assert without_tildes({name: 7}) == {name: 7}


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.name not in {*PATHS, "script"}])
def test_others_are_for_the_hosts(name: str) -> None:
    assert without_tildes({name: "~/x"}) == {name: "~/x"}


def test_script_that_is_not_here_is_for_the_hosts(home: Path) -> None:
    assert without_tildes({"script": "~/train.py"}) == {"script": "~/train.py"}
    (home / "train.py").touch()
    assert without_tildes({"script": "~/train.py"}) == {"script": f"{home}/train.py"}


def test_unknown_user_is_named() -> None:
    with pytest.raises(UsageError, match=r"^--log-dir ~nosuch/x: there is no such user here; write ./~nosuch/x if"):
        without_tildes({"log_dir": "~nosuch/x"})
