"""What a rank does when it imports MLX: a world of one is an error, and a rank that fails under MPI does not wait for the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import watching_modules

#: Stands in for an MLX under MPI: at its end it says what MPI_Finalize would wait for.
FAKE_MLX = """
class Group:
    def __init__(self, size): self._size = size
    def size(self): return self._size
    def __del__(self): print("finalized", flush=True)
class distributed:
    world = 2
    @staticmethod
    def init(strict=False, backend="any"):
        "Bring it up."
        distributed.group = Group(distributed.world)
        return distributed.group
    @staticmethod
    def is_available(backend="any"): return backend == "ring"
"""
INIT = "import mlx.core as mx\ngroup = mx.distributed.init()\n"


class Rank:
    """Runs scripts as a rank of a job does, with modules staged before all others."""

    def __init__(self, folder: Path) -> None:
        self.modules = folder / "mlxlaunch-job-1-0" / "python"
        self.modules.mkdir(parents=True)
        self.user = folder / "user"
        self.user.mkdir()
        self.script = folder / "train.py"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("MLX_", "PYTHON", "COVERAGE"))}
        self.path = [str(self.modules)]

    def stage(self, backend: str = "ring", world_size: int = 2) -> None:
        """Put there what a job's plan has for every rank."""
        for name, source in watching_modules(backend, world_size).items():
            (self.modules / name).write_text(source, encoding="utf-8")

    def fake_mlx(self) -> None:
        """Let it have the stand-in for MLX."""
        (self.user / "mlx").mkdir()
        (self.user / "mlx/__init__.py").touch()
        (self.user / "mlx/core.py").write_text(FAKE_MLX)
        self.path.append(str(self.user))

    def run(self, script: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end; warnings are errors there too."""
        self.script.write_text(script, encoding="utf-8")
        environment = self.env | {"PYTHONPATH": os.pathsep.join(self.path), "MLX_RANK": "1"} | env
        argv = [sys.executable, "-W", "error", *options, self.script]
        return subprocess.run(argv, env=environment, cwd=self.user, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def rank(tmp_path: Path) -> Rank:
    return Rank(tmp_path)


# -- it steps aside


SHOW = "import os, sys\nprint(os.environ.get('PYTHONPATH'), [path for path in sys.path if 'mlxlaunch' in path])\n"


def test_script_and_its_children_find_the_module_path_as_it_was(rank: Rank) -> None:
    rank.stage()
    rank.path += ["/x", "/y z"]
    child = f"{SHOW}import subprocess\nsubprocess.run([sys.executable, '-c', {SHOW!r}], check=True)\n"
    done = rank.run(child.replace("import subprocess", "sys.stdout.flush()\nimport subprocess"))
    assert (done.stdout, done.stderr) == ("/x:/y z []\n" * 2, "")


def test_module_path_that_was_not_set_is_not_set(rank: Rank) -> None:
    rank.stage()
    done = rank.run(SHOW)
    assert (done.stdout, done.stderr) == ("None []\n", "")


@pytest.mark.parametrize("rest", ["", ":/x", "/x:", "/x::/y"])
def test_empty_part_of_a_module_path_which_is_the_current_directory_stays(rank: Rank, rest: str) -> None:
    rank.stage()
    done = rank.run("import os\nprint(os.environ.get('PYTHONPATH'))\n", PYTHONPATH=f"{rank.modules}:{rest}")
    assert (done.stdout, done.stderr) == (f"{rest}\n", "")


def test_folder_that_is_written_in_another_way_is_gone_too(rank: Rank) -> None:
    rank.stage()
    done = rank.run(SHOW, PYTHONPATH=f"{rank.modules.parent}//python/:/x")
    assert (done.stdout, done.stderr) == ("/x []\n", "")


def test_another_module_of_that_name_does_its_work(rank: Rank) -> None:
    rank.stage()
    rank.path.append(str(rank.user))
    (rank.user / "sitecustomize.py").write_text("NAME = 'theirs'\nprint('runs')\n")
    done = rank.run("import sitecustomize\nprint(sitecustomize.NAME)\n")
    assert (done.stdout, done.stderr) == ("runs\ntheirs\n", "")


def test_another_module_of_that_name_that_fails_is_told_by_python_and_mlx_is_watched_all_the_same(rank: Rank) -> None:
    rank.stage()
    rank.fake_mlx()
    (rank.user / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    done = rank.run(f"import mlx.core\nmlx.core.distributed.world = 1\n{INIT}")
    assert "ValueError: theirs" in done.stderr
    assert done.returncode == 1
    assert "world of 1" in done.stderr


def test_nothing_happens_without_mlx(rank: Rank) -> None:
    rank.stage("mpi")
    script = (
        "import importlib.util, sys\nsys.modules['mlx'] = None\nprint(importlib.util.find_spec('mlx.corex' if 0 else 'json') is not None)\n"
    )
    done = rank.run(f"{script}try:\n    import mlx.core\nexcept ImportError as exc:\n    print(type(exc).__name__)\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nModuleNotFoundError\n", "")


def test_module_that_is_not_there_is_not_found_and_watched_when_it_is(rank: Rank) -> None:
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


def test_program_that_only_asks_whether_mlx_is_there_is_watched_when_it_imports_it(rank: Rank) -> None:
    rank.stage()
    rank.fake_mlx()
    done = rank.run(
        f"import importlib.util\nassert importlib.util.find_spec('mlx.core')\nimport mlx.core\nmlx.core.distributed.world = 1\n{INIT}"
    )
    assert done.returncode == 1
    assert "world of 1" in done.stderr


# -- a world of one, with the real MLX


def test_ring_whose_hostfile_the_program_has_removed_from_its_environment(rank: Rank) -> None:
    rank.stage("ring", 4)
    done = rank.run(f"import os\ndel os.environ['MLX_HOSTFILE']\n{INIT}", MLX_HOSTFILE="/tmp/hosts")
    assert done.returncode == 1
    assert (
        "RuntimeError: this job has 4 ranks, and rank 1 found itself in a world of 1: "
        "backend ring did not come up: MLX_HOSTFILE is gone, or was changed by the program"
    ) in done.stderr


@pytest.mark.parametrize("call", ["backend='mpi'", "False, 'mpi'"])
def test_program_that_asks_for_another_backend_than_it_is_launched_with(rank: Rank, call: str) -> None:
    rank.stage("ring")
    done = rank.run(f"import mlx.core as mx\nmx.distributed.init({call})\n", MLX_MPI_LIBNAME="/nowhere/libmpi.so")
    assert done.returncode == 1
    assert "found itself in a world of 1: the script asks for backend mpi; launch it with --backend mpi" in done.stderr


def test_mpi_without_its_library_names_what_was_to_be_loaded(rank: Rank) -> None:
    rank.stage("mpi")
    done = rank.run(INIT, MLX_MPI_LIBNAME="/nowhere/libmpi.so")
    assert done.returncode == 1
    assert "backend mpi did not come up: this MLX does not have it, or cannot load it (MLX_MPI_LIBNAME: /nowhere/libmpi.so)" in done.stderr


def test_init_reads_as_before(rank: Rank) -> None:
    rank.stage()
    done = rank.run("import mlx.core as mx\nprint(mx.distributed.init.__name__, 'Initialize' in mx.distributed.init.__doc__)\n")
    assert (done.stdout, done.stderr) == ("init True\n", "")


def test_world_of_one_that_is_wanted_is_not_watched() -> None:
    assert watching_modules("ring", 1) == {}


def test_world_of_all_ranks_is_given_to_the_program(rank: Rank) -> None:
    rank.stage()
    rank.fake_mlx()
    done = rank.run(f"{INIT}print(group.size())\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\nfinalized\n", "")


# -- the end under MPI


#: What ends a program, its exit status, and what it prints before it finalizes, or instead.
ENDS = {
    "end": ("print('end')", 0, "end\nfinalized\n"),
    "exit 0": ("sys.exit(0)", 0, "finalized\n"),
    "exit": ("sys.exit()", 0, "finalized\n"),
    "exit 7": ("sys.exit(7)", 7, ""),
    "exit 256 is 0": ("sys.exit(256)", 0, "finalized\n"),
    "text": ("sys.exit('wrong')", 1, ""),
    "builtin": ("exit(7)", 7, ""),
    "in a function": ("def main():\n    sys.exit(7)\nmain()", 7, ""),
    "in finally": ("try:\n    sys.exit(7)\nfinally:\n    print('finally')", 7, "finally\n"),
    "in with": ("with open('/dev/null'):\n    sys.exit(7)", 7, ""),
    "in a loop": ("while True:\n    sys.exit(7)", 7, ""),
    "by exec": ("exec('sys.exit(7)')", 7, ""),
    "caught": ("try:\n    sys.exit(7)\nexcept SystemExit:\n    print('on')", 0, "on\nfinalized\n"),
    "caught, same line": ("for code in (7, None):\n    try: sys.exit(code)\n    except SystemExit: print('on')", 0, "on\non\nfinalized\n"),
    "caught around exec": ("try:\n    exec('sys.exit(7)')\nexcept SystemExit:\n    print('on')", 0, "on\nfinalized\n"),
    "caught, then 0": ("try:\n    sys.exit(7)\nexcept SystemExit:\n    sys.exit(0)", 0, "finalized\n"),
    "of a thread": (
        "import threading\nthread = threading.Thread(target=sys.exit, args=[7])\nthread.start()\nthread.join()",
        0,
        "finalized\n",
    ),
    "exception": ("1 / 0", 1, ""),
    "interrupt": ("raise KeyboardInterrupt", 130, ""),
    "at exit": ("import atexit\natexit.register(print, 'at exit')\nsys.exit(7)", 7, "at exit\n"),
    "exception at exit": ("import atexit\natexit.register(print, 'at exit')\n1 / 0", 1, "at exit\n"),
    "unflushed": ("sys.stdout.write('no newline')\nsys.exit(7)", 7, "no newline"),
    "closed stdout": ("sys.stdout.close()\nsys.exit(7)", 7, ""),
}
if sys.version_info >= (3, 12):
    ENDS |= {
        "raised": ("raise SystemExit(7)", 7, ""),
        "raised by a function's result": ("def main():\n    return 7\nraise SystemExit(main())", 7, ""),
        "imported": ("from sys import exit\nexit(7)", 7, ""),
        "raised, 0": ("raise SystemExit(0)", 0, "finalized\n"),
    }


@pytest.mark.parametrize(("end", "status", "said"), ENDS.values(), ids=ENDS)
def test_failing_rank_does_not_finalize_and_others_do(rank: Rank, end: str, status: int, said: str) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import sys\n{INIT}{end}\n")
    assert (done.returncode, done.stdout) == (status, said), done.stderr


def test_text_of_an_exit_and_a_traceback_are_printed_once(rank: Rank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    assert rank.run(f"import sys\n{INIT}sys.exit('wrong')\n").stderr == "wrong\n"
    assert rank.run(f"{INIT}1 / 0\n").stderr.count("ZeroDivisionError") == 1


def test_hook_of_the_program_for_exceptions_is_called(rank: Rank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import sys\nsys.excepthook = lambda kind, *_: print('theirs', kind.__name__)\n{INIT}1 / 0\n")
    assert (done.returncode, done.stdout) == (1, "theirs ZeroDivisionError\n")


def test_failure_before_mpi_is_up_ends_as_always(rank: Rank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run("import sys\nimport mlx.core\nmlx.core.group = mlx.core.Group(2)\nsys.exit(7)\n")
    assert (done.returncode, done.stdout) == (7, "finalized\n")


@pytest.mark.parametrize("backend", ["ring", "jaccl"])
def test_other_backends_end_as_always(rank: Rank, backend: str) -> None:
    rank.stage(backend)
    rank.fake_mlx()
    done = rank.run(f"import sys\n{INIT}sys.exit(7)\n")
    assert (done.returncode, done.stdout) == (7, "finalized\n")


def test_module_run_as_a_program_ends_as_a_script_does(rank: Rank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    (rank.user / "package").mkdir()
    (rank.user / "package/__main__.py").write_text(f"import sys\n{INIT}with open('/dev/null'):\n    sys.exit(7)\n")
    done = rank.run("", "-m", "package")
    assert (done.returncode, done.stdout) == (7, ""), done.stderr


def test_signal_is_no_business_of_ours(rank: Rank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import os, signal\n{INIT}os.kill(os.getpid(), signal.SIGTERM)\n")
    assert done.returncode == -signal.SIGTERM
