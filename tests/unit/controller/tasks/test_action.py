"""The base of all actions: Ansible's view of them, and the result of their work."""

from __future__ import annotations

import contextlib
import gc
import importlib
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar, trust_as_template

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import LaunchError, UsageError, option_name
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks import action
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.action import ClusterAction
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import TaskContext
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.task import Task

ACTIONS = ("launch", "deploy", "check_info", "hostfile", "network", "prepare", "first_contact")


def plugin(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.mlxlaunch.cluster.plugins.action.{name}").ActionModule


@pytest.fixture(autouse=True)
def _this_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "leave_when_orphaned", lambda _parent: None)
    monkeypatch.setattr(action, "collection_paths", list)  # Ansible has no loader of collections here


class FakeTask(Task):
    """Work whose outcome is given."""

    outcome: Any = None
    seen: list[TaskContext]

    @classmethod
    def of(cls, context: TaskContext) -> Self:
        cls.seen.append(context)
        return cls(context, cast("Any", SimpleNamespace(job="j1")), cast("Any", None))

    def _run(self) -> dict[str, Any]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        found: dict[str, Any] = self.outcome
        return found


def made(monkeypatch: pytest.MonkeyPatch, kind: type[ClusterAction], outcome: Any, **task: Any) -> ClusterAction:
    """Return an action whose work has this outcome."""
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {"from": "ansible"})
    work = type("Work", (FakeTask,), {"outcome": outcome, "seen": []})
    one = kind.__new__(kind)
    keywords = {"check_mode": False, "diff": False, "delegate_to": None, "ignore_errors": False, "failed_when": [], "run_once": False}
    ansible_task = SimpleNamespace(**{"args": {"group": "macs"}, **keywords, **task})
    monkeypatch.setattr(kind, "task_class", work)
    vars(one).update(_task=ansible_task, _play_context=None, _templar=Templar(DataLoader()))
    return one


def run(monkeypatch: pytest.MonkeyPatch, kind: type[ClusterAction], outcome: Any, **task: Any) -> tuple[dict[str, Any], TaskContext]:
    """Run an action whose work has this outcome; return the result, and the context that the work got."""
    one = made(monkeypatch, kind, outcome, **task)
    result = one.run(task_vars={"inventory_hostname": "localhost"})
    return result, cast("type[FakeTask]", one.task_class).seen[0]


@pytest.mark.parametrize("name", ACTIONS)
def test_ansible_sees_that_an_action_is_for_all_hosts(name: str) -> None:
    found = plugin(name)
    assert issubclass(found, ActionBase)
    assert found.BYPASS_HOST_LOOP is True
    assert found.TRANSFERS_FILES is False
    assert found._requires_connection is False
    assert found._supports_check_mode is True


def test_result_says_how_the_work_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _context = run(monkeypatch, plugin("check_info"), {"returncode": 3, "message": "1 of 2 hosts not ready: a"})
    assert result == {
        "from": "ansible",
        "returncode": 3,
        "message": "1 of 2 hosts not ready: a",
        "changed": False,
        "failed": True,
        "msg": "1 of 2 hosts not ready: a",
    }


@pytest.mark.parametrize(
    ("name", "outcome", "changed"),
    [
        ("check_info", {}, False),
        ("network", {"changed": False, "diff": []}, False),
        ("network", {"changed": True, "diff": []}, True),
        ("first_contact", {"changed": True}, True),
        ("prepare", {"changed": True, "diff": [{"before": "", "after": ""}]}, True),
        ("launch", {}, True),
        ("launch", {"changed": False}, False),
        ("deploy", {"hosts_changed": {}}, False),
        ("deploy", {"hosts_changed": {"a": ["project"]}}, True),
        ("hostfile", {"hosts_changed": {}, "path_changed": False}, False),
        ("hostfile", {"hosts_changed": {}, "path_changed": True}, True),
        ("hostfile", {"hosts_changed": {"a": ["hostfile"]}, "path_changed": False}, True),
    ],
)
def test_action_knows_whether_it_changed_anything(monkeypatch: pytest.MonkeyPatch, name: str, outcome: Any, changed: bool) -> None:
    result, _context = run(monkeypatch, plugin(name), {"returncode": 0, "message": "done", **outcome})
    assert (result["changed"], result["failed"], result["msg"]) == (changed, False, "done")


@pytest.mark.parametrize(
    ("keywords", "variables", "said"),
    [
        ({}, {"ansible_play_hosts": ["a", "b"], "ansible_play_batch": ["a", "b"]}, ""),
        ({"delegate_to": "localhost"}, {}, ""),
        ({}, {"ansible_play_hosts": ["a", "c", "b"], "ansible_play_batch": ["a"]}, "serial: .* and b, c are in other batches"),
        ({"delegate_to": "b"}, {}, "delegate_to: b: "),
    ],
)
def test_keyword_that_cannot_work_is_refused(keywords: dict[str, Any], variables: dict[str, Any], said: str) -> None:
    task = SimpleNamespace(**{"delegate_to": None, **keywords})
    with pytest.raises(UsageError, match=said) if said else contextlib.nullcontext():
        action.check_keywords(task, variables)


@pytest.mark.parametrize(
    ("outcome", "keywords", "for_all"),
    [
        ({"returncode": 0}, {}, True),
        ({"returncode": 5}, {}, False),
        ({"returncode": 5}, {"ignore_errors": True}, True),
        ({"returncode": 5}, {"failed_when": ["mlx_result.returncode not in [0, 5]"]}, True),
        ({"returncode": 0}, {"failed_when": ["mlx_result is not failed", "mlx_result.returncode == 0"]}, False),
        ({"returncode": 0}, {"failed_when": ["no_such_variable"]}, False),
        (UsageError("no such group"), {}, False),
        (UsageError("no such group"), {"ignore_errors": True}, True),
    ],
)
def test_result_is_for_all_hosts_unless_the_task_fails(
    monkeypatch: pytest.MonkeyPatch, outcome: Any, keywords: dict[str, Any], for_all: bool
) -> None:
    """Of a task with run_once that fails, Ansible would keep the other hosts from the rescue of its block."""
    keywords["failed_when"] = [trust_as_template(text) for text in keywords.get("failed_when", ())]
    outcome = {"message": "done", **outcome} if isinstance(outcome, dict) else outcome
    one = made(monkeypatch, plugin("check_info"), outcome, register="mlx_result", **keywords)
    with contextlib.suppress(AnsibleActionFail):
        one.run(task_vars={})
    assert one._task.run_once is for_all


def test_launch_names_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, plugin("launch"), {"returncode": 0, "message": "done"})[0]["job"] == "j1"


@pytest.mark.parametrize(("options", "told"), [({}, ["another copy"]), ({"control": "/socket"}, [])])
def test_installation_is_looked_at_unless_mlxlaunch_has_chosen_it(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: list[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(action, "warnings", lambda _paths: ["another copy"])
    monkeypatch.setattr(action, "Display", lambda: SimpleNamespace(warning=shown.append, display=print))
    run(monkeypatch, plugin("launch"), {"returncode": 0, "message": "done"}, args=options)
    assert shown == told


def test_context_has_the_task_s_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = {"returncode": 0, "message": "done"}
    _result, context = run(monkeypatch, plugin("check_info"), outcome, check_mode=True, diff=None)
    assert (context.check_mode, context.diff) == (True, False)
    assert context.options == {"group": "macs"}
    assert context.task_vars == {"inventory_hostname": "localhost"}


@pytest.mark.parametrize(("error", "returncode"), [(UsageError("no such group"), 2), (LaunchError("gone"), LaunchError("gone").returncode)])
def test_refused_work_fails_the_task_without_traceback(monkeypatch: pytest.MonkeyPatch, error: LaunchError, returncode: int) -> None:
    with pytest.raises(AnsibleActionFail) as failure:
        run(monkeypatch, plugin("check_info"), error)
    assert failure.value.result["returncode"] == returncode
    assert str(error) in str(failure.value)


def test_worker_ends_with_ansible_playbook(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(action, "leave_when_orphaned", left.append)
    with pytest.raises(ZeroDivisionError), action.in_worker():
        1 // 0  # noqa: B018
    assert len(left) == 1


def test_worker_looks_for_garbage_only_among_what_it_has_made_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "leave_when_orphaned", lambda _parent: None)
    gc.disable()
    before = {"that": "was made before"}
    try:
        with action.in_worker():
            assert gc.isenabled()
            assert all(known is not before for known in gc.get_objects())
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize(("args", "name"), [({}, "mlx_keep"), ({"control": "/run/s"}, "--keep")])
def test_option_is_named_by_its_flag_only_where_a_program_launches(
    monkeypatch: pytest.MonkeyPatch, args: dict[str, str], name: str
) -> None:
    class Work(FakeTask):
        def _run(self) -> dict[str, Any]:
            return {"returncode": 0, "message": option_name("--keep", "mlx_keep")}

    monkeypatch.setitem(globals(), "FakeTask", Work)
    result, _context = run(monkeypatch, plugin("check_info"), None, args=args)
    assert result["msg"] == name
