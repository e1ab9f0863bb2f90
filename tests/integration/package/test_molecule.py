"""Molecule's scenarios pass, and nothing of a run stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab import Lab, LabError
from tests.lab.start import CHECKOUT
from tests.support.processes import command_lines
from tests.support.waiting import wait_until

#: Seconds a scenario may take; on a quiet machine it is about 15.
PATIENCE = 400.0
SCENARIOS = sorted(path.parent.name for path in CHECKOUT.glob("molecule/*/molecule.yml"))

pytestmark = [pytest.mark.lab, pytest.mark.timeout(PATIENCE + 60)]


@pytest.fixture
def ephemeral(lab: Lab) -> Iterator[Path]:
    """Give a directory for a run. It asks for a lab to be skipped where there can be none; the run has its own."""
    # Its path is short: ssh's sockets are in it.
    folder = Path(tempfile.mkdtemp(prefix="mlm-", dir="/tmp"))
    yield folder
    with contextlib.suppress(LabError):
        Lab.attach(folder / "lab").stop()
    shutil.rmtree(folder)


@contextlib.contextmanager
def molecule(ephemeral: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start molecule; all that is left of it is killed at the end."""
    command = [sys.executable, "-m", "molecule", "-c", "molecule/config.yml", *words]
    env = os.environ | {"MOLECULE_EPHEMERAL_DIRECTORY": str(ephemeral), "NO_COLOR": "1"}
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=env,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def lab_pid(ephemeral: Path) -> int:
    """Return the process id of a run's lab, 0 when none is up."""
    try:
        return Lab.attach(ephemeral / "lab").pid
    except LabError:
        return 0


def about(ephemeral: Path) -> Sequence[str]:
    """Return the command lines of processes that have to do with a run: ssh masters, labs, keepers."""
    return [line for _pid, words in command_lines() if str(ephemeral) in (line := " ".join(words))]


@pytest.mark.sweep
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_passes_and_leaves_nothing(scenario: str, ephemeral: Path) -> None:
    with molecule(ephemeral, "test", "-s", scenario) as process:
        try:
            said, _nothing = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"not over after {PATIENCE:.0f} s:\n{(error.stdout or b'').decode('utf-8', 'replace')}")
    assert process.returncode == 0, f"molecule test -s {scenario}:\n{said}"
    assert f"{scenario} > verify: Executed: Successful" in said
    assert not lab_pid(ephemeral)
    wait_until(lambda: not about(ephemeral), f"nothing is left of {scenario}")


def test_killed_run_leaves_no_lab(ephemeral: Path) -> None:
    with molecule(ephemeral, "test", "-s", "launch") as process:
        wait_until((ephemeral / "inventory/lab.yml").exists, "the lab is up", PATIENCE)
        assert lab_pid(ephemeral)
        process.kill()
        process.wait()
        wait_until(lambda: not lab_pid(ephemeral), "the lab has gone")
    wait_until(lambda: not about(ephemeral), "nothing is left")
