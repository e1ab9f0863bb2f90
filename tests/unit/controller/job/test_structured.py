"""Lists and mappings that arrive as text."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.structured import structured


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["--lr", "1e-3"]', ["--lr", "1e-3"]),
        (' [null,"rdma_en2"]\n', [None, "rdma_en2"]),
        ('{"A": "1", "B": 2}', {"A": "1", "B": 2}),
        ("['a b', None, True]", ["a b", None, True]),
        ("{'A': '{x}'}", {"A": "{x}"}),
        ("[]", []),
        ("[null,rdma_en2,[rdma_en3,~]]", [None, "rdma_en2", ["rdma_en3", None]]),
        ("[--lr,1e-3,1.10,no]", ["--lr", "1e-3", "1.10", "no"]),
        ("{A: 1.10, B: http://b}", {"A": "1.10", "B": "http://b"}),
    ],
)
def test_text_is_read_as_what_it_writes_out(text: str, value: Any) -> None:
    assert structured(text, "mlx_args") == value


@pytest.mark.parametrize("value", ["--lr 1e-3", "a[0]", "", "  ", 7, None, ["[1]"], {"A": "{"}])
def test_other_values_stay_as_they_are(value: Any) -> None:
    assert structured(value, "mlx_args") is value


@pytest.mark.parametrize("text", ["[ -f /etc/hosts ]", "[", "{A:", "{A:1}", "{a b: c}", "[a] b", "[*.txt]", "[x]]"])
def test_text_that_only_begins_like_a_list_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        structured(text, "mlx_args", "a: mlx_args")
    value = "{...}" if text.startswith("{") else "[...]"
    assert str(caught.value) == (
        f"a: mlx_args: this is text that begins with {text[0]} and is not JSON; use YAML or -e '{{\"mlx_args\": {value}}}'"
    )
