"""What a setting takes as a time, Dagster takes too."""

import pytest
from dagster._utils.schedules import is_valid_cron_string
from pydantic import TypeAdapter, ValidationError

from aegis_dagster.settings.schedules import Cron

GOOD = [
    *("* * * * *", "5 * * * *", "0 2 * * *", "0 4 * * 0", "0 6 1 * *", "*/15 0-6,22-23 * * mon-fri", "0 0 29 2 *"),
    *("0 0 * jan,JUL 7", "10-50/20 * 1,15 */3 *", "59 23 31 12 6", "0 0 30 4 *", "0 0 31 feb,mar *"),
    *("*/60 * * * *", "5/2 * * * *", "0 0 L * *", "0 0 * jul wed#2"),
]
BAD = [
    *("", "0 2 * *", "0 2 * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "@daily"),
    *("a * * * *", "5-1 * * * *", "*/0 * * * *", "*-5 * * * *", "1,,2 * * * *"),
    *("0 0 30 2 *", "0 0 31 4 *", "0 0 31 feb *", "0 0 31 2 1", "-1 * * * *", "* * * * fri-mon", "1.5 * * * *"),
    *("0 0 * * 5L", "0 0 lw * *", "* * * * * *"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_a_good_expression_is_one_for_dagster_too(expression: str) -> None:
    assert TypeAdapter(Cron).validate_python(expression) == expression
    assert is_valid_cron_string(expression)


@pytest.mark.parametrize("expression", BAD)
def test_a_bad_expression_is_told_what_is_wrong(expression: str) -> None:
    with pytest.raises(ValidationError, match=r"is no cron expression: ."):
        TypeAdapter(Cron).validate_python(expression)
