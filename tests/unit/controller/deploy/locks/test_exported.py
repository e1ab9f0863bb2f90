"""Where the packages of a lock come from, and what messages say of it."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.locks.exported import index_options, phrase_choices

PYPI = "https://pypi." + "org/simple"


@pytest.mark.parametrize(
    ("indexes", "options"),
    [
        ([], ()),
        ([PYPI, PYPI + "/"], ()),
        (["https://a"], ("--index-url", "https://a")),
        (["https://a", "https://b/", "https://a"], ("--index-url", "https://a", "--extra-index-url", "https://b")),
        (["https://a", PYPI], ("--extra-index-url", "https://a")),
        ([PYPI, "/here/wheels"], ("--find-links", "/here/wheels")),
    ],
)
def test_indexes_but_pypi_are_named(indexes: list[str], options: tuple[str, ...]) -> None:
    assert index_options(indexes) == options


def test_choices_have_their_kind() -> None:
    assert phrase_choices(["a"], ["b", "c"]) == "extra a, group b, group c"
    assert phrase_choices([], []) == ""
