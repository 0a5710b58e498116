"""95% intervals of shares that were counted."""

import math

Z = 1.96  # Of a normal distribution, 95% lie within this many deviations.


def wilson(right: int, n: int) -> tuple[float, float]:
    """The Wilson (1927) interval of a share; 0..1 where nothing was counted.

    Unlike the normal one it stays inside 0..1 and says something sensible of 0 or n out of n.
    """
    if not n:
        return 0.0, 1.0
    share = right / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Rounding must not put the interval beside a share of 0 or 1.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
