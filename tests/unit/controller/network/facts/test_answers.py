"""Answers from outside: what fits, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts import answers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers, answers_from

GOOD: dict[str, Any] = {"format": 1, "system": "Darwin", "answers": {"ifconfig.txt": "en0"}, "failed": {"ibv_devices.txt": "not there"}}


def test_good_answers_are_taken() -> None:
    assert answers_from(GOOD, "a") == HostAnswers("Darwin", {"ifconfig.txt": "en0"}, {"ibv_devices.txt": "not there"})


def test_host_that_could_not_be_asked_has_no_system() -> None:
    assert answers_from({"format": 1, "failure": "no route"}, "a") == HostAnswers(failure="no route")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "a: format 2: this version reads format 1; a newer mlxlaunch has made it, so update this one"),
        ({"format": 0}, "a: format 0: this version reads format 1"),
        ({"format": True}, "format True"),
        ({"format": "1"}, "format '1'"),
        ({"system": "Windows"}, "a: system 'Windows': want Darwin or Linux"),
        ({"system": None}, "system None"),
        ({"answers": []}, "answers: want an object"),
        ({"answers": {"../x.txt": "y"}}, "'../x.txt' is no name of an answer"),
        ({"answers": {"UPPER.txt": "y"}}, "is no name of an answer"),
        ({"answers": {"x.sh": "y"}}, "is no name of an answer"),
        ({"answers": {"x.txt": 1}}, "x.txt: want text"),
        ({"answers": {f"x{at}.txt": "" for at in range(65)}}, "at most 64"),
        ({"failed": {"x.txt": None}}, "failed: x.txt: want text"),
        ({"failure": 7}, "failure: want text"),
    ],
)
def test_answers_that_do_not_fit_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        answers_from({**GOOD, **change}, "a")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text", 1])
def test_answers_are_an_object(data: Any) -> None:
    with pytest.raises(UsageError, match="want an object"):
        answers_from(data, "a")


def test_long_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_CHARACTERS", 3)
    with pytest.raises(UsageError, match="x.txt: want text of at most"):
        answers_from({**GOOD, "answers": {"x.txt": "four"}}, "a")


@pytest.mark.parametrize(
    ("texts", "failed", "reason"),
    [
        ({"x.json": "{}"}, {}, ""),
        ({"x.json": "{"}, {}, "its answer is not JSON: '{'"),
        ({"x.json": "[" * 100_000}, {}, f"its answer is not JSON: {'[' * 40!r}"),
        ({"x.json": '"\\ud800"'}, {}, "its answer is not JSON: '\"\\\\ud800\"'"),
        ({"x.json": "  "}, {}, "it answered nothing"),
        ({}, {}, "it answered nothing"),
        ({}, {"x.json": "exit status 1"}, "exit status 1"),
    ],
)
def test_json_is_data_or_a_reason(texts: dict[str, str], failed: dict[str, str], reason: str) -> None:
    data, found = HostAnswers("Darwin", texts, failed).json("x.json")
    assert found == reason
    assert (data is None) == bool(reason)
