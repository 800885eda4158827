#!/usr/bin/env python3
"""Compares carat's statistics with scipy, statsmodels and formulas solved by brute force.

usage: oracle_statistics.py DRIVER [--rounds N] [--seed S]

DRIVER is the program carat_statistics_oracle. Exits 1 if anything differs.
"""
import argparse
import itertools
import json
import math
import random
import subprocess
import sys
import warnings

import numpy as np
import scipy.optimize
import scipy.stats
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import zt_ind_solve_power
from statsmodels.stats.proportion import proportion_confint


class Driver:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the driver died on {json.dumps(request)[:2000]}")
        answer = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{answer['error']}: {json.dumps(request)[:2000]}")
        return answer


class Tally:
    def __init__(self):
        self.checked = self.failed = 0

    def near(self, what, ours, theirs, tolerance):
        self.checked += 1
        if ours == theirs or abs(ours - theirs) <= tolerance:
            return
        self.failed += 1
        print(f"{what}: {ours} here, {theirs} there")


def means(ask, tally, r):
    """Clustered errors are those of a regression on a constant alone."""
    n = r.randrange(4, 200)
    values = [r.gauss(3, 2) for _ in range(n)]
    weights = [r.choice([1, 1, 2, 7]) for _ in range(n)] if r.random() < 0.5 else []
    clusters = [r.randrange(max(2, n // 3)) for _ in range(n)] if r.random() < 0.7 else list(range(n))
    if len(set(clusters)) < 2:
        clusters[0] = 10**6
    m = ask(op="mean", values=values, weights=weights, clusters=clusters)
    groups = {c: i for i, c in enumerate(dict.fromkeys(clusters))}
    fit = sm.WLS(values, np.ones(n), weights=weights or 1.0).fit(
        cov_type="cluster", cov_kwds={"groups": np.array([groups[c] for c in clusters]), "use_correction": True}, use_t=True)
    tally.near("mean", m["mean"], fit.params[0], 1e-11)
    tally.near("clustered error", m["error_of_mean"], fit.bse[0], 1e-9)
    half = scipy.stats.t.ppf(0.975, len(groups) - 1) * fit.bse[0]
    tally.near("t interval", m["interval"][1], fit.params[0] + half, 1e-8)


def shares(ask, tally, r):
    n = r.randrange(1, 3000)
    k = r.choice([0, 1, n, r.randrange(n + 1)])
    level = r.choice([0.9, 0.95, 0.99])
    low, high = proportion_confint(k, n, alpha=1 - level, method="beta")
    ours = ask(op="share", successes=k, trials=n, confidence=level)["interval"]
    tally.near(f"share {k}/{n} low", ours[0], 0 if k == 0 else low, 1e-9)
    tally.near(f"share {k}/{n} high", ours[1], 1 if k == n else high, 1e-9)


def mcnemar(ask, tally, r):
    worse, better = r.randrange(60), r.randrange(60)
    ours = ask(op="mcnemar", worse=worse, better=better)
    n = worse + better
    p = scipy.stats.binomtest(worse, n, 0.5, alternative="greater").pvalue if n else 1
    tally.near(f"McNemar {worse}:{better}", ours["p"], p, 1e-12)
    tally.near(f"its mid-p {worse}:{better}", ours["mid_p"], p - scipy.stats.binom.pmf(worse, n, 0.5) / 2, 1e-12)


def tango(n, b, c, margin):
    """Score statistic; the constrained maximum of the likelihood by search instead of the closed form."""
    low, high = max(0.0, -margin), (1 - margin) / 2

    def loss(q):
        terms = ((b, q + margin), (c, q), (n - b - c, 1 - 2 * q - margin))
        return -sum(k * math.log(max(x, 1e-300)) for k, x in terms if k)

    q = scipy.optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    for end in (low, high):
        if loss(end) < loss(q):
            q = end
    variance = n * (2 * q + margin * (1 - margin))
    return (b - c - n * margin) / math.sqrt(variance)


def score(ask, tally, r):
    n = r.randrange(30, 2000)
    b, c = r.randrange(n // 4), r.randrange(n // 4)
    margin = r.choice([-0.1, 0.0, 0.01, 0.05, 0.2])
    if margin == 0 and b + c == 0:
        return
    ours = ask(op="damage", items=n, worse=b, better=c, margin=margin, confidence=0.95)
    z = tango(n, b, c, margin)
    tally.near(f"Tango {n} {b}:{c} at {margin}", ours["z"], z, 1e-5 * max(1, abs(z)))
    if b + c >= 25:
        tally.near("its p", ours["at_least"], scipy.stats.norm.cdf(z), 1e-5)
        if margin:
            tally.near("its other p", ours["at_most"], scipy.stats.norm.sf(z), 1e-5)
        for end, sign in zip(ours["interval"], (1, -1)):
            tally.near(f"its interval {n} {b}:{c}", tango(n, b, c, end), sign * 1.959964, 1e-3)


def exact(ask, tally, r):
    """Every table, 2000 values of the nuisance over all of its range within the same interval."""
    n = r.randrange(5, 40)
    b, c = r.randrange(min(6, n // 2 + 1)), r.randrange(min(6, n // 2 + 1))
    margin = r.choice([0.02, 0.1, 0.2, 0.3])
    ours = ask(op="damage", items=n, worse=b, better=c, margin=margin, confidence=0.95)["exact"]
    seen = tango(n, b, c, margin)
    tables = [(x, y) for x, y in itertools.product(range(n + 1), repeat=2) if x + y <= n and tango(n, x, y, margin) <= seen + 1e-6]
    low, high = proportion_confint(c, n, alpha=1e-5, method="beta")
    low, high = (0 if c == 0 else low), min(1 if c == n else high, (1 - margin) / 2)
    q = np.linspace(low, max(low, high), 2000)
    p = np.zeros_like(q)
    with np.errstate(divide="ignore", invalid="ignore"):
        for x, y in tables:
            rest = np.maximum(1 - 2 * q - margin, 0)
            logs = math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(y + 1) - math.lgamma(n - x - y + 1)
            p += math.exp(logs) * (q + margin) ** x * q**y * rest ** (n - x - y)
    theirs = min(1, p.max() + 1e-5)
    tally.near(f"exact p {n} {b}:{c} at {margin}", ours, theirs, 0.01 * theirs)


def clusters(ask, tally, r):
    groups = r.randrange(8, 60)
    weights = [r.choice([1, 2, 5]) for _ in range(groups)]
    skewed = r.random() < 0.5
    sums = [w * (r.expovariate(1) if skewed else r.gauss(0.3, 1)) for w in weights]
    margin = r.choice([0.0, 0.5, 1.0])
    ours = ask(op="clusters", sums=sums, weights=weights, scale=1, margin=margin, confidence=0.95)
    s, w = np.array(sums), np.array(weights, dtype=float)
    fit = sm.WLS(s / w, np.ones(groups), weights=w).fit(cov_type="HC0")
    error = fit.bse[0] * math.sqrt(groups / (groups - 1))
    tally.near("mean of clusters", ours["mean"], fit.params[0], 1e-11)
    tally.near("its error", ours["error_of_mean"], error, 1e-10)
    t = scipy.stats.t.ppf(0.975, groups - 1) * error
    bca = scipy.stats.bootstrap((s, w), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True,
                                n_resamples=19999, method="BCa", rng=r.randrange(10**6)).confidence_interval
    drawn = np.random.default_rng(r.randrange(10**6)).integers(0, groups, (19999, groups))
    means = s[drawn].sum(axis=1) / w[drawn].sum(axis=1)
    spread = ((s[drawn] - means[:, None] * w[drawn])**2).sum(axis=1)
    kept = spread > 1e-9  # one cluster drawn again and again has none
    errors = np.sqrt(spread[kept] * groups / (groups - 1)) / w[drawn][kept].sum(axis=1)
    t_low, t_high = np.quantile((means[kept] - ours["mean"]) / errors, [0.025, 0.975])
    low = min(bca.low, ours["mean"] - t, ours["mean"] - t_high * error)
    high = max(bca.high, ours["mean"] + t, ours["mean"] - t_low * error)
    # Both draw resamples: their ends scatter by a few hundredths of the width, those of few skewed clusters by more.
    tally.near("cluster interval, low", ours["interval"][0], low, 0.08 * (high - low))
    tally.near("cluster interval, high", ours["interval"][1], high, 0.08 * (high - low))
    flip = scipy.stats.permutation_test((s,), lambda a, axis: a.sum(axis), permutation_type="samples",
                                        alternative="greater", n_resamples=9999, vectorized=True, rng=r.randrange(10**6))
    p = flip.pvalue
    tolerance = 1e-12 if groups <= 13 else 5 * math.sqrt(2 * p * (1 - p) / 9999) + 1e-4
    tally.near(f"sign flips of {groups}", ours["flip"], p, tolerance)
    t_p = scipy.stats.t.cdf((ours["mean"] - margin) / error, groups - 1)
    tally.near("p is no less than t's", min(ours["at_least"], t_p), t_p, 1e-9)
    tally.near("p is no less than t's, other side", min(ours["at_most"], 1 - t_p), 1 - t_p, 1e-9)


def corrections(ask, tally, r):
    p = [r.random() ** 3 for _ in range(r.randrange(1, 60))]
    ours = ask(op="adjust", p=p)
    for name, method in (("holm", "holm"), ("bh", "fdr_bh")):
        for a, b in zip(ours[name], multipletests(p, method=method)[1]):
            tally.near(method, a, b, 1e-12)


def percentiles(ask, tally, r):
    values = [r.lognormvariate(0, 1) for _ in range(r.randrange(2, 400))]
    q, level = r.choice([0.5, 0.9, 0.95, 0.99]), r.choice([0.9, 0.95])
    ours = ask(op="percentile", values=values, fraction=q, confidence=level)
    tally.near("percentile", ours["value"], np.quantile(values, q), 1e-12)
    theirs = scipy.stats.quantile_test(values, p=q).confidence_interval(level)
    ends = [-math.inf if math.isnan(theirs.low) else theirs.low, math.inf if math.isnan(theirs.high) else theirs.high]
    for a, b in zip(ours["interval"], ends):
        tally.near(f"interval of the {q} percentile of {len(values)} at {level}", a, b, 1e-14 * abs(b) if math.isfinite(b) else 0)


def power(ask, tally, r):
    """Two means of n values of deviation 1, known: the error of their difference is sqrt(2/n)."""
    n, target = r.randrange(10, 5000), r.choice([0.8, 0.9])
    effect = zt_ind_solve_power(nobs1=n, alpha=0.025, power=target, alternative="larger")
    tally.near("effect", ask(op="power", error=math.sqrt(2 / n), alpha=0.025, power=target)["effect"], effect, 1e-5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("driver")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ask, tally, r = Driver(options.driver).ask, Tally(), random.Random(options.seed)
    for part in (means, shares, mcnemar, score, clusters, corrections, percentiles, power, exact):
        for _ in range(options.rounds if part is not exact else max(1, options.rounds // 4)):
            part(ask, tally, r)
    print(f"{tally.checked} figures compared, {tally.failed} differ")
    return 1 if tally.failed or not tally.checked else 0


if __name__ == "__main__":
    sys.exit(main())
