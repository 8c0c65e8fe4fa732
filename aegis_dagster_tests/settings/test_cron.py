"""What a setting takes as a time, Dagster takes too."""

import pytest
from dagster._utils.schedules import is_valid_cron_string

from aegis_dagster.settings.cron import cron_problem

GOOD = [
    *("* * * * *", "5 * * * *", "0 2 * * *", "0 4 * * 0", "0 6 1 * *", "*/15 0-6,22-23 * * mon-fri", "0 0 29 2 *"),
    *("0 0 * jan,JUL 7", "10-50/20 * 1,15 */3 *", "59 23 31 12 6", "0 0 30 4 *", "0 0 31 feb,mar *"),
]
BAD = [
    *("", "0 2 * *", "0 2 * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "@daily"),
    *("a * * * *", "5-1 * * * *", "*/0 * * * *", "*/60 * * * *", "5/2 * * * *", "*-5 * * * *", "1,,2 * * * *"),
    *("0 0 30 2 *", "0 0 31 4 *", "0 0 31 feb *", "0 0 31 2 1", "-1 * * * *", "* * * * fri-mon", "1.5 * * * *"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_a_good_expression_is_one_for_dagster_too(expression: str) -> None:
    assert cron_problem(expression) == ""
    assert is_valid_cron_string(expression)


@pytest.mark.parametrize("expression", BAD)
def test_a_bad_expression_is_told_what_is_wrong(expression: str) -> None:
    assert cron_problem(expression)
