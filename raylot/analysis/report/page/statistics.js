// Means over seeds with their intervals, and correlations: the definitions of analysis/intervals.py
// and analysis/coefficients.py, for the rows that are chosen on the page.
"use strict";
const statistics = (() => {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  // Mean of one value per seed with its 95% t interval; a single seed has none.
  function meanInterval(values, quantiles) {
    const n = values.length;
    const center = mean(values);
    if (n < 2) return { mean: center, low: null, high: null, seeds: n };
    const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
    const error = Math.sqrt(squares / (n - 1) / n);
    const half = quantiles[Math.min(n - 1, quantiles.length) - 1] * error;
    return { mean: center, low: center - half, high: center + half, seeds: n };
  }

  // Means at each x: first over what a seed has there, then over seeds.
  function meansOverSeeds(rows, quantiles) {
    const at = new Map();
    for (const { x, seed, value } of rows) {
      if (value === null || value === undefined) continue;
      if (!at.has(x)) at.set(x, new Map());
      const seeds = at.get(x);
      if (!seeds.has(seed)) seeds.set(seed, []);
      seeds.get(seed).push(value);
    }
    return [...at.keys()].sort((a, b) => a - b).map((x) => ({
      x, ...meanInterval([...at.get(x).values()].map(mean), quantiles),
    }));
  }

  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  const isConstant = (values) => {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    return high - low <= 1e-9 * largest(values);
  };

  function pearson(x, y) {
    if (isConstant(x) || isConstant(y)) return null;
    const mx = mean(x), my = mean(y);
    let xy = 0, xx = 0, yy = 0;
    for (let i = 0; i < x.length; i++) {
      xy += (x[i] - mx) * (y[i] - my);
      xx += (x[i] - mx) ** 2;
      yy += (y[i] - my) ** 2;
    }
    return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
  }

  // Ties share their mean rank.
  function ranks(values) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
    const found = new Array(values.length);
    for (let start = 0; start < order.length;) {
      let end = start;
      while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
      for (let i = start; i <= end; i++) found[order[i]] = (start + end) / 2;
      start = end + 1;
    }
    return found;
  }

  const byStream = (points) => {
    const found = new Map();
    for (const point of points) {
      if (!found.has(point.stream)) found.set(point.stream, []);
      found.get(point.stream).push(point);
    }
    return [...found.values()];
  };

  // Changes from each snapshot of a stream to its next one; none across a missing one.
  function differences(points) {
    return byStream(points).flatMap((own) => {
      own.sort((a, b) => a.position - b.position);
      return own.slice(1).flatMap((later, i) => later.position - own[i].position === 1
        ? [{ ...later, x: later.x - own[i].x, y: later.y - own[i].y }] : []);
    });
  }

  // Deviations from the stream's mean, in streams of at least two snapshots.
  function withinStreams(points) {
    const kept = byStream(points).filter((own) => own.length > 1);
    const least = { x: 1e-9 * largest(kept.flat().map((p) => p.x)), y: 1e-9 * largest(kept.flat().map((p) => p.y)) };
    const beyondRounding = (value, name) => (Math.abs(value) <= least[name] ? 0 : value);
    return kept.flatMap((own) => {
      const mx = mean(own.map((p) => p.x)), my = mean(own.map((p) => p.y));
      return own.map((p) => ({ ...p, x: beyondRounding(p.x - mx, "x"), y: beyondRounding(p.y - my, "y") }));
    });
  }

  function partial(x, y, task) {
    const xy = pearson(x, y), xt = pearson(x, task), yt = pearson(y, task);
    if (xy === null || xt === null || yt === null) return null;
    const left = [1 - xt ** 2, 1 - yt ** 2];
    if (!left.every((share) => share > 1e-12)) return null;
    return Math.max(-1, Math.min(1, (xy - xt * yt) / Math.sqrt(left[0] * left[1])));
  }

  const xs = (points) => points.map((p) => p.x);
  const ys = (points) => points.map((p) => p.y);
  // Those with ``ranks`` have a place for infinite values too.
  const kinds = {
    pearson: { label: "Pearson", least: 3, of: (p) => pearson(xs(p), ys(p)) },
    spearman: { label: "Spearman", least: 3, ranks: true, of: (p) => pearson(ranks(xs(p)), ranks(ys(p))) },
    first_differences: {
      label: "first differences", least: 3, points: differences, of: (p) => pearson(xs(p), ys(p)),
    },
    partial: {
      label: "partial given task", least: 4, of: (p) => partial(xs(p), ys(p), p.map((q) => q.task)),
    },
    repeated_measures: {
      label: "repeated measures", least: 3, points: withinStreams, of: (p) => pearson(xs(p), ys(p)),
    },
  };

  // One correlation of points {x, y, task, stream, position}; null if it does not exist.
  function correlation(kind, points) {
    const { least, points: taken = (p) => p, of } = kinds[kind];
    const own = taken(points);
    return own.length < least ? null : of(own);
  }

  return { meanInterval, meansOverSeeds, correlation, kinds };
})();
