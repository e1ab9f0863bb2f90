"""The screen of a dry run."""

from __future__ import annotations

import json

import pytest

from mlxlaunch_ansible import Job, UsageError
from mlxlaunch_ansible.commands import dry_run
from tests.unit.package.sessions import staged

PLAN = {"backend": "ring", "ranks": [], "größe": 1}


@pytest.mark.parametrize("as_json", [True, False])
def test_plan_goes_to_standard_output(as_json: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dry_run, "render_plan", lambda plan: f"a plan for {plan['backend']}")
    with staged() as stage:
        worker = stage.worker()
        worker.event("warning", text="no backend is set")
        stage.finish(worker, "job_planned", plan=PLAN)
        assert dry_run.show(Job(stage.session), as_json=as_json) == 0
    said = capfd.readouterr()
    assert said.err == "mlxlaunch: warning: no backend is set\n"
    assert (json.loads(said.out) if as_json else said.out) == (PLAN if as_json else "a plan for ring\n")
    assert not as_json or "größe" in said.out


def test_refusal_is_an_error() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_refused", returncode=2, message="no such group")
        worker.close()
        stage.playbook.end()
        with pytest.raises(UsageError, match="no such group"):
            dry_run.show(Job(stage.session), as_json=True)
