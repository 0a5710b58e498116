"""95% intervals of shares that were counted, for every task whose answers are right or wrong."""

import math

from scipy import special, stats

Z = float(special.ndtri(0.975))  # Of 95% intervals.


def wilson(right: int, n: int) -> tuple[float, float]:
    """Returns the 95% interval of a share that was counted; 0..1 where nothing was.

    Wilson 1927: unlike the normal one, or a bootstrap, it stays inside 0..1 and does not shrink
    to nothing where 0 or n of n are right.
    """
    if not n:
        return 0.0, 1.0
    share = right / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Rounding must not put the interval beside a share of 0 or 1.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_interval(won: int, lost: int, n: int) -> list[float]:
    """Returns the 95% interval of a difference of two shares of the same examples.

    Bonett and Price 2012 (J. Educ. Behav. Stat. 37, 479-488): the normal interval after one example
    more of each kind, won and lost. One deviation: it holds 0 unless the exact test of McNemar
    rejects equality, so that "beyond chance" is true of 4 against 0 at no n. The interval of each
    share alone is wider than that of their difference, since both find the same examples hard.

    Args:
        won: examples that the first has right and the second wrong.
        lost: those the other way around.
        n: all examples.
    """
    first, second = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = first - second
    half = Z * math.sqrt((first + second - centre**2) / (n + 2))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    if not won + lost or stats.binomtest(won, won + lost).pvalue > 0.05:
        low, high = min(low, 0.0), max(high, 0.0)
    return [low, high]
