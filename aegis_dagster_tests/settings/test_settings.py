"""Variables that would set nothing, or something else than they say, are refused with what to write instead."""

import pytest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import load_settings
from aegis_dagster.settings.keys import docling_serve_key


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [
        (
            "AEGIS_COLLECTIONS__Contracts__LOCAL_ONLY",
            r"AEGIS_COLLECTIONS='\{\"Contracts\": \{\"local_only\": true\}\}'",
        ),
        ("AEGIS_LLM__BUDGETS__COLLECTIONS__Legal", r"AEGIS_LLM__BUDGETS__COLLECTIONS='\{\"Contracts\": 5\}'"),
        ("AEGIS_METRIC__PORT", "AEGIS_METRICS"),
    ],
)
def test_a_variable_that_would_be_misread_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigurationError, match=remedy) as refused:
        load_settings()
    assert variable in refused.value.message


def test_what_the_remedies_say_is_taken_letter_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_COLLECTIONS", '{"Contracts": {"local_only": true}}')
    monkeypatch.setenv("AEGIS_LLM__BUDGETS__COLLECTIONS", '{"Contracts": 5}')
    settings = load_settings()
    assert settings.policy("Contracts").local_only
    assert settings.llm.budgets.collections == {"Contracts": 5}


def test_another_programs_variable_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_TOKEN", "of something else")
    assert load_settings().root is None


@pytest.mark.parametrize("key", ["schlüssel", "one\ntwo"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("DOCLING_SERVE_API_KEY", key)
    with pytest.raises(ConfigurationError, match="DOCLING_SERVE_API_KEY holds characters that no key has") as refused:
        docling_serve_key()
    assert key not in str(refused.value)
