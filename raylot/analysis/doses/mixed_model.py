"""Do tickets go with plasticity beyond what the size of the weights explains?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from raylot.analysis.doses.jackknife import jackknife
from raylot.analysis.statistics.intervals import Array, Mean
from raylot.foundation.names import ENOUGH_SEEDS

#: Fewest rows per coefficient.
_ROWS_PER_TERM = 3

#: A usual bound of variance inflation factors (Sheather 2009).
LARGE_INFLATION = 5


class NoModelError(Exception):
    """Says in a few words why a model cannot be fitted."""


@dataclass(frozen=True)
class Model:
    """A mixed model's standardised coefficients.

    Attributes:
        terms: term -> its coefficient: how many standard deviations tickets differ per standard
            deviation of the term, with its jackknife interval over seeds; empty after a problem.
        inflation: term -> its variance inflation factor among the terms.
        problem: why there is none; empty if there is one.
    """

    terms: Mapping[str, Mean] = field(default_factory=dict)
    inflation: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def collinear(self) -> dict[str, float]:
        """The terms that others explain so well that their coefficients say little alone: two that
        go together may both seem strong because each suppresses the other."""
        return {name: factor for name, factor in self.inflation.items() if factor > LARGE_INFLATION}


def fit(rows: pd.DataFrame, confidence: float = 0.95) -> Model:
    """Fits tickets ~ terms + task, with a random intercept per seed, by restricted maximum
    likelihood.

    The model's own standard errors take the snapshots of a seed for independent given its
    intercept, which they are not; so the intervals are those of `jackknife` over seeds.

    Args:
        rows: one per stream and snapshot: ``seed``, ``task``, ``tickets``, and a column per term;
            rows with a value that is not finite are left out.
        confidence: of the intervals.
    """
    terms = [str(name) for name in rows if name not in ("seed", "task", "tickets")]
    rows = rows[np.isfinite(rows[["tickets", *terms]].to_numpy(dtype=float)).all(axis=1)]
    seeds = sorted(int(seed) for seed in rows["seed"].unique())
    try:
        if len(seeds) < ENOUGH_SEEDS:
            raise NoModelError(f"fewer than {ENOUGH_SEEDS} seeds have all of its values")
        rows = _standardised(rows, ["tickets", *terms])
        found = jackknife(
            seeds, lambda some: _coefficients(rows[rows["seed"].isin(some)], terms), confidence
        )
    except NoModelError as problem:
        return Model(problem=str(problem))
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    among = np.hstack([rows[terms].to_numpy(dtype=float), np.ones((len(rows), 1))])
    inflation = {n: float(variance_inflation_factor(among, i)) for i, n in enumerate(terms)}
    return Model(dict(zip(terms, found, strict=True)), inflation)


def _standardised(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Gives columns mean 0 and standard deviation 1, once for all that the jackknife leaves out."""
    values = rows[columns].astype(float)
    spread = values.std()
    if constant := [name for name in columns if not spread[name] > 1e-12 * abs(values[name]).max()]:
        raise NoModelError(f"{constant[0]} does not vary")
    return rows.assign(**((values - values.mean()) / spread))


def _coefficients(rows: pd.DataFrame, terms: list[str]) -> Array:
    """Fits the model; returns its coefficients, shape (terms,).

    Raises:
        NoModelError: the terms cannot be told apart, or the fit does not converge.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM  # takes a second

    tasks = pd.get_dummies(rows["task"], drop_first=True, dtype=float).to_numpy()
    design = np.hstack([rows[terms].to_numpy(dtype=float), np.ones((len(rows), 1)), tasks])
    if len(rows) < _ROWS_PER_TERM * design.shape[1]:
        raise NoModelError(f"{len(rows)} rows are too few for {design.shape[1]} coefficients")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise NoModelError("it is singular: its terms cannot be told apart")
    model = MixedLM(rows["tickets"].to_numpy(), design, rows["seed"].to_numpy())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # seeds need not differ, of which it warns
        try:
            # Optimizers that follow a gradient often fail where the seeds' variance is 0.
            result = model.fit(method="powell")
            found = np.asarray(result.fe_params, dtype=float)[: len(terms)]
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NoModelError(f"its fit failed ({error})") from None
    if not result.converged or not np.isfinite(found).all():
        raise NoModelError("its fit did not converge")
    return found
