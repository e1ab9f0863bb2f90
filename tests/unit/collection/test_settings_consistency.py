"""Every setting is told in five places; they say the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.backend_names import AUTO, SUPPORTED
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import BY_NAME, HOST, RUN_SETTINGS, SETTINGS, JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import NAMES, Wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import ITEMS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS, WORK
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.first_contact import HOST_KEY, FirstContactTask
from mlxlaunch_ansible.commands.check import SETTINGS as CHECK_COMMAND
from tests.unit.collection.documented import CHECKOUT, COLLECTION, documentation, load

ROLE = COLLECTION / "roles" / "launch"
ANSIBLE_DOC = str(Path(sys.executable).parent / "ansible-doc")

#: Options of the action that programs use which launch; no setting of a person.
FOR_PROGRAMS = {"hostfile", "job", "control", "terminal"}
#: Settings that may differ between hosts have no default in the role: it would hide that they are not set.
PER_HOST = {setting.variable for setting in SETTINGS if setting.scope == HOST} | {"mlx_env"}
#: What Ansible has no type for, or what the action reads in more than one form.
ROLE_TYPES = {"list": "raw", "path": "str", "host_path": "str", "port": "raw"}
ACTION_TYPES = {"port": "raw", "host_path": "str"}


ACTION = documentation("modules/launch.py")["options"]
DEFAULTS = load(ROLE / "defaults" / "main.yml")
ARGUMENTS = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def plain(value: Any) -> Any:
    """Return a default as YAML would have it."""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.versions
def test_options_are_those_that_ansible_doc_shows() -> None:
    names = ("check_info", "deploy", "fetch", "first_contact", "hostfile", "launch", "network", "prepare")
    argv = [ANSIBLE_DOC, "--json", "-t", "module", *(f"mlxlaunch.cluster.{name}" for name in names)]
    env = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=200)
    shown = {name.rpartition(".")[2]: entry["doc"] for name, entry in json.loads(done.stdout).items()}
    for name in names:
        for section in ("options", "attributes"):
            assert defaults(shown[name][section]) == defaults(documentation(f"modules/{name}.py")[section])


def defaults(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return entries by the keys that both a module and its fragments may have."""
    keys = ("type", "elements", "choices", "default", "support", "details")
    return {name: {key: entry[key] for key in keys if key in entry} for name, entry in entries.items()}


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


def test_role_has_a_default_for_each_setting_of_all_hosts() -> None:
    assert set(DEFAULTS) == {setting.variable for setting in SETTINGS} - PER_HOST


@pytest.mark.parametrize("variable", sorted(DEFAULTS))
def test_role_default_is_the_setting_s(variable: str) -> None:
    assert DEFAULTS[variable] == plain(BY_NAME[variable.removeprefix("mlx_")].default)


def test_role_hands_every_default_to_the_action() -> None:
    [task] = load(ROLE / "tasks" / "main.yml")
    options = task["mlxlaunch.cluster.launch"]
    assert set(options) - FOR_PROGRAMS == {variable.removeprefix("mlx_") for variable in DEFAULTS}
    assert all(f"mlx_{name}" in text for name, text in options.items())


@pytest.mark.parametrize("name", ["launch", "check", "env"])
def test_python_of_an_environment_is_told_where_a_python_is(name: str) -> None:
    role = load(COLLECTION / "roles" / name / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]["mlx_python"]
    for said in (str(role["description"]), str(ACTION["python"]["description"]), BY_NAME["python"].doc):
        assert "the newest that a host has" in said


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

CHECK_ACTION = documentation("modules/check_info.py")["options"]
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
    assert set(task["mlxlaunch.cluster.check_info"]) - FOR_PROGRAMS == given
    assert set(CHECK_COMMAND) <= set(CHECK_ACTION)


def test_check_role_has_arguments_for_defaults_and_hosts() -> None:
    assert set(CHECK_ARGUMENTS) == set(CHECK_DEFAULTS) | PER_HOST
    for variable, value in CHECK_DEFAULTS.items():
        setting = BY_NAME[variable.removeprefix("mlx_")]
        assert value == CHECK_ARGUMENTS[variable]["default"] == plain(setting.default)
        assert CHECK_ARGUMENTS[variable]["type"] == ROLE_TYPES.get(setting.type, setting.type)


# -- the look at the network, whose options are not those of a job

NETWORK_ACTION = documentation("modules/network.py")["options"]
NETWORK_ROLE = COLLECTION / "roles" / "network"
NETWORK_DEFAULTS = load(NETWORK_ROLE / "defaults" / "main.yml")
NETWORK_ARGUMENTS = load(NETWORK_ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def test_network_role_and_action_have_every_option_of_a_plan() -> None:
    wishes = {field.name for field in fields(Wishes)}
    assert wishes == set(NAMES) <= set(NETWORK_ACTION)
    assert {f"mlx_network_{name}" for name in wishes} <= set(NETWORK_DEFAULTS)
    assert set(NETWORK_DEFAULTS) == set(NETWORK_ARGUMENTS)


@pytest.mark.parametrize("variable", sorted(NETWORK_DEFAULTS))
def test_network_role_default_is_that_of_the_action(variable: str) -> None:
    option = NETWORK_ACTION[variable.removeprefix("mlx_network_").removeprefix("mlx_")]
    argument = NETWORK_ARGUMENTS[variable]
    assert (argument["type"], argument["default"], argument.get("choices")) == (option["type"], option["default"], option.get("choices"))
    assert NETWORK_DEFAULTS[variable] == option["default"]


def test_network_role_hands_every_default_to_the_action() -> None:
    [task] = load(NETWORK_ROLE / "tasks" / "main.yml")
    options = task["mlxlaunch.cluster.network"]
    assert set(options) - FOR_PROGRAMS == set(NETWORK_ACTION) - FOR_PROGRAMS
    assert all(text.strip("{} ") in NETWORK_DEFAULTS for name, text in options.items() if name not in FOR_PROGRAMS)


# -- the preparation, whose items are read for each host

CONTACT = "mlx_prepare_contact"  # which decides about another task of the role
PREPARE_ACTION = documentation("modules/prepare.py")["options"]
PREPARE_ROLE = COLLECTION / "roles" / "prepare"
PREPARE_DEFAULTS = load(PREPARE_ROLE / "defaults" / "main.yml")
PREPARE_ARGUMENTS = load(PREPARE_ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def test_prepare_role_and_action_have_every_option() -> None:
    assert set(OPTIONS) == set(PREPARE_ACTION) - FOR_PROGRAMS - {"group", "python", "connect_timeout", "lease", "verbose"}
    assert {f"mlx_prepare_{name}" for name in OPTIONS} <= set(PREPARE_DEFAULTS)
    assert set(PREPARE_DEFAULTS) | {"mlx_python", HOST_KEY} == set(PREPARE_ARGUMENTS)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_item_has_one_type_and_default_everywhere(item: Any) -> None:
    argument, option = PREPARE_ARGUMENTS[item.variable], PREPARE_ACTION[item.name]
    assert argument["type"] == option["type"] == ("str" if item.least else "bool")
    # The action has none: without an option, the variables of each host count.
    assert "default" not in option
    assert PREPARE_DEFAULTS[item.variable] == argument["default"] == item.default


@pytest.mark.parametrize("variable", sorted(set(PREPARE_DEFAULTS) - {item.variable for item in ITEMS} - {CONTACT}))
def test_prepare_role_default_is_that_of_the_action(variable: str) -> None:
    option = PREPARE_ACTION[variable.removeprefix("mlx_prepare_").removeprefix("mlx_")]
    argument = PREPARE_ARGUMENTS[variable]
    assert (argument["type"], argument["default"], argument.get("choices")) == (option["type"], option["default"], option.get("choices"))
    assert PREPARE_DEFAULTS[variable] == option["default"]


def test_prepare_role_hands_no_item_to_the_action() -> None:
    """A template in a task of all hosts has the value of the first host."""
    task = load(PREPARE_ROLE / "tasks" / "main.yml")[-1]
    options = task["mlxlaunch.cluster.prepare"]
    assert set(options) - FOR_PROGRAMS == {*WORK, "group", "connect_timeout", "lease", "verbose"}
    assert all(text.strip("{} ") in PREPARE_DEFAULTS for name, text in options.items() if name not in FOR_PROGRAMS)


def test_first_contact_of_the_role_hands_its_defaults_to_the_action() -> None:
    [task] = load(PREPARE_ROLE / "tasks" / "first_contact.yml")
    options, documented = task["mlxlaunch.cluster.first_contact"], documentation("modules/first_contact.py")["options"]
    assert set(documented) - FOR_PROGRAMS == {
        *FirstContactTask.own_options,
        "group",
        "python",
        "trust_owner",
        "connect_timeout",
        "lease",
        "verbose",
    }
    ahead = {"contact", "state"}  # only ahead of a preparation
    assert set(options) - FOR_PROGRAMS == {"apply", "group", "connect_timeout", "lease", "verbose", *ahead}
    for name in set(options) - FOR_PROGRAMS - ahead:
        assert PREPARE_DEFAULTS[options[name].strip("{} ")] == documented[name]["default"]


def test_first_contact_decides_by_itself_whether_a_preparation_needs_it() -> None:
    first = load(PREPARE_ROLE / "tasks" / "main.yml")[0]
    ahead = {name: text.strip("{} ") for name, text in first["vars"]["mlx_prepare_ahead"].items()}
    assert ahead == {"contact": CONTACT, "state": "mlx_prepare_state"}
    assert first["when"] == "mlx_control is not defined"


@pytest.mark.parametrize("path", sorted(COLLECTION.glob("roles/*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_no_role_reads_truth_values_by_itself(path: Path) -> None:
    """Ansible's filter takes `y` for false; actions take it as Ansible's own modules do."""
    assert "| bool" not in path.read_text()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_prepare_page_has_a_row_for_each_item(item: Any) -> None:
    rows = [line for line in (CHECKOUT / "docs" / "prepare.md").read_text().splitlines() if line.startswith(f"| `{item.variable}`")]
    default = {True: "on", False: "off", "": "off"}[item.default]
    assert [row.split(" | ")[1:3] for row in rows] == [[f"`{item.flag}{' N' if item.least else ''}`", default]]
