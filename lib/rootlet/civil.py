"""Seconds to a calendar date, on any port.

Not `time.gmtime`: its epoch (1970 or 2000) and its range (31 or 32 bits) differ from port to port.
"""


def calendar(seconds):
    """(year, month, day, hour, minute, second) of `seconds` since 1970-01-01T00:00:00Z, in UTC."""
    days, rest = divmod(seconds, 86400)
    # Days to a date in a calendar whose year begins on 1 March, so that the leap day comes last.
    # 719468 days lie between 0000-03-01 and 1970-01-01; an era has 400 years and 146097 days.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (month <= 2), month, day + 1, rest // 3600, rest // 60 % 60, rest % 60
