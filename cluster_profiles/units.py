"""Numbers with units, as people and Slurm write them; parsed and printed only at the edge."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S

_COUNT_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_UNIT_S = {
    "s sec secs second seconds": 1,
    "m min mins minute minutes": MINUTE_S,
    "h hr hrs hour hours": HOUR_S,
    "d day days": DAY_S,
    "w week weeks": 7 * DAY_S,
}
_DURATION_S = {name: seconds for names, seconds in _UNIT_S.items() for name in names.split()}
_GROUPED = re.compile(
    r"\s*\d{1,3}(?P<mark>[, \u00a0\u2009\u202f])\d{3}(?:(?P=mark)\d{3})*\s*"
)  # 1,000,000 and 1 000 000
_SLURM_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?")
LONGEST_S = 10**11  # 3,000 years; longer is a slip
_LONGEST_INPUT = 60  # characters; longer text is no number
_LARGEST_EXPONENT = 30  # 1e30 is beyond every bound; 1e999999999 must not be expanded


def parse_exact(value: object) -> Fraction:
    """Return a finite number exactly as it was written: 2.5 is 5/2, "1_000" is 1000, 300e9 is 300000000000.

    Raises ValueError for anything else, NaN, infinities and booleans included.

    >>> parse_exact("0.1") * 3
    Fraction(3, 10)
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("is not a number")  # noqa: TRY004  pydantic turns ValueError into a message
    if isinstance(value, int):
        return Fraction(value)
    text = str(value).strip().replace("_", "")
    try:
        number = Decimal(text) if len(text) <= _LONGEST_INPUT else Decimal("nan")
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("is not a finite number of a usable size")
    return Fraction(number)


def parse_count(value: object) -> int:
    """Return a whole number; text may group its digits or have an exponent, or k, M, B, T for powers of a thousand.

    >>> parse_count("1,000,000"), parse_count("30M"), parse_count(300e9)
    (1000000, 30000000, 300000000000)
    """
    text, factor = value, 1
    if isinstance(value, str) and (grouped := _GROUPED.fullmatch(value)):
        text = value.replace(grouped["mark"], "")
    elif isinstance(value, str) and (suffix := value.strip()[-1:].lower()) in "kmbt":
        factor = _COUNT_SUFFIX[suffix]
        text = value.strip()[: -len(suffix) or None]
    try:
        number = parse_exact(text) * factor
    except ValueError:
        raise ValueError("is not a whole number such as 558_128, 300e9 or 30M") from None
    if number.denominator != 1:
        raise ValueError("is not a whole number such as 558_128, 300e9 or 30M")
    return int(number)


def parse_length(value: object) -> int:
    """Return a length in tokens, in which k and M are powers of 1,024: a context of 8k is 8,192 tokens.

    >>> parse_length("8k"), parse_length("128K"), parse_length(2048)
    (8192, 131072, 2048)
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    factor = {"k": 2**10, "m": 2**20}.get(text[-1:])
    if factor is None:
        return parse_count(value)
    try:
        number = parse_exact(text[:-1]) * factor
    except ValueError:
        number = Fraction(1, 2)
    if number.denominator != 1:
        raise ValueError("is not a whole number of tokens such as 2048, 8k (8,192) or 1M (1,048,576)")
    return int(number)


def parse_duration_s(value: object) -> float:
    """Return the seconds of a duration: "90m", "3d 4h", "2 days", Slurm's own "2-12:00:00", or a number of seconds.

    Slurm's rule for colons holds: "30:00" is minutes and seconds, "1-12" is days and hours.

    >>> parse_duration_s("3d 4h"), parse_duration_s("2-12:00:00"), parse_duration_s("30:00")
    (273600.0, 216000.0, 1800.0)
    """
    seconds = _duration_s(value)
    if seconds > LONGEST_S:
        raise ValueError("is longer than 3,000 years")
    return seconds


def _duration_s(value: object) -> float:
    error = ValueError('is not a duration such as "90m", "3d 4h" or "2-12:00:00"')
    if not isinstance(value, str):
        try:
            return float(parse_exact(value))
        except ValueError:
            raise error from None
    text = value.strip().lower()
    if not 0 < len(text) <= _LONGEST_INPUT:
        raise error
    if text.replace(".", "", 1).isdecimal():
        raise ValueError(f"has no unit: write {text}m or {text}s")
    if (slurm := _SLURM_TIME.fullmatch(text)) and (slurm["d"] or slurm["b"]):
        a, b, c = (int(slurm[k] or 0) for k in "abc")
        if slurm["d"]:
            return float(int(slurm["d"]) * DAY_S + a * HOUR_S + b * MINUTE_S + c)
        return float(a * HOUR_S + b * MINUTE_S + c if slurm["c"] else a * MINUTE_S + b)
    pieces = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text)
    if not pieces or re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]+)", "", text).strip(" ,"):
        raise error
    if any(unit not in _DURATION_S for _, unit in pieces):
        raise error
    return float(sum(parse_exact(number) * _DURATION_S[unit] for number, unit in pieces))


def plural(number: int, noun: str) -> str:
    """Return a number and its noun.

    >>> plural(1, "GPU"), plural(1024, "GPU")
    ('1 GPU', '1,024 GPUs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def join_names(names: Iterable[str], most: int = 12, between: str = ", ") -> str:
    """Return names joined by commas or `between`; a long list ends with the number of the rest.

    >>> join_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = list(names)
    return between.join(shown[:most]) + (f" and {len(shown) - most:,} more" if len(shown) > most else "")


def format_count(number: float) -> str:
    """Return a number with separated thousands.

    >>> format_count(117188)
    '117,188'
    """
    return f"{number:,.0f}"


def format_significant(number: float, digits: int = 3) -> str:
    """Return a number rounded to so many digits, without trailing zeros; with an exponent beyond 15 places only.

    >>> format_significant(55.3481), format_significant(13056.2), format_significant(-0.0), format_significant(1e300)
    ('55.3', '13,056', '0', '1e+300')
    """
    if number == 0 or not math.isfinite(number):
        return f"{number + 0.0:g}"  # -0.0 + 0.0 is 0.0
    if not 1e-15 < abs(number) < 1e15:  # noqa: PLR2004  as many places
        return f"{number:.{digits}g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(number))), 0)
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, rounded to the smaller one.

    >>> format_duration(24912), format_duration(75), format_duration(0.7222), format_duration(59.97)
    ('6h 55m', '1m 15s', '0.722s', '1m')
    """
    shown = f"{format_significant(seconds)}s"
    if seconds < MINUTE_S and shown != f"{MINUTE_S}s":
        return shown
    for big, big_name, small, small_name in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "m"),
        (MINUTE_S, "m", 1, "s"),
    ):
        whole = round(seconds / small) * small
        if whole >= big:
            large, rest = divmod(whole, big)
            return f"{format_count(large)}{big_name}" + (f" {rest // small}{small_name}" if rest else "")
    return "1m"


def slurm_time(seconds: float) -> str:
    """Return Slurm's spelling of a time limit, rounded up to the second.

    >>> slurm_time(29700), slurm_time(216000)
    ('08:15:00', '2-12:00:00')
    """
    whole = math.ceil(seconds)
    days, rest = divmod(whole, DAY_S)
    clock = f"{rest // HOUR_S:02d}:{rest % HOUR_S // MINUTE_S:02d}:{rest % MINUTE_S:02d}"
    return f"{days}-{clock}" if days else clock


def round_up_walltime_s(seconds: float) -> int:
    """Return a walltime rounded up: to 5 minutes below 2 h, to 15 below 12 h, otherwise to the hour; in seconds.

    >>> [slurm_time(round_up_walltime_s(s)) for s in (61, 29000, 90001)]
    ['00:05:00', '08:15:00', '1-02:00:00']
    """
    grain = 5 * MINUTE_S if seconds <= 2 * HOUR_S else 15 * MINUTE_S if seconds <= 12 * HOUR_S else HOUR_S
    return max(math.ceil(seconds / grain), 1) * grain


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up.

    >>> ceil_div(1_000_000, 256)
    3907
    """
    return -(-a // b)
