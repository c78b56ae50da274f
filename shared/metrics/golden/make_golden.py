"""Writes golden.json beside it: figures of scikit-learn, SciPy, statsmodels, pROC and metafor on made-up patients.

Run it with a Python that has numpy, scipy, scikit-learn and statsmodels, and with Rscript (packages pROC and metafor) on
the path. ../tests/golden.rs compares this crate with the file. Patients are drawn from fixed seeds.

What no package offers is computed here from its definition and named so: the permutation test whose two-sided
p counts areas as far from 0.5 (its upper tail is checked against SciPy's), the interval of F1 (statsmodels' Wilson
interval of the overlap, mapped), the interval of the balanced accuracy (Zou and Donner, from statsmodels' Wilson
intervals), the logit interval of the area (from pROC's variance), the prediction interval (from metafor's fit) and the
expected calibration error.
"""

import csv
import itertools
import json
import math
import pathlib
import subprocess
import tempfile

import numpy as np
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy import stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from statsmodels.stats.proportion import proportion_confint

HERE = pathlib.Path(__file__).parent
BOOTSTRAPS = 2_000_000


def histogram(seed, bins, positives, negatives, shift):
    rng = np.random.default_rng(seed)
    squash = lambda z: 1 / (1 + np.exp(-z))
    count = lambda n, at: np.bincount(np.minimum((squash(rng.normal(at, 1.2, n)) * bins).astype(int), bins - 1), minlength=bins)
    return {"positives": count(positives, shift).tolist(), "negatives": count(negatives, 0.0).tolist()}


def rows_of(counts):
    p, n = (np.repeat(np.arange(len(c)), c) for c in (counts["positives"], counts["negatives"]))
    y = np.concatenate([np.ones(len(p), int), np.zeros(len(n), int)])
    return y, (np.concatenate([p, n]) + 0.5) / len(counts["positives"])


def wilson(successes, trials):
    if trials == 0:
        return None
    lower, upper = proportion_confint(successes, trials, method="wilson")
    return [successes / trials, float(max(lower, 0.0)), float(min(upper, 1.0))]


def at_threshold(y, score, threshold):
    called = (score >= threshold).astype(int)
    tn, fp, fn, tp = (int(x) for x in metrics.confusion_matrix(y, called, labels=[0, 1]).ravel())
    sensitivity, specificity = wilson(tp, tp + fn), wilson(tn, tn + fp)
    reach = lambda at: 0.5 * math.hypot(sensitivity[0] - sensitivity[at], specificity[0] - specificity[at])
    balanced = float(metrics.balanced_accuracy_score(y, called))
    overlap = wilson(tp, tp + fp + fn)
    through = lambda j: 2 * j / (1 + j)
    return {
        "threshold": threshold,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "positive_predictive_value": wilson(tp, tp + fp),
        "negative_predictive_value": wilson(tn, tn + fn),
        "accuracy": wilson(tp + tn, len(y)),
        "balanced_accuracy": [balanced, max(balanced - reach(1), 0), min(balanced + reach(2), 1)],
        "f1": [float(metrics.f1_score(y, called)), through(overlap[1]), through(overlap[2])],
        "matthews": float(metrics.matthews_corrcoef(y, called)) if 0 < called.sum() < len(y) else None,
    }


def calibration(y, score, bins):
    """Expected calibration error over bins // 8 groups, from its definition."""
    groups = bins // 8
    of = np.minimum((score * groups).astype(int), groups - 1)
    return sum(abs(y[of == g].sum() - score[of == g].sum()) for g in range(groups)) / len(y)


def recalibration(y, score):
    z = np.log(score / (1 - score))
    slope = sm.Logit(y, sm.add_constant(z)).fit(disp=0, tol=1e-14, maxiter=100)
    large = sm.GLM(y, np.ones((len(y), 1)), family=sm.families.Binomial(), offset=z).fit(tol=1e-14)
    return {"intercept": [slope.params[0], slope.bse[0]], "slope": [slope.params[1], slope.bse[1]],
            "in_the_large": [large.params[0], large.bse[0]]}


def permutation(counts):
    """All ways to choose the positive patients; the area's distance from 0.5 in integers."""
    y, score = rows_of(counts)
    ranks2 = (2 * stats.rankdata(score)).astype(int)
    p, n = int(y.sum()), len(y)
    centre = p * (n + 1)
    observed = int(ranks2[y == 1].sum()) - centre
    deviations = np.array([sum(ranks2[list(c)]) - centre for c in itertools.combinations(range(n), p)])
    greater = float(np.mean(deviations >= observed))
    statistic = lambda a, b: stats.rankdata(np.concatenate([a, b]))[: len(a)].sum()
    ours = stats.permutation_test((score[y == 1], score[y == 0]), statistic, alternative="greater", n_resamples=np.inf)
    assert abs(ours.pvalue - greater) < 1e-12
    return {"greater": greater, "two_sided": float(np.mean(abs(deviations) >= abs(observed)))}


def bootstrap(counts, seed):
    rng = np.random.default_rng(seed)
    p, n = (np.array(counts[k], float) for k in ("positives", "negatives"))
    P, N = p.sum(), n.sum()

    def area(p, n):
        return ((np.cumsum(n, axis=-1) - n / 2) * p).sum(-1) / (P * N)

    value = area(p, n)
    drawn = np.sort(np.concatenate([
        area(rng.multinomial(int(P), p / P, 100_000), rng.multinomial(int(N), n / N, 100_000))
        for _ in range(BOOTSTRAPS // 100_000)]))
    below, wins = np.cumsum(n) - n / 2, P - np.cumsum(p) + p / 2
    influence = np.concatenate([(below / N - value) / P, (wins / P - value) / N])
    weight = np.concatenate([p, n])
    acceleration = (weight * influence**3).sum() / (6 * (weight * influence**2).sum() ** 1.5)
    bias = stats.norm.ppf((np.mean(drawn < value) + np.mean(drawn <= value)) / 2)
    tails = [stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in stats.norm.ppf([0.025, 0.975])]
    y, score = rows_of(counts)
    statistic = lambda a, b, axis: stats.mannwhitneyu(a, b, axis=axis).statistic / (P * N)
    check = stats.bootstrap((score[y == 1], score[y == 0]), statistic, n_resamples=20_000, method="BCa", rng=rng)
    bca = np.quantile(drawn, tails)
    assert abs(bca - np.array(check.confidence_interval)).max() < 4e-3, (bca, check)
    return {"percentile": np.quantile(drawn, [0.025, 0.975]).tolist(), "bias_corrected": bca.tolist(),
            "standard_error": float(drawn.std(ddof=1))}


def regression(seed, n, ridge):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(0, 1, n).round(3), rng.integers(0, 2, n)]).astype(float)
    y = (rng.random(n) < 1 / (1 + np.exp(-(-0.4 + 0.8 * x[:, 0] - 0.6 * x[:, 1])))).astype(int)
    case = {"x": x.tolist(), "y": y.tolist(), "ridge": ridge}
    if ridge == 0:
        fit = sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-14, maxiter=100)
        return case | {"coefficients": fit.params.tolist(), "standard_errors": fit.bse.tolist(),
                       "p_values": fit.pvalues.tolist(), "log_likelihood": float(fit.llf)}
    fit = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-14, max_iter=1000).fit(x, y)
    return case | {"coefficients": [float(fit.intercept_[0]), *fit.coef_[0].tolist()]}


def paired(seed, bins, positives, negatives):
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [positives, negatives])
    shared = rng.normal(0, 1, len(y))
    arm = lambda effect: 1 / (1 + np.exp(-(0.8 * shared + rng.normal(0, 0.8, len(y)) + effect * y)))
    # Multiples of 1 / (8 bins) plus half: exact as f32, several to a bin.
    fine = lambda s: (np.floor(s * bins * 8) + 0.5) / (bins * 8)
    return {"bins": bins, "y": y.tolist(), "first": fine(arm(1.1)).tolist(), "second": fine(arm(0.5)).tolist()}


def csv_file(path, header, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(zip(*([repr(v) for v in column] for column in columns)))


def reference(scores, pairs, effects):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, (y, score) in scores.items():
            csv_file(folder / f"scores-{name}.csv", ["y", "score"], [y.tolist(), score.tolist()])
        for name, (y, first, second) in pairs.items():
            csv_file(folder / f"paired-{name}.csv", ["y", "first", "second"], [y, first, second])
        for name, sites in effects.items():
            csv_file(folder / f"effects-{name}.csv", ["estimate", "variance"], zip(*sites))
        subprocess.run(["Rscript", HERE / "reference.R", folder], check=True)
        found = {}
        for row in csv.DictReader(open(folder / "reference.csv")):
            found.setdefault(row["key"], []).append(row["value"])
        return found


def main():
    shapes = [(1, 16, 30, 30, 0.8), (2, 64, 41, 67, 0.5), (3, 128, 300, 420, 1.5), (4, 8, 12, 25, 0.0), (5, 64, 9, 80, -0.6)]
    histograms = {f"h{shape[0]}": histogram(*shape) for shape in shapes}
    scores = {name: rows_of(counts) for name, counts in histograms.items()}
    pairs = {f"p{seed}": paired(seed, bins, p, n) for seed, bins, p, n in [(11, 32, 40, 55), (12, 8, 120, 90)]}
    coarse = lambda values, bins: [math.floor(v * bins) / bins for v in values]
    arms = {}
    for name, pair in pairs.items():
        arms[f"{name}-rows"] = (pair["y"], pair["first"], pair["second"])
        arms[f"{name}-binned"] = (pair["y"], coarse(pair["first"], pair["bins"]), coarse(pair["second"], pair["bins"]))
    effects = {
        "differ": [(0.9, 0.11), (0.2, 0.05), (1.6, 0.3), (-0.3, 0.08), (0.5, 0.02)],
        "agree": [(0.41, 0.11), (0.38, 0.05), (0.44, 0.3), (0.36, 0.08)],
        "two": [(0.1, 0.02), (0.9, 0.1)],
        "many": [(float(v), float(s)) for v, s in zip(np.random.default_rng(6).normal(0.6, 0.5, 30).round(4),
                                                        np.random.default_rng(7).uniform(0.01, 0.4, 30).round(4))],
    }
    found = reference(scores, arms, effects)
    number = lambda key, place=0: float(found[key][place])

    cases = []
    for (seed, bins, *_), (name, counts) in zip(shapes, histograms.items()):
        y, score = scores[name]
        auc, variance = float(metrics.roc_auc_score(y, score)), number(f"delong/{name}")
        assert abs(auc - number(f"auc/{name}")) < 1e-12
        reach = stats.norm.ppf(0.975) * math.sqrt(variance) / (auc * (1 - auc))
        fpr, tpr, thresholds = metrics.roc_curve(y, score, drop_intermediate=False)
        precision, recall, _ = metrics.precision_recall_curve(y, score)
        test = lambda side: stats.mannwhitneyu(score[y == 1], score[y == 0], alternative=side, method="asymptotic", use_continuity=False)
        cases.append(counts | {
            "auc": auc,
            "auc_variance": variance,
            "auc_interval": [float(scipy.special.expit(scipy.special.logit(auc) + s * reach)) for s in (-1, 1)],
            "average_precision": float(metrics.average_precision_score(y, score)),
            "roc": [fpr.tolist(), tpr.tolist()],
            "precision_recall": [precision[-2::-1].tolist(), recall[-2::-1].tolist()],
            "standardised_partial_area": float(metrics.roc_auc_score(y, score, max_fpr=0.2)),
            "mann_whitney": {"u": float(test("two-sided").statistic), "two_sided": float(test("two-sided").pvalue),
                             "greater": float(test("greater").pvalue)},
            "operating_points": [at_threshold(y, score, k / bins) for k in (bins // 4, bins // 2, 3 * bins // 4)],
            "brier": float(metrics.brier_score_loss(y, score)),
            "calibration_error": float(calibration(y, score, bins)) if bins >= 16 else None,
            "recalibration": recalibration(y, score),
            "bootstrap": bootstrap(counts, seed) if seed in (1, 2) else None,
        })

    small = [histogram(21, 4, 5, 6, 0.7), histogram(22, 16, 8, 6, 0.3), histogram(23, 3, 3, 9, -0.5), histogram(24, 64, 7, 7, 1.0)]
    metas = []
    for name, sites in effects.items():
        for method in ("DL", "PM"):
            mean, error, tau, q, qp, lower, upper = (number(f"meta/{name}/{method}", k) for k in range(7))
            plain = math.sqrt(1 / sum(1 / (v + tau) for _, v in sites))
            kept = max(error, plain)
            t = lambda lost: stats.t.ppf(0.975, len(sites) - lost)
            spread = t(2) * math.hypot(kept, math.sqrt(tau)) if len(sites) > 2 else None
            assert abs((upper - lower) / 2 - t(1) * error) < 1e-9
            metas.append({
                "sites": sites, "method": method, "mean": mean, "knapp_hartung_error": error, "between_variance": tau,
                "q": q, "q_p_value": qp, "inconsistency": max(0.0, (q - len(sites) + 1) / q),
                "interval": [mean - t(1) * kept, mean + t(1) * kept],
                "prediction": spread and [mean - spread, mean + spread],
                "weights": [float(v) for v in found[f"weights/{name}/{method}"]],
            })
    for name, pair in pairs.items():
        for kind in ("rows", "binned"):
            key = f"{name}-{kind}"
            pair[kind] = {"covariance": number(f"paired-covariance/{key}"), "variance": number(f"paired-variance/{key}"),
                          "p_value": number(f"paired-p/{key}")}
    golden = {
        "made_by": f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
                   f"statsmodels {statsmodels.__version__}, {found['versions'][0]}",
        "histograms": cases,
        "permutations": [counts | permutation(counts) for counts in small],
        "regressions": [regression(31, 150, 0), regression(32, 600, 0), regression(33, 150, 2.5)],
        "paired": list(pairs.values()),
        "meta": metas,
        "quantiles": {"student": [[f, float(stats.t.isf(0.025, f))] for f in (1, 2, 3, 7, 29, 200)],
                      "chi_squared": [[x, f, float(stats.chi2.sf(x, f))] for x, f in ((0.3, 1), (4.0, 3), (60.0, 29), (18.0, 29))]},
    }
    # allow_nan=False: a figure that is no number is a mistake here.
    (HERE / "golden.json").write_text(json.dumps(golden, allow_nan=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
