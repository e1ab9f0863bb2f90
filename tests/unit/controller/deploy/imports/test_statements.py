"""The imports that a file states, whatever form they take."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports.statements import Import, imports_of

FORMS = {
    "import a": [Import(0, "a")],
    "import a.b as c, d": [Import(0, "a.b"), Import(0, "d")],
    "from a import b, c as d": [Import(0, "a", ("b", "c"))],
    "from a import *": [Import(0, "a")],
    "from . import a": [Import(1, "", ("a",))],
    "from ..a.b import c": [Import(2, "a.b", ("c",))],
    "from a import (\n  b,\n  c,\n)": [Import(0, "a", ("b", "c"))],
    "def f():\n  import a": [Import(0, "a")],
    "try:\n  import a\nexcept ImportError:\n  import b": [Import(0, "a"), Import(0, "b")],
    "with x:\n  async def f():\n    import a": [Import(0, "a")],
    "match x:\n  case 1:\n    import a": [Import(0, "a")],
    "class A:\n  import a": [Import(0, "a")],
    "if True:\n  pass\nelse:\n  import a": [Import(0, "a")],
    "if __name__ == '__main__': import a": [Import(0, "a")],
    "import importlib; m = importlib.import_module('a.b')": [Import(0, "importlib"), Import(0, "a.b")],
    "[import_module('a') for x in y]": [Import(0, "a")],
    "f(x, key=__import__('a'))": [Import(0, "a")],
    "importlib.import_module('.a', __package__)": [Import(1, "a")],
    "importlib.import_module(name)": [],
    "if TYPE_CHECKING:\n  import a\nelse:\n  import b": [Import(0, "b")],
    "if typing.TYPE_CHECKING:\n  import a": [],
    "'import a'": [],
    "# import a": [],
    "import a\nimport a": [Import(0, "a")],
    "": [],
    # Not for this Python: a later one's syntax, or an earlier one's.
    "print 'x'\nimport a, b as c\nfrom .d import e, f": [Import(0, "a"), Import(0, "b"), Import(1, "d", ("e", "f"))],
    "x = = 1\n  from a import (b, c": [Import(0, "a", ("b", "c"))],
    "import a\n\0": [Import(0, "a")],
}


@pytest.mark.parametrize("text", FORMS)
def test_imports_are_found_in_every_form(text: str) -> None:
    assert sorted(imports_of(text.encode())) == sorted(FORMS[text])


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbfimport a\n",
        b"# -*- coding: latin-1 -*-\nx = '\xe4'\nimport a\n",
        b"import a\r\nx = 1\r\n",
        b"# \xff not UTF-8\nimport a\n",
        b"(" * 100_000 + b"\nimport a\n",
    ],
    ids=["byte order mark", "latin-1", "CRLF", "no UTF-8", "nested too deep"],
)
def test_every_encoding_and_line_end_is_read(source: bytes) -> None:
    assert Import(0, "a") in imports_of(source)


def test_texts_of_the_file_cause_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    imports_of(b"x = '\\d'; assert (1, 'x'); import a")
    assert not recwarn
