"""Every setting is told in five places; they say the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import AUTO, SUPPORTED
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import BY_NAME, HOST, RUN_SETTINGS, SETTINGS, JobSettings
from mlxlaunch_ansible._check_command import SETTINGS as CHECK_COMMAND

CHECKOUT = Path(__file__).parent.parent.parent
COLLECTION = CHECKOUT / "collection"
ROLE = COLLECTION / "roles" / "launch"

#: Options of the action that programs use which launch; no setting of a person.
FOR_PROGRAMS = {"hostfile", "job", "control", "terminal"}
#: Settings that may differ between hosts have no default in the role: it would hide that they are not set.
PER_HOST = {setting.variable for setting in SETTINGS if setting.scope == HOST} | {"mlx_env"}
#: What Ansible has no type for, or what the action reads in more than one form.
ROLE_TYPES = {"list": "raw", "path": "str", "port": "raw"}
ACTION_TYPES = {"port": "raw"}


def documentation(path: str) -> dict[str, Any]:
    """Return a plugin's DOCUMENTATION."""
    for node in ast.parse((COLLECTION / "plugins" / path).read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            found = yaml.safe_load(ast.literal_eval(node.value))
            assert isinstance(found, dict)
            return found
    raise AssertionError(path)


def load(path: Path) -> Any:
    """Return what a YAML file says."""
    return yaml.safe_load(path.read_text())


ACTION = documentation("modules/launch.py")["options"]
DEFAULTS = load(ROLE / "defaults" / "main.yml")
ARGUMENTS = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def plain(value: Any) -> Any:
    """Return a default as YAML would have it."""
    return list(value) if isinstance(value, tuple) else value


def test_action_documents_every_setting_of_a_job_and_no_other() -> None:
    assert set(ACTION) == {setting.name for setting in RUN_SETTINGS} | FOR_PROGRAMS


@pytest.mark.parametrize("name", [setting.name for setting in RUN_SETTINGS])
def test_action_documents_type_and_default(name: str) -> None:
    setting, option = BY_NAME[name], ACTION[name]
    assert (option["type"], option["default"]) == (ACTION_TYPES.get(setting.type, setting.type), plain(setting.default))


def test_documented_backends_are_those_that_can_be_started() -> None:
    assert tuple(ACTION["backend"]["choices"]) == tuple(ARGUMENTS["mlx_backend"]["choices"]) == (AUTO, *SUPPORTED)


def test_role_has_an_argument_for_every_setting() -> None:
    assert set(ARGUMENTS) == {setting.variable for setting in SETTINGS}


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_role_argument_has_type_and_default(name: str) -> None:
    setting, argument = BY_NAME[name], ARGUMENTS[BY_NAME[name].variable]
    assert (argument["type"], argument["default"]) == (ROLE_TYPES.get(setting.type, setting.type), plain(setting.default))


def test_role_has_a_default_for_every_setting_that_is_one_for_all_hosts() -> None:
    assert set(DEFAULTS) == {setting.variable for setting in SETTINGS} - PER_HOST


@pytest.mark.parametrize("variable", sorted(DEFAULTS))
def test_role_default_is_the_setting_s(variable: str) -> None:
    assert DEFAULTS[variable] == plain(BY_NAME[variable.removeprefix("mlx_")].default)


def test_role_hands_every_default_to_the_action() -> None:
    [task] = load(ROLE / "tasks" / "main.yml")
    options = task["mlxlaunch.cluster.launch"]
    assert set(options) - FOR_PROGRAMS == {variable.removeprefix("mlx_") for variable in DEFAULTS}
    assert all(f"mlx_{name}" in text for name, text in options.items())


def test_job_settings_have_a_field_for_each() -> None:
    defaults = {field.name: {} if field.default is MISSING else field.default for field in fields(JobSettings)}
    assert defaults == {setting.name: setting.default for setting in RUN_SETTINGS}


def test_settings_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/settings_table.py", "--check"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_page_has_a_row_for_each_setting() -> None:
    rows = [line for line in (CHECKOUT / "docs" / "settings.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(SETTINGS) + 2
    for setting, row in zip(SETTINGS, rows[2:], strict=True):
        assert f"`{setting.variable}`" in row
        assert setting.doc in row


# -- the check, which takes those settings of a job that can keep one from running

CHECK_ACTION = documentation("modules/check.py")["options"]
CHECK_ROLE = COLLECTION / "roles" / "check"
CHECK_DEFAULTS = load(CHECK_ROLE / "defaults" / "main.yml")
CHECK_ARGUMENTS = load(CHECK_ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("name", sorted(set(CHECK_ACTION) - FOR_PROGRAMS))
def test_check_documents_the_settings_it_takes(name: str) -> None:
    setting, option = BY_NAME[name], CHECK_ACTION[name]
    assert (option["type"], option["default"]) == (ACTION_TYPES.get(setting.type, setting.type), plain(setting.default))


def test_check_takes_what_its_role_and_its_command_give() -> None:
    given = {variable.removeprefix("mlx_") for variable in CHECK_DEFAULTS}
    assert given <= set(CHECK_ACTION)
    [task] = load(CHECK_ROLE / "tasks" / "main.yml")
    assert set(task["mlxlaunch.cluster.check"]) - FOR_PROGRAMS == given
    assert set(CHECK_COMMAND) <= set(CHECK_ACTION)


def test_check_role_has_an_argument_for_every_default_and_what_hosts_have() -> None:
    assert set(CHECK_ARGUMENTS) == set(CHECK_DEFAULTS) | PER_HOST
    for variable, value in CHECK_DEFAULTS.items():
        setting = BY_NAME[variable.removeprefix("mlx_")]
        assert value == CHECK_ARGUMENTS[variable]["default"] == plain(setting.default)
        assert CHECK_ARGUMENTS[variable]["type"] == ROLE_TYPES.get(setting.type, setting.type)
