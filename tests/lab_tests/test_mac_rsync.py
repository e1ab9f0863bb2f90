"""The rsync of a Mac knows what openrsync documents and nothing else, and does the work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Host, Lab
from tests.lab.mac import personality
from tests.lab.mac.personality import rsync_client

pytestmark = pytest.mark.mac

Done = subprocess.CompletedProcess[str]

WRAPPER = Path(personality.__file__).parent / "tree/usr/bin/rsync"


@pytest.fixture
def host(lab: Lab) -> Host:
    """Give one Mac."""
    return lab.hosts[1]


def make_tree(place: Path) -> Path:
    """Make a directory with what is hard to copy."""
    (place / "nafta ü 日本/empty").mkdir(parents=True)
    (place / "-rf").write_text("x" * 100_000)
    (place / "run").write_text("#!/bin/sh\n")
    (place / "run").chmod(0o755)
    (place / "link").symlink_to("run")
    return place


def look(tree: Path) -> dict[str, object]:
    """What is in a directory, by relative path."""

    def content(path: Path) -> object:
        return str(path.readlink()) if path.is_symlink() else (path.stat().st_mode, path.is_file() and path.read_bytes())

    return {str(path.relative_to(tree)): content(path) for path in tree.rglob("*")}


def rsync(lab: Lab, client: Path | str, *words: str | Path) -> Done:
    """Run an rsync on the controller."""
    return lab.run([client, "-e", f"ssh -F {lab.ssh_config}", *words])


@pytest.mark.parametrize("user", ["root", "mlx"])
def test_rsync_says_that_it_is_openrsync(lab: Lab, user: str) -> None:
    for command in ("rsync --version", "rsync -V", "openrsync --version"):
        done = lab.ssh(f"{user}@node2", command)
        assert (done.returncode, done.stdout) == (0, "openrsync: protocol version 29\nrsync version 2.6.9 compatible\n")


@pytest.mark.parametrize("mac_client", [False, True])
def test_a_tree_gets_to_a_mac_and_back(lab: Lab, host: Host, tmp_path: Path, mac_client: bool) -> None:
    client = rsync_client(tmp_path) if mac_client else "/usr/bin/rsync"
    source = make_tree(tmp_path / "source")
    for options in ([], ["--delete", "--exclude", "*.tmp", "--timeout=60"]):
        done = rsync(lab, client, "-a", *options, f"{source}/", "node2:/srv/by rsync/")
        assert done.returncode == 0, done.stderr
    assert look(host.path("/srv/by rsync")) == look(source)
    done = rsync(lab, client, "-a", "node2:/srv/by rsync/", tmp_path / "back")
    assert done.returncode == 0, done.stderr
    assert look(tmp_path / "back") == look(source) != {}
    host.run(["rm", "-r", "/srv/by rsync"], check=True)


def test_macs_speak_a_protocol_without_incremental_lists(lab: Lab, tmp_path: Path) -> None:
    """Those came with protocol 30, and any rsync 3 uses them with any other."""
    source = make_tree(tmp_path / "source")
    done = rsync(lab, "/usr/bin/rsync", "-av", "--dry-run", f"{source}/", "node2:/srv/x/")
    assert "building file list" in done.stdout, done
    assert "incremental" not in done.stdout


REFUSED = """--info=progress2 --chown=0:0 --out-format=%n --mkpath --link-dest=/x --copy-dest=/x --partial --inplace --delete-after --stats
    --compress --checksum --files-from=/x --no-owner --xattrs --protect-args --del=1 --exclud=x --relative --log-file=/x --chmod=a+r
    --dirs --sender -z -c -H -aX -av8 -P -s -u -W"""


@pytest.mark.parametrize("option", REFUSED.split())
def test_what_openrsync_does_not_document_is_refused(option: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    done = run_wrapper(option, tmp_path / "source", tmp_path / "target")
    assert done.returncode == 1
    said = "unrecognized option `" + option if option.startswith("--") else f"invalid option -- {option[-1]}"
    assert done.stderr.startswith(f"rsync: {said}"), done.stderr
    assert "usage: rsync [-aDgIJlnOoprtVvx]" in done.stderr
    assert not (tmp_path / "target").exists()


KNOWN = """-aDgIJlnOoprtvx --archive --del --delete --devices --dry-run --group --ignore-times --links --no-motd --numeric-ids
    --owner --perms --recursive --size-only --specials --times --verbose --address=x --compare-dest=/x --contimeout=9
    --exclude=z --exclude-from=/dev/null --include=z
    --include-from=/dev/null --max-size=9 --min-size=1 --port=9 --rsh=x --rsync-path=x --timeout=9 -ex"""


def test_what_openrsync_documents_is_let_through(tmp_path: Path) -> None:
    """To a program that shows what it was called with: some of it makes sense only with a daemon."""
    for option in KNOWN.split():
        assert passed(tmp_path, option, "a", "b") == ["--protocol=29", option, "a", "b"]


def test_values_and_paths_are_not_taken_for_options(tmp_path: Path) -> None:
    for words in (["--exclude", "--info=x", "a", "b"], ["-ae", "ssh -z", "a", "b"], ["-a", "--", "--info=x", "-z"]):
        assert passed(tmp_path, *words) == ["--protocol=29", *words]


@pytest.mark.parametrize("words", [["-logDtpre.iLsfxCIvu", "."], ["-logDtprze.iLsfxCIvu", "."], ["-g", "-D", "-r", "--dirs", "."]])
def test_a_server_takes_what_clients_send(tmp_path: Path, words: list[str]) -> None:
    line = ["--server", "--sender", "--delete", *words, "--odd name", "-z"]
    if "z" in words[0].partition("e")[0]:
        assert "invalid option -- z" in run_wrapper(*line).stderr
    else:
        assert passed(tmp_path, *line) == ["--protocol=29", *line]


@pytest.mark.parametrize("option", ["--delete-before", "--partial", "--log-format=%i", "--usermap=*:0", "--compress-choice=zstd"])
def test_a_server_refuses_what_openrsync_does_not_know(option: str) -> None:
    done = run_wrapper("--server", "-logDtpre.iLsfxCIvu", option, ".", "/x")
    assert done.returncode == 1
    assert f"unrecognized option `{option}'" in done.stderr


def test_an_option_needs_its_value() -> None:
    for option in ("--exclude", "-e"):
        assert "requires an argument" in run_wrapper("a", "b", option).stderr
    assert "usage" in run_wrapper().stderr


def run_wrapper(*words: str | Path) -> Done:
    """Run the wrapper here, as a client of this machine."""
    return subprocess.run([WRAPPER, *words], text=True, capture_output=True, check=False, timeout=60)


def passed(place: Path, *words: str) -> list[str]:
    """What the wrapper hands to the real rsync."""
    real, wrapper = place / "real", place / "wrapper"
    real.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    real.chmod(0o755)
    source = WRAPPER.read_text()
    assert "real=/usr/libexec/mlxlab/rsync\n" in source
    wrapper.write_text(source.replace("real=/usr/libexec/mlxlab/rsync\n", f"real={real}\n"))
    done = subprocess.run(["sh", wrapper, *words], text=True, capture_output=True, check=True, timeout=60)
    return done.stdout.splitlines()
