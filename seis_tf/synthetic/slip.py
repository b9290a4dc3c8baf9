"""Random slip on the unit-source grid: log-normal, von Karman correlated, by Karhunen-Loeve expansion.

After LeVeque, Waagan, Gonzalez, Rim and Lin (2016, Pure Appl. Geophys.) and Melgar, LeVeque, Dreger and Allen (2016,
J. Geophys. Res.). The logarithm of a log-normal slip with mean m and covariance C is Gaussian with covariance
ln(1 + C / m^2); its eigenvectors are the modes of the expansion.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from seis_tf.dart.unit_sources import UNIT_LENGTH_KM, UNIT_WIDTH_KM, weights_for_magnitude
from seis_tf.settings.simulation import FakequakeSettings, SlipSettings

_ATTEMPTS = 1000


def von_karman(distance: np.ndarray, hurst: float) -> np.ndarray:
    """Von Karman correlation: r^H K_H(r) / (2^(H-1) Gamma(H)), 1 at r = 0.

    Args:
        distance: any shape, in correlation lengths.
        hurst: exponent H in (0, 1].
    """
    # K_H is infinite at 0 where r^H is 0; at 1e-9 the limit is reached to rounding.
    r = np.maximum(distance, 1e-9)
    return r**hurst * special.kv(hurst, r) / (2 ** (hurst - 1) * special.gamma(hurst))


def log_covariance(position_km: np.ndarray, lengths_km: tuple[float, float], settings: SlipSettings) -> np.ndarray:
    """Covariance of the logarithm of slip, ln(1 + C / mean^2) with C = (std_fraction mean)^2 times the correlation.

    Args:
        position_km: float [place, 2], along strike and down dip.
        lengths_km: correlation lengths along strike and down dip.
        settings: Hurst exponent and standard deviation.

    Returns:
        float64 [place, place].
    """
    lag = np.abs(position_km[:, np.newaxis] - position_km) / lengths_km
    # On a grid few lags differ: the Bessel function is the slow part and is taken once for each.
    distances, inverse = np.unique(np.hypot(lag[..., 0], lag[..., 1]).round(9), return_inverse=True)
    correlation = von_karman(distances, settings.hurst)[inverse].reshape(lag.shape[:2])
    return np.log1p(settings.std_fraction**2 * correlation)


def karhunen_loeve(covariance: np.ndarray, normals: np.ndarray, modes: int | None = None) -> np.ndarray:
    """A Gaussian field with a given covariance: sum over modes of sqrt(eigenvalue) z_k eigenvector_k.

    The coefficients z_k are the normals seen along the eigenvectors, which makes the field independent of the sign
    (and, in degenerate spaces, the choice) of the eigenvectors that LAPACK returns.

    Args:
        covariance: float [place, place].
        normals: float [place], independent standard normal.
        modes: number of terms, those of the largest eigenvalues; all by default.
    """
    eigenvalues, vectors = np.linalg.eigh(covariance)
    if modes is not None:
        eigenvalues[:-modes] = 0
    return vectors @ (np.sqrt(np.maximum(eigenvalues, 0)) * (vectors.T @ normals))


def rupture(grid: np.ndarray, mw: float, rng: np.random.Generator, settings: SlipSettings) -> tuple[np.ndarray, tuple]:
    """Unit sources that break: a rectangle around a random source, its extent by magnitude.

    Length and width are drawn from the scaling relation, rounded to whole sources and cut off at the grid's edge.

    Args:
        grid: int [source, 2], number along strike and row down dip.
        mw: magnitude.
        rng: the event's generator.
        settings: scaling relations.

    Returns:
        bool [source], and the drawn length and width in km, as far as they fit the grid.
    """
    spacing = np.array([UNIT_LENGTH_KM, UNIT_WIDTH_KM])
    low, high = grid.min(axis=0), grid.max(axis=0)
    scatter = rng.standard_normal(2) * (settings.length_scatter, settings.width_scatter)
    mean = [a + b * mw for a, b in (settings.length_log10, settings.width_log10)]
    extent_km = np.minimum(10.0 ** (mean + scatter), spacing * (high - low + 1))
    count = np.maximum(np.round(extent_km / spacing).astype(int), 1)
    # The rectangle holds a source drawn from those that exist, so it is never empty on a ragged grid.
    inside = grid[rng.integers(len(grid))]
    first = np.clip(inside - rng.integers(0, count), low, high - count + 1)
    return np.all((grid >= first) & (grid < first + count), axis=1), tuple(extent_km)


def random_slip(
    position: np.ndarray, grid: np.ndarray, mw: float, rng: np.random.Generator, settings: FakequakeSettings
) -> np.ndarray:
    """Slip of one event on the places where it is wanted: unit sources, or parts of them.

    Args:
        position: float [place, 2] in units of unit sources, along strike and down dip.
        grid: int [place, 2], the unit source that each place is in.
        mw: magnitude that the slip is scaled to.
        rng: the event's generator.
        settings: slip and magnitude.

    Returns:
        float64 [place], metres, zero outside the rupture, never negative. The places share their source's area equally.

    Raises:
        ValueError: no draw stays below the largest slip allowed.
    """
    slip = settings.slip
    sources, parts = np.unique(grid, axis=0, return_counts=True)
    area_m2 = UNIT_LENGTH_KM * UNIT_WIDTH_KM * 1e6 / parts[0]
    for _ in range(_ATTEMPTS):
        broken, (length_km, width_km) = rupture(sources, mw, rng, slip)
        places = np.flatnonzero((grid[:, np.newaxis] == sources[broken]).all(axis=2).any(axis=1))
        lengths = tuple(
            a + b * km
            for (a, b), km in zip(
                (slip.correlation_strike_km, slip.correlation_dip_km), (length_km, width_km), strict=True
            )
        )
        covariance = log_covariance(position[places] * (UNIT_LENGTH_KM, UNIT_WIDTH_KM), lengths, slip)
        field = karhunen_loeve(covariance, rng.standard_normal(len(places)), slip.modes)
        result = np.zeros(len(position))
        result[places] = np.exp(field)
        result = weights_for_magnitude(result, mw, area_m2, settings.magnitude)
        if result.max() <= slip.max_slip_m:
            return result
    raise ValueError(
        f"slip: expected at most max_slip_m {slip.max_slip_m:g} m, received more at Mw {mw:.2f} every time"
    )
