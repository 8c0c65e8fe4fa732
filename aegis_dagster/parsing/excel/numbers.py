"""Values as a spreadsheet shows them: number formats (ECMA-376 part 1, 18.8.30 and 18.8.31) applied to stored numbers.

Dates in the reader's own order (formats 14 and 22) are written year first; names of months and days are English.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, DecimalException
from functools import lru_cache
from typing import Final

from aegis_dagster.parsing.excel.dates import date_text

# The formats that files name by number only.
BUILT_IN: Final[dict[int, str]] = dict(
    [(1, "0"), (2, "0.00"), (3, "#,##0"), (4, "#,##0.00"), (9, "0%"), (10, "0.00%"), (11, "0.00E+00"), (12, "# ?/?")]
    + [(13, "# ??/??"), (14, "yyyy-mm-dd"), (15, "d-mmm-yy"), (16, "d-mmm"), (17, "mmm-yy"), (18, "h:mm AM/PM")]
    + [(19, "h:mm:ss AM/PM"), (20, "h:mm"), (21, "h:mm:ss"), (22, "yyyy-mm-dd h:mm"), (45, "mm:ss"), (46, "[h]:mm:ss")]
    + [(47, "mm:ss.0"), (48, "##0.0E+0"), (49, "@")]
    + [(number, "yyyy-mm-dd") for number in (*range(27, 32), 36, *range(50, 59))]
    + [(number, "h:mm:ss") for number in range(32, 36)]
    + [(number, '"$"#,##0;-"$"#,##0') for number in (5, 6)]
    + [(number, '"$"#,##0.00;-"$"#,##0.00') for number in (7, 8)]
    + [(number, "#,##0;-#,##0") for number in (37, 38)]
    + [(number, "#,##0.00;-#,##0.00") for number in (39, 40)]
    + [(41, '#,##0;-#,##0;"-"'), (42, '"$"#,##0;-"$"#,##0;"-"')]
    + [(43, '#,##0.00;-#,##0.00;"-"'), (44, '"$"#,##0.00;-"$"#,##0.00;"-"')]
)
GENERAL: Final = "General"

_TOKEN: Final = re.compile(
    r"""
    "(?P<quoted>[^"]*)"? | \\(?P<escaped>.) | _(?P<space>.) | \*(?P<fill>.) | \[(?P<bracket>[^\]]*)\] |
    (?P<general>general) | (?P<half>am/pm|a/p) | (?P<power>e[+-]) | (?P<date>y+|m+|d+|h+|s+|e+|g+|b+|a{3,4}) |
    (?P<digit>[0\#?]) | (?P<sign>[.,%/@;]) | (?P<literal>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CONDITION: Final = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[\d.]+)")
_ELAPSED: Final = re.compile(r"h+|m+|s+", re.IGNORECASE)
_LONGEST_CODE: Final = 255  # characters, as Excel has it
_EXACT: Final = Context(prec=400, Emax=2000, Emin=-2000)
_COMPARE: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "=": lambda value, bound: value == bound,
    "<>": lambda value, bound: value != bound,
}

Token = tuple[str, str]  # kind: literal, digit, one of .,%/@, power, date, elapsed, half, general; and its text


@dataclass(frozen=True, slots=True)
class _Section:
    tokens: tuple[Token, ...]
    condition: tuple[str, Decimal] | None
    kinds: frozenset[str]

    def has(self, *kinds: str) -> bool:
        return not self.kinds.isdisjoint(kinds)


def number_text(raw: str, code: str, *, date1904: bool = False) -> str:
    """A stored number as the format shows it; "" where the format shows nothing. What is no number stays as it is."""
    if code == GENERAL and raw.isdecimal() and (raw == "0" or raw[0] != "0"):
        return raw
    try:
        value = Decimal(raw) if raw.lstrip("-").isdecimal() else Decimal(f"{float(raw):.15g}")
        if not value.is_finite():
            return raw
        section, unsigned = _section_for(_sections(code), value)
        if section is None:
            return general_text(value)
        shown = _render(section, value, unsigned, date1904)
    except (ValueError, ArithmeticError, DecimalException, IndexError):
        return general_text(Decimal(raw)) if raw.lstrip("-").isdecimal() else raw
    return " ".join(shown.split())


def string_text(text: str, code: str) -> str:
    """A stored text as the format shows it."""
    sections = _sections(code)
    section = sections[-1] if sections[-1].has("@") or len(sections) > 3 else None
    if section is None:
        return text
    return "".join(text if kind == "@" else part for kind, part in section.tokens if kind in ("@", "literal"))


def general_text(value: Decimal) -> str:
    """A number without a format: 15 digits, as the formula bar shows it."""
    if value == 0:
        return "0"
    value = value.normalize(_EXACT)
    if -10 <= value.adjusted() <= 20:
        return format(value, "f")
    mantissa, _, exponent = f"{value:E}".partition("E")
    return f"{mantissa}E{int(exponent):+03d}"


@lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[_Section, ...]:
    sections: list[_Section] = []
    tokens: list[Token] = []
    condition = None
    for match in _TOKEN.finditer(code[:_LONGEST_CODE]):
        kind, text = match.lastgroup or "literal", match[match.lastgroup or 0]
        if kind == "sign" and text == ";":
            sections.append(_section(tokens, condition))
            tokens, condition = [], None
        elif kind == "bracket":
            found = _CONDITION.fullmatch(text)
            condition = (found[1], Decimal(found[2])) if found else condition
            tokens += _bracket(text)
        elif kind == "space":
            tokens.append(("literal", " "))
        elif kind == "fill":
            tokens.append(("literal", " " if text == " " else ""))
        elif kind in ("quoted", "escaped", "literal"):
            tokens.append(("literal", text))
        else:
            tokens.append((text if kind == "sign" else kind, text))
    return (*sections, _section(tokens, condition))


def _section(tokens: Sequence[Token], condition: tuple[str, Decimal] | None) -> _Section:
    return _Section(tuple(tokens), condition, frozenset(kind for kind, _ in tokens))


def _bracket(text: str) -> list[Token]:
    """What stands in square brackets: a currency, elapsed time, or (without a token) colour, condition, language."""
    if text.startswith("$"):
        return [("literal", text[1:].partition("-")[0])]
    return [("elapsed", text.lower())] if _ELAPSED.fullmatch(text) else []


def _section_for(sections: Sequence[_Section], value: Decimal) -> tuple[_Section | None, bool]:
    """The section that shows a number, and whether it shows it without its sign; None: as without a format."""
    numeric = list(sections[:3])
    if len(sections) < 4 and numeric[-1].has("@"):
        numeric.pop()
    if not numeric:
        return None, False
    if any(section.condition for section in numeric):
        for section in numeric:
            if section.condition is None or _COMPARE[section.condition[0]](value, section.condition[1]):
                below = (
                    section.condition is not None and section.condition[0] in ("<", "<=") and section.condition[1] <= 0
                )
                return section, below
        return None, False
    if value < 0 and len(numeric) > 1:
        return numeric[1], True
    return numeric[2 if value == 0 and len(numeric) > 2 else 0], False


def _only_negative(operator: str, bound: Decimal) -> bool:
    return operator in ("<", "<=") and bound <= 0


def _render(section: _Section, value: Decimal, unsigned: bool, date1904: bool) -> str:
    if section.has("date", "elapsed", "half"):
        shown = date_text(section.tokens, value, date1904=date1904)
        return general_text(value) if shown is None else shown
    sign = "-" if value < 0 and not unsigned else ""
    if section.has("general"):
        number = general_text(abs(value))
        return sign + "".join(number if kind == "general" else text for kind, text in section.tokens)
    if not section.has("digit"):
        text = "".join(text for kind, text in section.tokens if kind in ("literal", ".", ",", "/", "%"))
        return sign + text if text else ""
    if section.has("/") and (fraction := _fraction(section.tokens, abs(value))) is not None:
        return sign + fraction
    return sign + _number(section.tokens, abs(value))


def _number(tokens: Sequence[Token], value: Decimal) -> str:
    kinds = [kind for kind, _ in tokens]
    power = kinds.index("power") if "power" in kinds else len(tokens)
    dot = kinds.index(".") if "." in kinds[:power] else power
    last = max((index for index in range(power) if kinds[index] == "digit"), default=-1)
    scale = sum(kind == "," for kind in kinds[last + 1 : power])
    grouped = any(kind == "," and "digit" in kinds[:index] for index, kind in enumerate(kinds[:last]) if index < dot)
    decimals = kinds[dot:power].count("digit")
    value = value.scaleb(2 * kinds.count("%") - 3 * scale, _EXACT)
    exponent = 0
    if power < len(tokens):
        value, exponent = _mantissa(value, max(1, kinds[:dot].count("digit")), decimals)
    whole, _, part = format(_rounded(value, decimals), "f").partition(".")
    digits = "" if whole.strip("0") == "" else whole
    before = _integer([token for token in tokens[:dot] if token[0] != ","], digits, grouped)
    after = _decimals([token for token in tokens[dot:power] if token[0] != ","], part)
    if power == len(tokens):
        return before + after
    sign = "-" if exponent < 0 else tokens[power][1][1].replace("-", "")
    return before + after + f"E{sign}" + _integer(tokens[power + 1 :], str(abs(exponent)).lstrip("0"), False)


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP, context=_EXACT)


def _mantissa(value: Decimal, places: int, decimals: int) -> tuple[Decimal, int]:
    """The number with its exponent, a multiple of the mantissa's places."""
    if value == 0:
        return value, 0
    exponent = (value.adjusted() // places) * places
    mantissa = value.scaleb(-exponent, _EXACT)
    if _rounded(mantissa, decimals) >= Decimal(10) ** places:
        exponent += places
        mantissa = value.scaleb(-exponent, _EXACT)
    return mantissa, exponent


def _integer(tokens: Sequence[Token], digits: str, grouped: bool) -> str:
    """The digits in their places, from the right; the first place takes all that are left."""
    first = next((index for index, (kind, _) in enumerate(tokens) if kind == "digit"), -1)
    out: list[str] = []
    count = 0
    for index in range(len(tokens) - 1, -1, -1):
        kind, text = tokens[index]
        if kind != "digit":
            out.append(text)
            continue
        taken = digits if index == first else digits[-1:]
        digits = digits[: len(digits) - len(taken)]
        for digit in reversed(taken or {"0": "0", "?": " "}.get(text, "")):
            if grouped and count and count % 3 == 0 and digit != " ":
                out.append(",")
            out.append(digit)
            count += 1
    return "".join(reversed(out))


def _decimals(tokens: Sequence[Token], part: str) -> str:
    """The decimal point and the digits behind it; zeros at the end stand only where the format asks for them."""
    out: list[str] = []
    places = [index for index, (kind, _) in enumerate(tokens) if kind == "digit"]
    kept = max(
        (number + 1 for number, index in enumerate(places) if tokens[index][1] == "0" or part[number] != "0"), default=0
    )
    for index, (kind, text) in enumerate(tokens):
        if kind != "digit":
            out.append(text)
        elif (number := places.index(index)) < kept:
            out.append(part[number])
        elif text == "?":
            out.append(" ")
    return "".join(out)


def _fraction(tokens: Sequence[Token], value: Decimal) -> str | None:
    """A number as a common fraction; None if the tokens are no fraction."""
    from fractions import Fraction

    slash = [kind for kind, _ in tokens].index("/")
    start, end = slash, slash + 1
    while start and tokens[start - 1][0] == "digit":
        start -= 1
    while end < len(tokens) and (tokens[end][0] == "digit" or tokens[end][1].isdecimal()):
        end += 1
    bottom = "".join(text for _, text in tokens[slash + 1 : end])
    if start == slash or not bottom:
        return None
    mixed = any(kind == "digit" for kind, _ in tokens[:start])
    whole = int(value.to_integral_value(ROUND_FLOOR)) if mixed else 0
    rest = Fraction(value) - whole
    if bottom.strip("?#0"):
        below = int(bottom)
        above = int(rest * below + Fraction(1, 2))
    else:
        nearest = rest.limit_denominator(10 ** min(len(bottom), 9) - 1)
        above, below = nearest.numerator, nearest.denominator
    if mixed and above == below:
        whole, above = whole + 1, 0
    number = f"{whole} " if mixed and (whole or not above) else ""
    number += f"{above}/{below}" if above or not mixed else ""
    first = next(index for index, (kind, _) in enumerate(tokens) if kind == "digit")
    before, after = tokens[:first], tokens[end:]
    return "".join(text for _, text in before) + number.strip() + "".join(text for _, text in after)
