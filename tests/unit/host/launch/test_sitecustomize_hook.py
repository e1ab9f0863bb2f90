"""The hook in a rank's Python steps aside, and has the import of MLX watched."""

from __future__ import annotations

import pytest

from tests.unit.host.watched_ranks import INIT, WatchedRank

SHOW = "import os, sys\nprint(os.environ.get('PYTHONPATH'), [path for path in sys.path if 'mlxlaunch' in path])\n"


def test_script_and_its_children_find_the_module_path_as_it_was(rank: WatchedRank) -> None:
    rank.stage()
    rank.path += ["/x", "/y z"]
    child = f"{SHOW}import subprocess\nsubprocess.run([sys.executable, '-c', {SHOW!r}], check=True)\n"
    done = rank.run(child.replace("import subprocess", "sys.stdout.flush()\nimport subprocess"))
    assert (done.stdout, done.stderr) == ("/x:/y z []\n" * 2, "")


def test_module_path_that_was_not_set_is_not_set(rank: WatchedRank) -> None:
    rank.stage()
    done = rank.run(SHOW)
    assert (done.stdout, done.stderr) == ("None []\n", "")


@pytest.mark.parametrize("rest", ["", ":/x", "/x:", "/x::/y"])
def test_current_directory_stays_in_the_module_path(rank: WatchedRank, rest: str) -> None:
    rank.stage()
    done = rank.run("import os\nprint(os.environ.get('PYTHONPATH'))\n", PYTHONPATH=f"{rank.modules}:{rest}")
    assert (done.stdout, done.stderr) == (f"{rest}\n", "")


def test_folder_that_is_written_in_another_way_is_gone_too(rank: WatchedRank) -> None:
    rank.stage()
    done = rank.run(SHOW, PYTHONPATH=f"{rank.modules.parent}//python/:/x")
    assert (done.stdout, done.stderr) == ("/x []\n", "")


def test_another_module_of_that_name_does_its_work(rank: WatchedRank) -> None:
    rank.stage()
    rank.path.append(str(rank.user))
    (rank.user / "sitecustomize.py").write_text("NAME = 'theirs'\nprint('runs')\n")
    done = rank.run("import sitecustomize\nprint(sitecustomize.NAME)\n")
    assert (done.stdout, done.stderr) == ("runs\ntheirs\n", "")


def test_mlx_is_watched_when_another_module_of_that_name_fails(rank: WatchedRank) -> None:
    rank.stage()
    rank.fake_mlx()
    (rank.user / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    done = rank.run(f"import mlx.core\nmlx.core.distributed.world = 1\n{INIT}")
    assert "ValueError: theirs" in done.stderr
    assert done.returncode == 1
    assert "world of 1" in done.stderr


def test_nothing_happens_without_mlx(rank: WatchedRank) -> None:
    rank.stage("mpi")
    script = (
        "import importlib.util, sys\nsys.modules['mlx'] = None\nprint(importlib.util.find_spec('mlx.corex' if 0 else 'json') is not None)\n"
    )
    done = rank.run(f"{script}try:\n    import mlx.core\nexcept ImportError as exc:\n    print(type(exc).__name__)\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nModuleNotFoundError\n", "")


def test_missing_module_is_watched_when_it_is_there_later(rank: WatchedRank) -> None:
    rank.stage()
    rank.fake_mlx()
    rank.path.remove(str(rank.user))
    (rank.user / "empty/mlx").mkdir(parents=True)
    (rank.user / "empty/mlx/__init__.py").touch()
    rank.path.append(str(rank.user / "empty"))
    missing = "import sys\ntry:\n    import mlx.core\nexcept ModuleNotFoundError as exc:\n    print(exc.name)\n"
    there = f"del sys.modules['mlx']\nsys.path.insert(0, {str(rank.user)!r})\nimport mlx.core\nmlx.core.distributed.world = 1\n{INIT}"
    done = rank.run(missing + there)
    assert done.stdout.startswith("mlx.core\n")
    assert "RuntimeError: this job has 2 ranks, and rank 1 found itself in a world of 1" in done.stderr


def test_import_after_a_mere_look_for_mlx_is_watched(rank: WatchedRank) -> None:
    rank.stage()
    rank.fake_mlx()
    done = rank.run(
        f"import importlib.util\nassert importlib.util.find_spec('mlx.core')\nimport mlx.core\nmlx.core.distributed.world = 1\n{INIT}"
    )
    assert done.returncode == 1
    assert "world of 1" in done.stderr
