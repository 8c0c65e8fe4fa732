"""Values are shown as a spreadsheet shows them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.parsing.excel.numbers import BUILT_IN, number_text, string_text

EURO = '_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-;_-@_-'


@pytest.mark.parametrize(
    ("stored", "code", "shown"),
    [
        ("0.075", "0.0%", "7.5%"),
        ("0.075", "0.0 %", "7.5 %"),
        ("7", "000", "007"),
        ("1234.5", '"EUR" #,##0.00', "EUR 1,234.50"),
        ("1234.5", "#,##0.00 [$€-407]", "1,234.50 €"),
        ("1234.5", "[$€-x-euro2] #,##0.00", "€ 1,234.50"),
        ("1234.5", "[$-de-DE]#,##0.0", "1,234.5"),
        ("100", "0.00\\ [$USD]", "100.00 USD"),
        ("1234.5", EURO, "1,234.50 €"),
        ("-5", EURO, "- 5.00 €"),
        ("0", EURO, "- €"),
        ("-1250", "#,##0;(#,##0)", "(1,250)"),
        ("-3", '0;"minus "0', "minus 3"),
        ("1234567", "#,##0,", "1,235"),
        ("1234567", '0.0,,"M"', "1.2M"),
        ("123456789", "000-00-0000", "123-45-6789"),
        ("1.005", "0.00", "1.01"),
        ("1.5", "0.0##", "1.5"),
        ("0.5", "# ?/?", "1/2"),
        ("3.75", "# ??/??", "3 3/4"),
        ("3.999", "# ?/?", "4"),
        ("1.3", "# ?/8", "1 2/8"),
        ("12345", "0.00E+00", "1.23E+04"),
        ("9.999", "0.00E+00", "1.00E+01"),
        ("12345", "##0.0E+0", "12.3E+3"),
        ("5", '[<10]"low";"high"', "low"),
        ("15", '[<10]"low";"high"', "high"),
        ("-2000", "[>=1000]0;0", "-2000"),
        ("5", "[Red]0.0", "5.0"),
        ("5", ";;;", ""),
        ("-0.5", "0%;;", ""),
        ("0.30000000000000004", "General", "0.3"),
        ("12345678901234", "General", "12345678901234"),
        ("1e300", "General", "1E+300"),
        ("3", 'General" items"', "3 items"),
        ("abc", "0.0", "abc"),
    ],
)
def test_numbers(stored: str, code: str, shown: str) -> None:
    assert number_text(stored, code) == shown


@pytest.mark.parametrize(
    ("stored", "code", "shown"),
    [
        ("46096", "yyyy-mm-dd", "2026-03-15"),
        ("46096", "dd.mm.yyyy", "15.03.2026"),
        ("46096", BUILT_IN[14], "2026-03-15"),
        ("46096.60416666666", "yyyy-mm-dd hh:mm", "2026-03-15 14:30"),
        ("46096", "[$-407]dddd, d. mmmm yyyy", "Sunday, 15. March 2026"),
        ("0.3854166666666667", "hh:mm", "09:15"),
        ("0.5", "h:mm AM/PM", "12:00 PM"),
        ("1.25", "[h]:mm", "30:00"),
        ("-0.5", "[h]:mm", "-12:00"),
        ("0.001", "mm:ss.0", "01:26.4"),
        ("59", "yyyy-mm-dd", "1900-02-28"),
        ("60", "yyyy-mm-dd", "1900-02-29"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        ("-1", "yyyy-mm-dd", "-1"),
    ],
)
def test_dates_and_times(stored: str, code: str, shown: str) -> None:
    assert number_text(stored, code) == shown


def test_dates_since_1904() -> None:
    assert number_text("44634", "yyyy-mm-dd", date1904=True) == "2026-03-15"


def test_texts() -> None:
    assert string_text("4711", '"No. "@') == "No. 4711"
    assert string_text("4711", '0;0;0;"No. "@') == "No. 4711"
    assert string_text("4711", "0.00") == "4711"
    assert string_text("secret", ";;;") == ""


@given(st.decimals(-(10**10), 10**10, allow_nan=False, places=4), st.integers(0, 4))
def test_what_is_shown_is_the_value_within_half_a_place(value: Decimal, places: int) -> None:
    code = "0" if not places else "0." + "0" * places
    shown = Decimal(number_text(str(value), code))
    assert abs(shown - value) <= Decimal(5).scaleb(-places - 1)


@given(st.text(alphabet='0#?.,%/@;"\\_*[]$€-+eEdmyhs AMP<>=1General', max_size=40), st.floats(allow_nan=False))
def test_no_format_stops_the_reader(code: str, value: float) -> None:
    assert isinstance(number_text(repr(value), code), str)
    assert isinstance(string_text("text", code), str)
