"""The settings as Python's arguments: their types, descriptions, and their way from every entry point to the worker."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import BY_NAME, RUN_SETTINGS
from mlxlaunch_ansible import UsageError, cli, plan_job, run_job, start_job, sync
from mlxlaunch_ansible._settings import DeploySettings, Env, Settings, StrPath, as_given
from mlxlaunch_ansible.commands import check as check_command
from mlxlaunch_ansible.commands.check import start_check
from tests.unit.package.sessions import requested, start_none

#: Settings that Python has otherwise: an argument of its own, and one of the command's screen.
ELSEWHERE = {"script", "prefix"}
TYPES: dict[str, Any] = {
    "str": str | None,
    "path": StrPath | None,
    "host_path": StrPath | None,
    "int": int | None,
    "port": int | str | None,
    "float": float | None,
    "bool": bool | None,
    "list": Sequence[str] | None,
    "dict": Env | None,
}
OF_ANOTHER_TYPE = {"stdin": str | int | None}


def described(kind: type) -> dict[str, str]:
    """The descriptions in a class's docstring, by name."""
    text = inspect.getdoc(kind) or ""
    found = re.findall(r"^    (\w+): ((?:.|\n(?=        ))*)", text.partition("Attributes:\n")[2], re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def test_settings_of_python_are_those_of_the_table() -> None:
    assert set(get_type_hints(Settings)) == {setting.name for setting in RUN_SETTINGS} - ELSEWHERE


@pytest.mark.parametrize("name", sorted(Settings.__annotations__))
def test_setting_has_the_type_of_the_table(name: str) -> None:
    assert get_type_hints(Settings)[name] == OF_ANOTHER_TYPE.get(name, TYPES[BY_NAME[name].type])


def test_descriptions_are_those_of_the_table() -> None:
    texts = described(DeploySettings) | described(Settings)
    assert texts == {name: BY_NAME[name].sentences for name in Settings.__annotations__}


def test_start_job_names_every_setting() -> None:
    words = set(re.findall(r"\w+", inspect.getdoc(start_job) or ""))
    assert set(Settings.__annotations__) <= words


@pytest.mark.parametrize("function", [start_job, run_job, plan_job, sync])
def test_entry_point_shows_its_settings_to_editors(function: Callable[..., Any]) -> None:
    kind = "DeployArguments" if function is sync else "JobArguments"
    assert inspect.signature(function).parameters["settings"].annotation == f"Unpack[{kind}]"


@pytest.mark.parametrize("function", [start_job, run_job, plan_job])
@pytest.mark.parametrize("name", ["lerase", "prefix", "slots"])
def test_unknown_name_is_a_type_error(function: Callable[..., Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"got an unexpected keyword argument '{name}'"):
        function(["127.0.0.1"], "train.py", **{name: 1})


def test_unknown_name_is_a_usage_error_of_sync() -> None:
    with pytest.raises(UsageError, match="unknown setting: lerase"):
        sync(["127.0.0.1"], "train.py", lerase=1)  # type: ignore[call-arg]


# -- the same values from every entry point


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory, in which no session starts."""

    start_none(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def by_api(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda script, settings: function(["127.0.0.1"], script, **settings)


def by_command(command: str) -> Callable[..., Any]:
    def call(script: Any, settings: Mapping[str, Any]) -> None:
        words = [word for name, value in settings.items() for word in (BY_NAME[name].flags[0], os.fspath(value))]
        cli.main([command, "--hosts", "127.0.0.1", *words, os.fspath(script)])

    return call


ENTRIES: dict[str, Callable[..., Any]] = {
    "start_job": by_api(start_job),
    "run_job": by_api(run_job),
    "plan_job": by_api(plan_job),
    "sync": by_api(sync),
    "start_check": lambda script, settings: start_check(["127.0.0.1"], {"script": script, **settings}),
    "mlxlaunch run": by_command("run"),
    "mlxlaunch sync": by_command("sync"),
    "mlxlaunch check": by_command("check"),
}
TAKEN = {
    "sync": set(DeploySettings.__annotations__),
    "mlxlaunch sync": set(DeploySettings.__annotations__),
    "start_check": set(check_command.SETTINGS),
    "mlxlaunch check": set(check_command.SETTINGS),
}
PATHS = [setting.name for setting in RUN_SETTINGS if setting.type in ("path", "host_path")]
ROWS = [(entry, name) for entry in ENTRIES for name in ("script", *PATHS) if name == "script" or name in TAKEN.get(entry, PATHS)]


def given_by(entry: str, script: Any = "train.py", **settings: Any) -> Mapping[str, Any]:
    """Return the settings that an entry point would send to a worker."""
    return requested(ENTRIES[entry], script, settings).settings


@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
@pytest.mark.parametrize(("entry", "name"), ROWS)
def test_path_is_taken_as_text_or_path(entry: str, name: str, kind: Callable[[str], StrPath], here: Path) -> None:
    if name == "script":
        assert given_by(entry, kind("llm/train.py"))["script"] == f"{here}/llm/train.py"
    elif BY_NAME[name].type == "path":
        assert given_by(entry, **{name: kind("llm/x")})[name] == f"{here}/llm/x"
    else:
        assert given_by(entry, **{name: kind("/opt/x")})[name] == "/opt/x"


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if "environment" in TAKEN.get(entry, PATHS)])
def test_copy_is_no_path(entry: str) -> None:
    assert given_by(entry, environment="copy")["environment"] == "copy"


def test_file_named_copy_can_be_given_as_path(here: Path) -> None:
    assert given_by("start_job", environment=Path("copy"))["environment"] == f"{here}/copy"
    assert given_by("mlxlaunch run", log_dir="copy")["log_dir"] == f"{here}/copy"


def test_api_overrides_script_args_and_command_of_an_inventory() -> None:
    assert requested(start_job, ["127.0.0.1"], command=("echo", "x")).settings == {"script": "", "args": [], "command": ["echo", "x"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"group": None, "env": {}, "keep": 0, "sync": False}, {"keep": 0, "sync": False}),
        ({"exclude": ("*.o",), "args": "a 'b c'"}, {"exclude": ["*.o"], "args": "a 'b c'"}),
        ({"args": (str(n) for n in range(2))}, {"args": ["0", "1"]}),
        ({"project_dir": "", "cwd": ""}, {"project_dir": "", "cwd": ""}),
        ({"stdin": 1, "starting_port": "auto"}, {"stdin": 1, "starting_port": "auto"}),
        ({"log_dir": 7, "args": 7, "env": 7, "unknown": b"x"}, {"log_dir": 7, "args": 7, "env": 7, "unknown": b"x"}),
    ],
)
def test_values_become_plain_data(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert as_given(given) == expected


def test_conversion_twice_is_conversion_once() -> None:
    once = as_given({"script": "train.py", "project_dir": Path("llm"), "environment": "copy", "exclude": ("a",)})
    assert as_given(once) == once
