"""Python environments on hosts: from a lock, from a wheelhouse or an index, as a copy; and why one cannot be had."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH
from tests.integration.deploying import PATIENCE, ROOT, Site, brought, rows, where
from tests.lab import Host
from tests.support.waiting import wait_until
from tests.unit.environments import lock_line, make_wheel, serve_index

CONTROLLER = "198.18.0.1"
BASE = sys.base_prefix + "/bin/python3"
IMPORTS = "import sys, pkg\nprint(sys.prefix + ' ' + pkg.VERSION, flush=True)\n"


def lock_of(site: Site, *wheels: Path) -> Path:
    return site.file("requirements.lock", "".join(map(lock_line, wheels)))


def record(host: Host, environment: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(host.path(environment).joinpath(".mlxlaunch.json").read_text())
    return found


# -- from a lock


def test_a_wheelhouse_serves_hosts_without_internet(site: Site) -> None:
    wheel = make_wheel(site.here / "wheels", "pkg")
    words = ["--environment", lock_of(site, wheel), "--wheelhouse", wheel.parent, "--python", BASE]
    script = site.file("train.py", IMPORTS)
    ran = site.run(*words, script)
    assert ran.returncode == 0, ran.stderr
    (said,) = set(ran.stdout.splitlines())
    environment = said.split()[0]
    assert said == f"{environment} 1.0"
    assert Path(environment).parent == Path(ROOT, "envs")
    assert len({record(host, environment)["digest"] for host in site.hosts[:2]}) == 1
    again = site.sync(*words, script)
    assert where(again)["python"] == f"{environment}/bin/python"
    assert brought(again) == 0
    # The same Python, by its version.
    exact = ".".join(map(str, sys.version_info[:3]))
    by_version = site.sync(*words[:-1], exact, script)
    if f"no Python {exact}" not in by_version.stderr:  # it is where nobody would look for it
        assert where(by_version) == where(again)
    # Somebody has installed something by hand: that is noticed, and it is made again.
    (site_packages,) = site.hosts[1].path(environment).glob("lib/python3*/site-packages")
    (site_packages / "other-1.0.dist-info").mkdir()
    again = site.sync(*words, script)
    assert (again.returncode, brought(again)) == (0, 1)
    assert not (site_packages / "other-1.0.dist-info").exists()


def test_index_serves_hosts_and_unused_environments_go(site: Site) -> None:
    host = site.hosts[0]
    for key in ("unused", "used"):
        site.make_old_environment(host, key)
    config = host.path("/etc/pip.conf")
    before = config.read_bytes() if config.exists() else b""
    wheel = make_wheel(site.here / "wheels", "pkg")
    try:
        config.write_text(f"[global]\ntrusted-host = {CONTROLLER}\n")
        with held(host.path(f"{ROOT}/envs/.used.lock")), site.cluster.lab.enter(), serve_index(wheel.parent, CONTROLLER) as index:
            words = ["--environment", lock_of(site, wheel), "--index-url", index.url, "--python", BASE, "--keep", "0"]
            made = Path(where(site.sync(*words, hosts=1))["python"]).parent.parent.name
    finally:
        config.write_bytes(before)
    assert site.environments(host) == sorted([made, "used"])


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock as a running job does."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def test_hosts_with_different_versions_are_named(site: Site) -> None:
    versions = other_pythons(site)
    inventory = site.cluster.inventory({"node1": {"mlx_python": BASE}, "node2": {"mlx_python": versions}})
    wheel = make_wheel(site.here / "wheels", "pkg")
    done = site.sync("-i", inventory, "--environment", lock_of(site, wheel), "--wheelhouse", wheel.parent)
    assert done.returncode == 3
    assert list(rows(done)) == ["node2"]
    assert versions in rows(done)["node2"]
    assert "node1 has Python " + ".".join(map(str, sys.version_info[:3])) in rows(done)["node2"]
    assert site.environments(site.hosts[0]) == []


def other_pythons(site: Site) -> str:
    """Return the path of a Python on the hosts of another version than ours."""
    ours = ".".join(map(str, sys.version_info[:3]))
    for path in ("/usr/bin/python3", *map(str, sorted((Path.home() / ".pyenv/versions").glob("3.1*/bin/python3")))):
        done = site.hosts[0].run([path, "-c", "import platform; print(platform.python_version())"])
        if done.returncode == 0 and done.stdout.strip() != ours:
            return path
    pytest.skip("the hosts have one Python only")


# -- why not


def test_a_lock_without_hashes_is_refused_here(site: Site) -> None:
    done = site.sync("--environment", site.file("requirements.lock", "pkg==1.0\n"))
    assert done.returncode == 2
    assert "requirements.lock" in done.stderr
    assert "hash" in done.stderr


def test_a_package_without_a_wheel_for_the_hosts_is_named(site: Site) -> None:
    wheel = make_wheel(site.here / "wheels", "pkg", tag="cp311-cp311-win_amd64")
    with site.cluster.lab.enter(), serve_index(wheel.parent) as index:
        words = ["--environment", lock_of(site, wheel), "--wheelhouse", site.here / "house", "--index-url", index.url]
        done = site.sync(*words, "--python", BASE, hosts=1)
    assert done.returncode == 2
    assert f"{site.here}/house could not be filled" in done.stderr
    assert "no wheel of pkg==1.0" in done.stderr
    assert os.uname().machine in done.stderr
    assert site.environments(site.hosts[0]) == []


def test_mlx_that_cannot_be_imported_fails_here_with_its_message(site: Site) -> None:
    code = "raise ImportError('no Metal device is available')\n"
    wheel = make_wheel(site.here / "wheels", "mlx", files={"mlx/core.py": code})
    words = ["--environment", lock_of(site, wheel), "--wheelhouse", wheel.parent, "--python", BASE]
    done = site.sync(*words, hosts=1)
    assert done.returncode == 3, done.stderr
    assert "node1  import mlx.core fails in " + ROOT in done.stderr
    assert "no Metal device is available" in done.stderr
    assert list(site.hosts[0].path(f"{ROOT}/envs").glob("*/.mlxlaunch.json")) == [], "it would be used the next time"


def test_a_python_that_a_host_lacks_is_named(site: Site) -> None:
    wheel = make_wheel(site.here / "wheels", "pkg")
    done = site.sync("--environment", lock_of(site, wheel), "--python", "3.99", hosts=1)
    assert done.returncode == 3
    assert "no Python 3.99" in rows(done)["node1"]


# -- broken off


@pytest.fixture
def building(site: Site) -> tuple[list[str | os.PathLike[str]], Path]:
    """Give the words for an environment whose build comes to a point where it waits for ever, and the file that tells."""
    mark = "/srv/deploy/importing"
    site.hosts[0].path(mark).parent.mkdir(parents=True)
    code = f"import os, time\nif not os.path.exists('/srv/deploy/well'):\n    open({mark!r}, 'w').close()\n    time.sleep(1000)\n"
    wheel = make_wheel(site.here / "wheels", "mlx", files={"mlx/core.py": code})
    return (
        ["--environment", lock_of(site, wheel), "--wheelhouse", wheel.parent, "--python", BASE, "--lease", "5"],
        site.hosts[0].path(mark),
    )


@pytest.mark.parametrize(
    ("number", "status"),
    [pytest.param(signal.SIGINT, 130, id="INT"), pytest.param(signal.SIGKILL, -9, id="KILL", marks=pytest.mark.long)],
)
def test_interrupted_build_is_not_used_and_not_in_the_way(
    site: Site, building: tuple[list[str | os.PathLike[str]], Path], number: int, status: int
) -> None:
    words, mark = building
    host = site.hosts[0]
    with site.cluster.started([*MLXLAUNCH, "sync", "-i", site.inventory(1), *words]) as process:
        wait_until(mark.exists, "the build has come to its import", PATIENCE)
        process.send_signal(number)
        _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err.decode()
    wait_until(lambda: not host.leftovers(), "nothing is left running")
    assert list(host.path(f"{ROOT}/envs").glob("*/.mlxlaunch.json")) == []
    if number == signal.SIGINT:
        return  # then nothing is left at all, and what is left is what the next try has to cope with
    host.path("/srv/deploy/well").touch()
    assert brought(site.sync(*words, hosts=1)) == 1


def test_interrupt_while_filling_a_wheelhouse_leaves_nothing(site: Site) -> None:
    make_wheel(site.here / "wheels", "pkg")
    lock = lock_of(site, site.here / "wheels/pkg-1.0-py3-none-any.whl")
    with site.cluster.lab.enter(), serve_index(site.here / "wheels") as index:
        index.hang = True
        words = ["--environment", lock, "--wheelhouse", site.here / "house", "--index-url", index.url, "--python", BASE]
        with site.cluster.started([*MLXLAUNCH, "sync", "-i", site.inventory(1), *words]) as process:
            assert index.asked.wait(PATIENCE)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
        assert process.returncode == 143
    assert list((site.here / "house").iterdir()) == []


# -- a copy


def test_copied_environment_runs_at_the_path_on_the_hosts(site: Site) -> None:
    """It is a small one, which finds what mlxlaunch needs in the tests' own; hosts see that at the same path."""
    own = site.here / "own env"
    subprocess.run([BASE, "-m", "venv", "--without-pip", own], check=True)
    (packages,) = own.glob("lib/python3*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "pkg.py").write_text("VERSION = 'copied'\n")
    argv = [own / "bin/python", *MLXLAUNCH[1:], "run", "-i", site.inventory(2), "--environment", "copy", site.file("train.py", IMPORTS)]
    done = site.cluster._run(argv, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (said,) = set(done.stdout.splitlines())
    assert said.startswith(f"{ROOT}/envs/")
    assert said.endswith(" copied")
    assert brought(site.cluster._run(argv, timeout=PATIENCE)) == 0
