"""The wheelhouse that is filled from a lock, for hosts of another platform than the controller's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy import wheelhouse
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.lockfile import Lock, parse_lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.wheelhouse import fill_wheelhouse, marker_environment, pip_platforms
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.unit.environments import Index, lock_line, make_wheel, serve_index

pytestmark = pytest.mark.usefixtures("own_cache")

MAC = {"system": "Darwin", "machine": "arm64", "release": "14.5", "libc": ""}
LINUX = {"system": "Linux", "machine": "x86_64", "release": "2.36", "libc": "glibc"}


@pytest.fixture
def lock(wheels: Path) -> Lock:
    lines = [
        lock_line(*wheels.glob(f"{name}-*"), marker=marker)
        for name, marker in [("tiny", ""), ("fast", ""), ("metal", "sys_platform == 'darwin'")]
    ]
    return parse_lock("".join(lines), "lock.txt")


def test_platforms_of_a_mac_are_its_own_and_all_older_macos() -> None:
    tags = pip_platforms(MAC)
    arm = [tag for tag in tags if tag.endswith("arm64")]
    assert arm == ["macosx_14_0_arm64", "macosx_13_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"]
    assert tags.index("macosx_13_0_universal2") > tags.index("macosx_14_0_universal2")
    assert "macosx_10_9_x86_64" in pip_platforms({**MAC, "machine": "x86_64"})
    assert pip_platforms({**MAC, "release": "26.1"})[0] == "macosx_26_0_arm64"


def test_platforms_of_linux_go_down_to_the_oldest_glibc() -> None:
    tags = pip_platforms(LINUX)
    assert tags[0] == "manylinux_2_36_x86_64"
    assert tags.index("manylinux_2_28_x86_64") < tags.index("manylinux_2_17_x86_64") < tags.index("manylinux2014_x86_64")
    assert tags[-1] == "linux_x86_64"
    assert pip_platforms({**LINUX, "machine": "aarch64"})[-3:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]


def test_this_platforms_tags_are_those_that_pip_would_use() -> None:
    from packaging.tags import platform_tags

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import find_python
    from tests.unit.environments import run

    facts = find_python(sys.executable, run)["platform"]
    if facts["libc"] != "glibc" and facts["system"] != "Darwin":
        pytest.skip("neither glibc nor macOS")
    assert set(pip_platforms(facts)) == set(platform_tags())


@pytest.mark.parametrize("facts", [{**LINUX, "libc": ""}, {**LINUX, "system": "FreeBSD"}, {**MAC, "release": ""}])
def test_platform_without_wheels_is_told(facts: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="want macOS, or Linux with glibc"):
        pip_platforms(facts)


@pytest.mark.parametrize(
    ("tag", "system", "machine"),
    [
        ("macosx_14_0_arm64", "darwin", "arm64"),
        ("macosx_13_0_x86_64", "darwin", "x86_64"),
        ("manylinux_2_36_x86_64", "linux", "x86_64"),
        ("manylinux2014_aarch64", "linux", "aarch64"),
        ("linux_x86_64", "linux", "x86_64"),
    ],
)
def test_markers_are_those_of_the_hosts_platform(tag: str, system: str, machine: str) -> None:
    environment = marker_environment("3.12.4", tag)
    assert (environment["sys_platform"], environment["platform_machine"]) == (system, machine)
    assert (environment["python_version"], environment["python_full_version"]) == ("3.12", "3.12.4")


def quiet(_line: str) -> None:
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(wheelhouse.INDEX))


def test_wheelhouse_is_filled_for_the_hosts_platform(tmp_path: Path, wheels: Path, lock: Lock) -> None:
    house = tmp_path / "house"
    with serve_index(wheels) as index:
        mac = fill_wheelhouse(lock, house, "3.12.4", pip_platforms(MAC), index.url, quiet)
        assert sorted(mac.hashes) == names(house)
        assert names(house) == [
            "fast-1.0-cp312-cp312-macosx_13_0_arm64.whl",
            "metal-1.0-py3-none-macosx_14_0_arm64.whl",
            "tiny-1.0-py3-none-any.whl",
        ]
        linux = fill_wheelhouse(lock, house, "3.12.4", pip_platforms(LINUX), index.url, quiet)
    assert sorted(linux.hashes) == ["fast-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "tiny-1.0-py3-none-any.whl"]
    assert mac.digest != linux.digest
    assert set(mac.joined(linux).hashes) == set(names(house)), "no part of a download is left"


def test_wheels_that_are_there_are_not_asked_for_again(tmp_path: Path, wheels: Path, lock: Lock) -> None:
    with serve_index(wheels) as index:
        first = fill_wheelhouse(lock, tmp_path / "house", "3.12.4", pip_platforms(MAC), index.url, quiet)
    assert fill_wheelhouse(lock, tmp_path / "house", "3.12.4", pip_platforms(MAC), index.url, quiet) == first  # the index is gone
    assert fill_wheelhouse(lock, wheels, "3.12.4", pip_platforms(MAC), index.url, quiet).digest == first.digest  # filled by hand


def test_wheel_that_was_changed_is_fetched_again(tmp_path: Path, wheels: Path, lock: Lock) -> None:
    house = tmp_path / "house"
    with serve_index(wheels) as index:
        first = fill_wheelhouse(lock, house, "3.12.4", pip_platforms(MAC), index.url, quiet)
        (house / "tiny-1.0-py3-none-any.whl").write_bytes(b"half a wheel")
        again = fill_wheelhouse(lock, house, "3.12.4", pip_platforms(MAC), index.url, quiet)
    assert again == first
    assert (house / "tiny-1.0-py3-none-any.whl").read_bytes() == (wheels / "tiny-1.0-py3-none-any.whl").read_bytes()


def refusal(lock: Lock, house: Path, facts: dict[str, str], index: Index) -> str:
    with pytest.raises(UsageError) as caught:
        fill_wheelhouse(lock, house, "3.12.4", pip_platforms(facts), index.url, quiet)
    return str(caught.value)


def test_package_without_a_wheel_for_the_platform_is_named(tmp_path: Path, wheels: Path, lock: Lock) -> None:
    with serve_index(wheels) as index:
        told = refusal(lock, tmp_path / "house", {**MAC, "machine": "x86_64"}, index)
    assert "lock.txt: wheelhouse " in told
    assert "there is no wheel of fast==1.0 for macosx_14_0_x86_64 with Python 3.12.4" in told
    assert names(tmp_path / "house") == []


def test_wheel_with_another_hash_is_not_taken(tmp_path: Path, wheels: Path, lock: Lock) -> None:
    make_wheel(wheels, "tiny", files={"tiny.py": "import evil\n"})
    with serve_index(wheels) as index:
        told = refusal(lock, tmp_path / "house", MAC, index)
    assert "what the index has as tiny==1.0 has none of the lock's hashes" in told
    assert names(tmp_path / "house") == []


def test_wheelhouse_that_cannot_be_made_is_told(tmp_path: Path, lock: Lock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"wheelhouse .*/file/house: .*Not a directory"):
        fill_wheelhouse(lock, tmp_path / "file" / "house", "3.12.4", pip_platforms(MAC), "", quiet)


def test_lock_for_other_platforms_only_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of its packages is for macosx_14_0_arm64"):
        fill_wheelhouse(
            parse_lock(f"a==1 ; sys_platform == 'win32' --hash=sha256:{'a' * 64}", "lock.txt"),
            tmp_path,
            "3.12.4",
            pip_platforms(MAC),
            "",
            quiet,
        )


def test_real_mlx_for_macos_is_fetched_on_any_platform(tmp_path: Path) -> None:
    """From the index that pip is configured with; hashes are taken from what it has, as `uv pip compile` would."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "0", "--only-binary=:all:", "--no-deps"]
    argv += ["--platform", "macosx_14_0_arm64", "--python-version", "3.12", "--dest", str(tmp_path / "once"), "mlx"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no index that has MLX for macOS can be reached: {done.stderr.strip().splitlines()[-1:]}")
    lines = [lock_line(wheel, marker="sys_platform == 'darwin' and platform_machine == 'arm64'") for wheel in (tmp_path / "once").iterdir()]
    house = fill_wheelhouse(parse_lock("".join(lines), "lock.txt"), tmp_path / "house", "3.12.4", pip_platforms(MAC), "", quiet)
    assert {name.split("-")[0] for name in house.hashes} == {"mlx"}
    assert all("macosx_" in name and name.endswith("_arm64.whl") for name in house.hashes)


@pytest.mark.parametrize("of_lock", [False, True], ids=["index", "options of a lock"])
def test_address_of_an_index_is_in_no_command_line(of_lock: bool, tmp_path: Path, wheels: Path, lock: Lock) -> None:
    canary = f"canary{os.getpid()}"
    said: list[object] = []
    with serve_index(wheels) as index:
        address = index.url.replace("//", f"//ada:{canary}@")
        told = replace(lock, index_options=("--index-url", address, "--extra-index-url", address)) if of_lock else lock
        fill_wheelhouse(told, tmp_path / "house", "3.12.4", pip_platforms(MAC), "" if of_lock else address, said.append)
    assert "download" in index.command_lines
    assert canary not in index.command_lines + str(said)
