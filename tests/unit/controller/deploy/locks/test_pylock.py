"""The pylock.toml of PEP 751; tests/field/test_locks.py has the kinds of them."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.locks import pylock

TEXT = """
lock-version = "1.0"
created-by = "test"
extras = ["metal"]

[[packages]]
name = "tiny"
version = "1.0"
marker = "'metal' in extras and sys_platform == 'darwin'"
index = "https://pkg.example/simple"
wheels = [{ path = "wheels/tiny-1.0-py3-none-any.whl", hashes = { sha256 = "ab" } }]
"""


def test_choices_of_a_marker_are_resolved_and_its_platform_stays() -> None:
    found = pylock.export(TEXT, "pylock.toml", ["metal"], [])
    assert found.text == "tiny==1.0 ; python_version >= '0' and sys_platform == 'darwin' --hash=sha256:ab\n"
    assert found.index_options == ("--index-url", "https://pkg.example/simple", "--find-links", "wheels")


def test_names_of_the_format_are_known() -> None:
    assert [bool(pylock.NAME.match(name)) for name in ("pylock.toml", "pylock.train.toml", "pylock.a.b.toml", "my.pylock.toml")] == [
        True,
        True,
        False,
        False,
    ]
