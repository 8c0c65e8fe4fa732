"""What an answer of a model says of itself, and what of it is kept."""

import json

import pytest

from aegis_dagster.domain.answers import Cut, storable, why_cut, without_thinking
from aegis_dagster.domain.prices import Usage


@pytest.mark.parametrize(
    ("finish_reason", "usage", "cut"),
    [
        ("stop", Usage(3000, output_tokens=99), None),
        ("length", Usage(3000, output_tokens=90), Cut.ANSWER),
        ("MAX_TOKENS", Usage(3000, output_tokens=90), Cut.ANSWER),
        ("model_context_window_exceeded", Usage(3000, output_tokens=9), Cut.ANSWER),
        ("insufficient_system_resource", Usage(3000, output_tokens=9), Cut.ANSWER),
        ("stop", Usage(3000, output_tokens=100), Cut.ANSWER),
        ("stop", Usage(3000, output_tokens=100, estimated=True), None),
        ("stop", Usage(3000, output_tokens=101), None),  # a provider that knows no limit
        ("stop", Usage(2048, output_tokens=9), Cut.INPUT),
        ("stop", Usage(4096, output_tokens=9), Cut.INPUT),
        ("stop", Usage(40960, output_tokens=9), Cut.INPUT),
        ("stop", Usage(4096, output_tokens=9, estimated=True), None),
        ("stop", Usage(4095, output_tokens=9), None),
        ("stop", Usage(1024, output_tokens=9), None),
        ("tool_calls", Usage(3000, output_tokens=9), None),
    ],
)
def test_a_cut_answer_is_known_by_its_reason_and_its_tokens(finish_reason: str, usage: Usage, cut: Cut | None) -> None:
    assert why_cut(finish_reason, usage, 100) is cut


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("half \ud83d an emoji", "half \ufffd an emoji"),
        ("the other \ude00 half", "the other \ufffd half"),
        ("a pair \ud83d\ude00 of halves", "a pair \U0001f600 of halves"),
        ("NUL \x00 and \x1b[31m", "NUL \ufffd and \ufffd[31m"),
        ("no \ufffe characters \uffff", "no \ufffd characters \ufffd"),
        ("lines\r\n\tand tabs, \u00e4\u4e2d\U0001f600", "lines\r\n\tand tabs, \u00e4\u4e2d\U0001f600"),
        ("plain", "plain"),
    ],
)
def test_characters_that_a_store_refuses_are_replaced(said: str, kept: str) -> None:
    assert storable(said) == kept
    assert storable(json.loads(json.dumps(said))) == kept
    kept.encode()


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("<think>Hm.</think>\nYes.", "Yes."),
        ("\n<THINKING>Hm.</THINKING>Yes.", "Yes."),
        ("<think>a</think><think>b</think>Yes.", "Yes."),
        ("<think>never ends", ""),
        ("Hm.\n</think>\n\nYes.", "Yes."),
        ("Hm.</think>Yes.", "Yes."),
        ("A page about <think>tags</think> in prompts.", "A page about <think>tags</think> in prompts."),
        ("It closes with a </think> tag.", "It closes with a </think> tag."),
        ("It closes with `</think>`.", "It closes with `</think>`."),
        ("Yes.<think>and then it was cut", "Yes.<think>and then it was cut"),
        ('{"text": "a</think>b"}', '{"text": "a</think>b"}'),
    ],
)
def test_only_reasoning_at_the_beginning_is_removed(answer: str, kept: str) -> None:
    assert without_thinking(answer) == kept
