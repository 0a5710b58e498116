"""95% intervals of shares of right answers and of their differences."""

import math

from scipy import special, stats

Z = float(special.ndtri(0.975))  # Half-width of a 95% interval, in standard errors.


def wilson(right: int, n: int) -> tuple[float, float]:
    """Returns the 95% interval (low, high) of the share `right / n`; (0, 1) if `n` is 0.

    The interval is Wilson's (1927). Unlike a normal interval or a bootstrap, it stays within 0..1
    and has a width above 0 even if none or all of the n answers are right.
    """
    if not n:
        return 0.0, 1.0
    share = right / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Without `min` and `max`, rounding could exclude a share of 0 or 1 from its interval.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_interval(won: int, lost: int, n: int) -> list[float]:
    """Returns the 95% interval [low, high] of the first model's accuracy minus the second's.

    Both models answer the same examples, so the difference is `(won - lost) / n`.

    The method is that of Bonett and Price 2012 (J. Educ. Behav. Stat. 37, 479-488): the normal
    interval after adding one example to `won` and one to `lost`. One deviation: the interval
    contains 0 unless McNemar's exact test rejects equality, so that 4 won against 0 lost never
    counts as "significant", whatever `n`. The interval of the difference is narrower than the
    intervals of the two accuracies, because both models find the same examples hard.

    Args:
        won: number of examples that only the first model answers right.
        lost: number of examples that only the second model answers right.
        n: number of all examples.
    """
    first, second = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = first - second
    half = Z * math.sqrt((first + second - centre**2) / (n + 2))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    if not won + lost or stats.binomtest(won, won + lost).pvalue > 0.05:
        low, high = min(low, 0.0), max(high, 0.0)
    return [low, high]
