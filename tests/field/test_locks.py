"""Locks as people have them, and pip and uv as people have configured them: installed as locked, or one line says why not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.lockfile import Lock, read_lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.locks import uv_lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.wheelhouse import fill_wheelhouse
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.integration.cluster import MLXLAUNCH
from tests.integration.deploying import Site, where
from tests.unit.environments import Index, lock_line, make_wheel, run, serve_index

BASE = sys._base_executable  # type: ignore[attr-defined]
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
HOME = '[project]\nname = "home"\nversion = "1"\nrequires-python = ">=3.11"\n'
BUILT = '[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n'
MEMBER = '[project]\nname = "member"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tiny"]\n'
SOURCES = '[tool.uv.sources]\nmember = { workspace = true }\n[tool.uv.workspace]\nmembers = ["libs/*"]\n'
OPTIONAL = '[project.optional-dependencies]\nmetal = ["mlx"]\nplain = ["side"]\n[dependency-groups]\ndev = ["side"]\ntrain = ["mlx"]\n'


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the path of a uv, from beside this Python or from the index."""
    beside = Path(sys.executable).with_name("uv")
    if beside.exists():
        return str(beside)
    folder = tmp_path_factory.mktemp("uv")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--retries", "0", "--target", str(folder), "uv"]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("uv cannot be installed here: no index")
    return str(folder / "bin/uv")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory of wheels: one that all need, MLX and what it needs, one more, and one of an index of its own."""
    folder = tmp_path_factory.mktemp("stock")
    make_wheel(folder, "tiny")
    make_wheel(folder, "mlx", files={"mlx/core.py": ""}, requires="base")
    make_wheel(folder, "base")
    make_wheel(folder, "side")
    make_wheel(folder, "winonly", tag="py3-none-win_amd64")
    return folder


@pytest.fixture(scope="module")
def index(stock: Path) -> Iterator[Index]:
    with serve_index(stock) as index:
        yield index


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home without any configuration of pip and uv."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "XDG_CONFIG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return home


# -- uv.lock


@dataclass(frozen=True)
class Project:
    """A project of uv: its pyproject.toml, other files, what is read of it and what comes of that."""

    id: str
    pyproject: str
    packages: str = ""  # their names
    complaint: str = ""
    warning: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    name: str = "uv.lock"
    variables: Mapping[str, str] = field(default_factory=dict)


NEEDS = HOME + 'dependencies = ["tiny"]\n'
EMPTY = HOME + "dependencies = []\n"
WITH_MEMBER = HOME + 'dependencies = ["side", "member"]\n' + SOURCES
AT_ROOT = {"libs/member/pyproject.toml": MEMBER}
PROJECTS = (
    Project("plain", NEEDS, "tiny"),
    Project("by its pyproject", NEEDS, "tiny", name="pyproject.toml"),
    Project("dev group is left", NEEDS + '[dependency-groups]\ndev = ["side"]\n', "tiny"),
    Project("dev group is asked for", NEEDS + '[dependency-groups]\ndev = ["side"]\n', "tiny side", groups=("dev",)),
    Project("default groups", NEEDS + '[dependency-groups]\nmore = ["side"]\n[tool.uv]\ndefault-groups = ["more"]\n', "tiny side"),
    Project(
        "mlx in an extra", NEEDS + OPTIONAL, "tiny", warning="mlx is locked, but not in the environment: it is in extra metal, group train;"
    ),
    Project("extra", NEEDS + OPTIONAL, "tiny mlx base", extras=("metal",)),
    Project("another extra", NEEDS + OPTIONAL, "tiny side", extras=("plain",), warning="it is in extra metal, group train"),
    Project("two extras", NEEDS + OPTIONAL, "tiny side mlx base", extras=("plain", "metal")),
    Project("group", NEEDS + OPTIONAL, "tiny mlx base", groups=("train",)),
    Project("extra and group", NEEDS + OPTIONAL, "tiny mlx base side", extras=("plain",), groups=("train",)),
    Project("unknown extra", NEEDS, complaint="uv export: error: Extra `gpu` is not defined", extras=("gpu",)),
    Project("unknown group", NEEDS, complaint="uv export: error: Group `gpu` is not defined", groups=("gpu",)),
    Project("all optional", EMPTY + OPTIONAL, complaint="needs no packages; it has extra metal, extra plain, group dev, group train"),
    Project("all optional, chosen", EMPTY + OPTIONAL, "side", extras=("plain",), warning="mlx is locked"),
    Project("nothing", EMPTY, complaint="it is locked, but the project there needs no packages"),
    Project("marker", HOME + "dependencies = [\"tiny ; sys_platform == 'darwin'\"]\n", "tiny"),
    Project("another platform", HOME + 'dependencies = ["tiny", "winonly ; sys_platform == \'win32\'"]\n', "tiny winonly"),
    Project("workspace", WITH_MEMBER, "side tiny", files=AT_ROOT, warning="./libs/member not in the environment: local code"),
    Project(
        "built member", WITH_MEMBER, "side tiny", files={"libs/member/pyproject.toml": MEMBER + BUILT}, warning="./libs/member not in the"
    ),
    Project("of a member", WITH_MEMBER, "tiny", files=AT_ROOT, name="libs/member/pyproject.toml"),
    Project("virtual root", '[tool.uv.workspace]\nmembers = ["libs/*"]\n', "tiny", files=AT_ROOT),
    Project(
        "virtual root's group",
        '[tool.uv.workspace]\nmembers = ["libs/*"]\n[dependency-groups]\nx = ["side"]\n',
        "tiny side",
        files=AT_ROOT,
        groups=("x",),
    ),
    Project(
        "member's extra",
        '[tool.uv.workspace]\nmembers = ["libs/*"]\n',
        "tiny mlx base",
        extras=("metal",),
        files={"libs/member/pyproject.toml": MEMBER + '[project.optional-dependencies]\nmetal = ["mlx"]\n'},
    ),
    Project(
        "path",
        HOME + 'dependencies = ["side", "lib"]\n[tool.uv.sources]\nlib = { path = "lib" }\n',
        "side tiny",
        files={"lib/pyproject.toml": MEMBER.replace("member", "lib") + BUILT},
        warning="./lib not in the environment",
    ),
    Project("src layout", NEEDS + BUILT + "[tool.uv]\npackage = true\n", "tiny"),
    Project("UV_LOCKED", NEEDS, "tiny", variables={"UV_LOCKED": "1"}),
    Project("UV_PROJECT", NEEDS, "tiny", variables={"UV_PROJECT": "/nowhere"}),
    Project(
        "UV_NO_SYNC and more", NEEDS, "tiny", variables={"UV_FROZEN": "1", "UV_OFFLINE": "1", "UV_NO_GROUP": "x", "UV_INDEX": "https://x"}
    ),
    Project("UV_CONFIG_FILE", NEEDS, "tiny", variables={"UV_CONFIG_FILE": "/nowhere/uv.toml"}),
    Project("uv.toml", NEEDS, "tiny", files={"uv.toml": 'required-version = "==0.0.1"\n'}),
    Project(
        "no lock",
        NEEDS,
        complaint="there is no uv.lock beside it; make one with `uv lock`",
        name="sub/pyproject.toml",
        files={"sub/pyproject.toml": NEEDS.replace("home", "sub")},
    ),
)


@pytest.mark.sweep
@pytest.mark.parametrize("row", PROJECTS, ids=lambda row: row.id)
def test_uv_lock(row: Project, tmp_path: Path, uv: str, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    for name, text in {"pyproject.toml": row.pyproject, **row.files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if row.id != "no lock":
        argv = [uv, "lock", "--quiet", "--no-config", "--python", sys.executable, "--default-index", index.url]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name, value in row.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(uv_lock, "find_uv", lambda: uv)
    assert_read(row, folder / row.name)
    if row.packages:
        assert read_lock(folder / row.name, row.extras, row.groups).index_options == ("--index-url", index.url)


def assert_read(row: Project, path: Path) -> None:
    """Read a lock; compare its packages, the complaint, and the warning."""
    if row.complaint:
        with pytest.raises(UsageError) as refused:
            read_lock(path, row.extras, row.groups)
        assert row.complaint in str(refused.value)
        assert str(path) in str(refused.value)
        return
    lock = read_lock(path, row.extras, row.groups)
    assert sorted(lock.packages) == sorted(row.packages.split())
    assert row.warning in "\n".join(lock.warnings)
    assert bool(row.warning) == bool(lock.warnings), lock.warnings


# -- pylock.toml


def entry(name: str, more: str = "", digest: str = "a" * 64) -> str:
    wheel = f'wheels = [{{ url = "https://x/{name}-1.0-py3-none-any.whl", hashes = {{ sha256 = "{digest}" }} }}]\n'
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}{wheel}'


HEAD = 'lock-version = "1.0"\ncreated-by = "x"\n'
CHOICES = HEAD + 'extras = ["metal"]\ndependency-groups = ["train", "usual"]\ndefault-groups = ["usual"]\n'
CHOSEN = CHOICES + entry("tiny") + entry("mlx", "marker = \"'metal' in extras or 'train' in dependency_groups\"\n")
SDIST = '[[packages]]\nname = "old"\nversion = "1.0"\nsdist = {{ url = "https://x/old.tar.gz", hashes = {{ sha256 = "{a}" }} }}\n'.format(
    a="a" * 64
)
PYLOCKS = (
    Project("plain", HEAD + entry("tiny"), "tiny"),
    Project("byte order mark", "\ufeff" + HEAD + entry("tiny"), "tiny"),
    Project("named", HEAD + entry("tiny"), "tiny", name="pylock.train.toml"),
    Project("marker", HEAD + entry("tiny", "marker = \"sys_platform == 'darwin'\"\n"), "tiny"),
    Project(
        "extra not asked for", CHOSEN, "tiny", warning="mlx is locked, but not in the environment: it is in one of extra metal, group train"
    ),
    Project("extra", CHOSEN, "tiny mlx", extras=("metal",)),
    Project("group", CHOSEN, "tiny mlx", groups=("train",)),
    Project("default group", CHOICES + entry("tiny", "marker = \"'usual' in dependency_groups\"\n"), "tiny"),
    Project("not in", CHOICES + entry("tiny") + entry("cpu", "marker = \"'metal' not in extras\"\n"), "tiny", extras=("metal",)),
    Project(
        "with a platform",
        CHOICES + entry("tiny", "marker = \"'metal' in extras and sys_platform == 'darwin'\"\n"),
        "tiny",
        extras=("metal",),
    ),
    Project("unknown extra", CHOSEN, complaint="no extra gpu in it; it has metal", extras=("gpu",)),
    Project("unknown group", HEAD + entry("tiny"), complaint="no group gpu in it; it has none", groups=("gpu",)),
    Project(
        "all optional",
        CHOICES + entry("x", "marker = \"'metal' in extras\"\n"),
        complaint="no packages in it without extra metal, group train",
    ),
    Project("empty", HEAD, complaint="no packages in it"),
    Project("only source", HEAD + SDIST, complaint="old==1.0 has no wheel, only its source; build one (`pip wheel"),
    Project("only source elsewhere", HEAD + entry("tiny") + SDIST + "marker = \"sys_platform == 'win32'\"\n", "tiny old"),
    Project(
        "directory",
        HEAD + entry("tiny") + '[[packages]]\nname = "mine"\ndirectory = { path = "." }\n',
        "tiny",
        warning=". not in the environment",
    ),
    Project(
        "repository",
        HEAD + '[[packages]]\nname = "mine"\nvcs = { type = "git", url = "https://x/mine", commit-id = "1" }\n',
        complaint="mine is from https://x/mine, and only packages with wheels",
    ),
    Project(
        "archive",
        HEAD + '[[packages]]\nname = "mine"\narchive = { url = "https://x/m.zip", hashes = { sha256 = "1" } }\n',
        complaint="mine is from",
    ),
    Project("future", HEAD.replace("1.0", "2.0") + entry("tiny"), complaint="lock-version 2.0: only 1.x is known"),
    Project("later", HEAD.replace("1.0", "1.1") + entry("tiny"), "tiny"),
    Project("no version of the format", entry("tiny"), complaint="not as PEP 751 has it"),
    Project("not TOML", "tiny==1.0\n", complaint="not TOML"),
    Project(
        "no hashes", HEAD + '[[packages]]\nname = "a"\nversion = "1"\nwheels = [{ url = "https://x/a.whl" }]\n', complaint="not as PEP 751"
    ),
    Project(
        "weak hashes",
        HEAD + '[[packages]]\nname = "a"\nversion = "1"\nwheels = [{ url = "x", hashes = { md5 = "ab" } }]\n',
        complaint="a==1 has no sha256 hash",
    ),
)


@pytest.mark.sweep
@pytest.mark.parametrize("row", PYLOCKS, ids=lambda row: row.id)
def test_pylock(row: Project, tmp_path: Path) -> None:
    path = tmp_path / (row.name if row.name != "uv.lock" else "pylock.toml")
    path.write_text(row.pyproject, encoding="utf-8")
    assert_read(row, path)


@pytest.mark.parametrize("choice", [(), ("metal",)], ids=["", "extra"])
def test_pylock_of_uv_reads_as_its_uv_lock(
    choice: tuple[str, ...], tmp_path: Path, uv: str, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv_lock, "find_uv", lambda: uv)
    (tmp_path / "pyproject.toml").write_text(NEEDS + OPTIONAL)
    words = [word for name in choice for word in ("--extra", name)]
    for argv in (
        ["lock", "--default-index", index.url],
        ["export", "--frozen", "--no-dev", "--format", "pylock.toml", "-o", "pylock.toml", *words],
    ):
        subprocess.run([uv, *argv, "--quiet", "--python", sys.executable], cwd=tmp_path, check=True)
    mine, theirs = read_lock(tmp_path / "pylock.toml"), read_lock(tmp_path / "uv.lock", choice)
    assert (mine.sha256, mine.index_options) == (theirs.sha256, theirs.index_options)


# -- requirements

PIN = f"tiny==1.0 --hash={A}\n"
REQUIREMENTS = (
    ("CRLF", PIN.replace(" --", " \\\r\n  --").encode(), "tiny"),
    ("blank lines", b"\n\n" + PIN.encode() + b"\n  \n\t\n", "tiny"),
    ("no newline at the end", PIN.strip().encode(), "tiny"),
    ("byte order mark", b"\xef\xbb\xbf" + PIN.encode(), "tiny"),
    ("UTF-16", PIN.encode("utf-16"), "tiny"),
    ("comment in another script", f"# für ada\n{PIN}".encode(), "tiny"),
    ("include", b"-r other.txt\n" + PIN.encode(), "other tiny"),
    ("include of an include", b"-r deep/one.txt\n", "two"),
    ("long option of an include", b"--requirement=other.txt\n", "other"),
    ("hashes of several kinds", PIN.strip().encode() + b" --hash=md5:abcd --hash=sha512:" + b"c" * 128, "tiny"),
    ("options that are idle", b"--pre\n--only-binary :all:\n--prefer-binary\n--require-hashes\n" + PIN.encode(), "tiny"),
    ("url of a variable", b"--index-url https://${WHO}@x/simple\n" + PIN.encode(), "tiny"),
)
REFUSED = (
    ("latin-1", "# für ada\n".encode("latin-1") + PIN.encode(), "cannot be read"),
    ("include of itself", b"-r lock.txt\n", "includes itself"),
    ("include that is not there", b"-r none.txt\n", "lock.txt:1: -r none.txt: no such file here"),
    ("include without hashes", b"-r loose.txt\n", "loose.txt:1: loose==1.0 has no hash"),
    ("include of an address", b"-r https://x/lock.txt\n", "no such file here"),
    ("constraint", b"-c other.txt\n" + PIN.encode(), "a constraint has no place in it"),
    ("md5 alone", b"tiny==1.0 --hash=md5:abcd\n", "has no sha256 hash"),
    ("sha512 alone", b"tiny==1.0 --hash=sha512:" + b"c" * 128, "has no sha256 hash"),
    ("no-binary", b"--no-binary tiny\n" + PIN.encode(), "this option of pip has no place in a lock"),
    ("option of a requirement", b'tiny==1.0 --config-settings="a=b" --hash=' + A.encode(), "want NAME==VERSION"),
    ("git", b"mine @ git+https://x/mine\n", "neither a repository"),
    ("address with a hash", b"mine @ https://x/mine-1.0-py3-none-any.whl --hash=" + A.encode(), "neither a repository"),
    ("wheel beside", b"./mine-1.0-py3-none-any.whl\n", "neither a repository"),
    ("editable", b"-e ./mine\n", "an editable package"),
    ("loose", b"tiny\n", "want NAME==VERSION"),
)


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give files that a requirements file may include, and a variable for its options."""
    monkeypatch.setenv("WHO", "ada")
    (tmp_path / "deep").mkdir()
    (tmp_path / "other.txt").write_text(f"other==1.0 --hash={B}\n")
    (tmp_path / "deep/one.txt").write_text("-r two.txt\n")
    (tmp_path / "deep/two.txt").write_text(f"two==1.0 --hash={B}\n")
    (tmp_path / "loose.txt").write_text("loose==1.0\n")


@pytest.mark.sweep
@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(("content", "packages"), [row[1:] for row in REQUIREMENTS], ids=[row[0] for row in REQUIREMENTS])
def test_requirements(content: bytes, packages: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_bytes(content)
    lock = read_lock(tmp_path / "lock.txt")
    assert sorted(lock.packages) == packages.split()
    assert "md5" not in lock.text
    assert lock.index_options in [(), ("--index-url", "https://ada@x/simple")]


@pytest.mark.sweep
@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(("content", "complaint"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_requirements_that_do_not_lock_are_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(complaint)) as refused:
        read_lock(tmp_path / "lock.txt")
    assert "\n" not in str(refused.value)


def test_extras_of_a_requirements_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text(PIN)
    with pytest.raises(UsageError, match="lock_extra and lock_group choose from a uv.lock or pylock.toml"):
        read_lock(tmp_path / "lock.txt", ["metal"])


# -- the configuration of pip and uv on a host

PIP_CONF = (
    "user = true",
    "target = /nowhere",
    "prefix = /nowhere",
    "root = /nowhere",
    "no-binary = :all:",
    "constraint = /nowhere/c.txt",
    "require-virtualenv = true",
    "no-index = true",
    "index-url = http://127.0.0.1:9/simple",
    "only-binary = :none:",
    "no-deps = false",
    "requirement = /nowhere/r.txt",
    "quiet = 3",
    "log = /nowhere/log",
    "platform = win_amd64",
    "python = /nowhere/python",
    "no-input = false",
    "report = /nowhere/r.json",
    "find-links = /nowhere",
)
VARIABLES = (
    "PIP_USER=1",
    "PIP_TARGET=/nowhere",
    "PIP_CONSTRAINT=/nowhere/c.txt",
    "PIP_NO_BINARY=:all:",
    "PIP_DRY_RUN=1",
    "PIP_REQUIRE_VIRTUALENV=1",
    "PIP_NO_INDEX=1",
    "PIP_CONFIG_FILE=/nowhere/pip.conf",
    "PIP_BUILD_CONSTRAINT=/nowhere/c.txt",
    "PIP_PYTHON=/nowhere/python",
)
UV_TOML = (
    "[pip]\ntarget = '/nowhere'",
    "[pip]\nprefix = '/nowhere'",
    "[pip]\nno-binary = [':all:']",
    "[pip]\nsystem = true",
    "[pip]\nno-deps = false",
    "exclude-newer = '2001-01-01T00:00:00Z'",
    "offline = true",
    "required-version = '==0.0.1'",
    "[pip]\npython-platform = 'windows'",
    "no-index = true",
    "index-url = 'http://127.0.0.1:9/simple'",
    "[[index]]\nname = 'x'\nurl = 'http://127.0.0.1:9/simple'\ndefault = true",
    "python-preference = 'only-managed'",
    "constraint-dependencies = ['tiny>5']",
    "not TOML",
)
UV_VARIABLES = (
    "UV_TARGET=/nowhere",
    "UV_SYSTEM_PYTHON=1",
    "UV_CONSTRAINT=/nowhere/c.txt",
    "UV_OVERRIDE=/nowhere/o.txt",
    "UV_NO_BINARY=1",
    "UV_EXCLUDE_NEWER=2001-01-01",
    "UV_OFFLINE=1",
    "UV_NO_INDEX=1",
    "UV_CONFIG_FILE=/nowhere/uv.toml",
    "UV_LOCKED=1",
    "UV_PYTHON=2.7",
    "UV_DRY_RUN=1",
    "UV_PROJECT_ENVIRONMENT=/nowhere",
    "UV_INDEX_STRATEGY=first-index",
    "UV_RESOLUTION=lowest",
)


def built(tmp_path: Path, lock: Lock | str, **more: object) -> dict[str, object]:
    """Make an environment here, as a host does."""
    text, options = (lock.text, list(lock.index_options)) if isinstance(lock, Lock) else (lock, [])
    spec = {
        "root": str(tmp_path / "root"),
        "key": "k",
        "python": BASE,
        "lock": text,
        "wheels": "",
        "index_url": "",
        "index_options": options,
    }
    return dict(environment.build({**spec, **more}, run, lambda _line: None))


@pytest.fixture
def with_uv(uv: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda run: uv)


@pytest.fixture(scope="module")
def made_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "venv"
    subprocess.run([BASE, "-m", "venv", str(path)], check=True)
    return path


@pytest.fixture
def with_pip(made_venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip without the seconds that venv takes: environments begin as copies of one."""
    step = environment._step
    monkeypatch.setattr(environment, "find_uv", lambda run: "")

    def copy_or_step(spec: dict[str, object], run: object, progress: object, argv: list[str]) -> None:
        step(spec, run, progress, ["cp", "-a", f"{made_venv}/.", argv[-1]] if argv[1:4] == ["-I", "-m", "venv"] else argv)

    monkeypatch.setattr(environment, "_step", copy_or_step)


def assert_has(done: Mapping[str, object], **distributions: str) -> None:
    assert (done["error"], done["description"]["distributions"]) == ("", distributions)  # type: ignore[index]


def inside(text: str, home: Path) -> str:
    """Return a setting whose places are below the test's own directory: an install that heeds it must do no harm."""
    return text.replace("/nowhere", str(home.parent / "nowhere"))


def apply(text: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure pip or uv: a variable, a line of pip.conf, or a uv.toml."""
    text, pip = inside(text, home), text in PIP_CONF
    name, equals, value = text.partition("=")
    if equals and name.startswith(("PIP_", "UV_")):
        monkeypatch.setenv(name, value)
        return
    path = home / (".config/pip/pip.conf" if pip else ".config/uv/uv.toml")
    path.parent.mkdir(parents=True)
    path.write_text(f"[global]\n{text}\n" if pip else text + "\n")


@pytest.mark.sweep
@pytest.mark.usefixtures("with_uv")
@pytest.mark.parametrize("setting", [*UV_TOML, *UV_VARIABLES])
def test_uv_of_a_host_is_configured(
    setting: str, tmp_path: Path, own_home: Path, stock: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(setting, own_home, monkeypatch)
    done = built(tmp_path, lock_line(stock / "tiny-1.0-py3-none-any.whl"), index_url=index.url)
    assert_has(done, tiny="1.0")
    assert ("uv.toml is not followed" in str(done["warnings"])) == (setting == "not TOML")


@pytest.mark.sweep
@pytest.mark.usefixtures("with_pip")
@pytest.mark.parametrize("settings", [PIP_CONF, VARIABLES], ids=["pip.conf", "variables"])
def test_pip_of_a_host_is_configured(
    settings: tuple[str, ...], tmp_path: Path, own_home: Path, stock: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, as each costs seconds: an install that heeded one of them would fail."""
    if settings is PIP_CONF:
        (own_home / ".config/pip").mkdir(parents=True)
        (own_home / ".config/pip/pip.conf").write_text(inside("[global]\n" + "\n".join(settings) + "\n", own_home))
    else:
        for setting in settings:
            apply(setting, own_home, monkeypatch)
    assert_has(built(tmp_path, lock_line(stock / "tiny-1.0-py3-none-any.whl"), index_url=index.url), tiny="1.0")


#: How people name their index, for each tool.
CONFIGURED = (
    ("with_uv", "uv.toml", "index-url = '{url}'"),
    ("with_uv", "uv.toml", "extra-index-url = ['{url}']\nno-cache = true"),
    ("with_uv", "uv.toml", "[[index]]\nname = 'mine'\nurl = '{url}'\ndefault = true"),
    ("with_uv", "uv.toml", "[[index]]\nurl = '{url}'"),
    ("with_uv", "uv.toml", "[pip]\nindex-url = '{url}'\ntarget = '/nowhere'"),
    ("with_uv", "uv.toml", "find-links = ['{wheels}']\nno-index = true"),
    ("with_uv", "UV_DEFAULT_INDEX", "{url}"),
    ("with_uv", "UV_INDEX", "mine={url}"),
    ("with_pip", "pip.conf", "index-url = {url}\nuser = true"),
    ("with_pip", "pip.conf", "no-index = true\nfind-links = {wheels}"),
)


@pytest.mark.sweep
@pytest.mark.parametrize(("tool", "place", "text"), CONFIGURED)
def test_configured_index_of_a_host_serves(
    tool: str, place: str, text: str, tmp_path: Path, own_home: Path, stock: Path, index: Index, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(tool)
    value = inside(text.format(url=index.url, wheels=stock), own_home)
    if place[0].islower():
        path = own_home / ".config" / place.partition(".")[0] / place
        path.parent.mkdir(parents=True)
        path.write_text(("[global]\n" if place == "pip.conf" else "") + value + "\n")
    else:
        request.getfixturevalue("monkeypatch").setenv(place, value)
    if "extra" in text or place == "UV_INDEX" or text.startswith("[[index]]\nurl"):
        request.getfixturevalue("monkeypatch").setenv("UV_DEFAULT_INDEX", index.url)  # PyPI is not asked by tests
    assert_has(built(tmp_path, lock_line(stock / "side-1.0-py3-none-any.whl")), side="1.0")


# -- several indexes, and what has no wheel


@pytest.fixture
def two_indexes(tmp_path: Path) -> Iterator[tuple[Index, Index, Path]]:
    """Give two indexes that know a package in different versions, and the wheel of the first."""
    wheel = make_wheel(tmp_path / "first", "six")
    make_wheel(tmp_path / "second", "six", "0.5")
    make_wheel(tmp_path / "second", "torch", "2.0+cpu")
    with ExitStack() as stack:
        first, second = (stack.enter_context(serve_index(tmp_path / name)) for name in ("first", "second"))
        yield first, second, wheel


@pytest.mark.parametrize("tool", ["with_uv", "with_pip"])
def test_every_index_of_a_lock_is_asked(
    tool: str, tmp_path: Path, two_indexes: tuple[Index, Index, Path], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(tool)
    first, second, wheel = two_indexes
    lock = tmp_path / "lock.txt"
    lock.write_text(f"--index-url {first.url}\n--extra-index-url {second.url}\n{lock_line(wheel)}")
    assert_has(built(tmp_path, read_lock(lock)), six="1.0")


def test_explicit_index_of_a_uv_lock_is_not_lost(
    tmp_path: Path, uv: str, two_indexes: tuple[Index, Index, Path], with_uv: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _wheel = two_indexes
    monkeypatch.setattr(uv_lock, "find_uv", lambda: uv)
    project = tmp_path / "project"
    project.mkdir()
    indexes = (
        f'[[tool.uv.index]]\nname = "cpu"\nurl = "{second.url}"\nexplicit = true\n[[tool.uv.index]]\nurl = "{first.url}"\ndefault = true\n'
    )
    text = HOME + 'dependencies = ["six", "torch"]\n[tool.uv.sources]\ntorch = { index = "cpu" }\n' + indexes
    (project / "pyproject.toml").write_text(text)
    subprocess.run([uv, "lock", "--quiet", "--python", sys.executable], cwd=project, check=True)
    lock = read_lock(project / "uv.lock")
    assert_has(built(tmp_path, lock), six="1.0", torch="2.0+cpu")
    # Another index in the place of all does not have it: that is said.
    shutil.rmtree(tmp_path / "root")
    error = str(built(tmp_path, lock, index_url=first.url)["error"])
    assert "there is no wheel of torch==2.0+cpu" in error
    assert "a version with a + is on an index of its own" in error


@pytest.mark.parametrize("tool", ["with_uv", "with_pip"])
def test_package_with_only_its_source_is_named(tool: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(tool)
    (tmp_path / "sources").mkdir()
    source = tmp_path / "sources/old-1.0.tar.gz"
    source.write_bytes(b"not looked into")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    done = built(tmp_path, f"old==1.0 --hash=sha256:{digest}\n", index_options=["--no-index", "--find-links", str(source.parent)])
    assert "there is no wheel of old" in str(done["error"])
    assert "if it has only its source, build a wheel, and lock again with --find-links to it" in str(done["error"])


# -- the controller


@pytest.mark.parametrize("settings", [PIP_CONF, VARIABLES, ("no-index = true",)], ids=["pip.conf", "variables", "no-index"])
def test_wheelhouse_is_filled_whatever_pip_is_configured_to(
    settings: tuple[str, ...], tmp_path: Path, own_home: Path, stock: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings is VARIABLES:
        for setting in settings:
            apply(setting, own_home, monkeypatch)
    else:
        (own_home / ".config/pip").mkdir(parents=True)
        (own_home / ".config/pip/pip.conf").write_text(
            inside("[global]\n" + "\n".join(settings) + "\n[download]\ndest = /nowhere\n", own_home)
        )
    (tmp_path / "lock.txt").write_text(lock_line(stock / "tiny-1.0-py3-none-any.whl"))
    house = tmp_path / "house"
    found = fill_wheelhouse(read_lock(tmp_path / "lock.txt"), house, "3.12.4", ["macosx_14_0_arm64"], index.url, lambda _line: None)
    assert list(found.hashes) == ["tiny-1.0-py3-none-any.whl"]


def test_extra_of_a_uv_lock_reaches_hosts(site: Site, uv: str, stock: Path, index: Index) -> None:
    """By the command line, over ssh; without the extra, a warning says what is missing."""
    site.file("pyproject.toml", NEEDS + OPTIONAL)
    subprocess.run([uv, "lock", "--quiet", "--python", sys.executable, "--default-index", index.url], cwd=site.here, check=True)
    words = ["--environment", "uv.lock", "--wheelhouse", stock, "--python", BASE]
    env = {"PATH": f"{Path(uv).parent}:{site.cluster.env['PATH']}"}
    chosen = site.sync(*words, "--lock-extra", "metal", env=env)
    host = site.hosts[0]
    assert host.run([where(chosen)["python"], "-c", "import mlx.core"]).returncode == 0
    assert "mlx is locked" not in chosen.stderr
    plain = site.sync(*words, hosts=1, env=env)
    assert plain.stderr.count("mlx is locked, but not in the environment: it is in extra metal, group train") == 1
    refused = site.cluster._run([*MLXLAUNCH, "sync", "-i", site.inventory(1), *words, "--lock-extra", "gpu"], env=env)
    assert refused.returncode == 2
    assert "Extra `gpu` is not defined" in refused.stderr
