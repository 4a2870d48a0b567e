// Prometheus text, and what can be said of two looks at it.

// Reads the text: `values`, name -> sum over its labels; `series`, name -> [{labels, value}]; `buckets`, name of a histogram ->
// bound -> count.
export function parse_metrics(text) {
  const values = new Map();
  const series = new Map();
  const buckets = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-z_0-9]+)(\{.*\})? ([^ ]+)/.exec(line);
    if (!found) continue;
    const [, name, labels = "", number] = found;
    const value = Number(number);
    const bound = /le="([^"]+)"/.exec(labels);
    if (bound && name.endsWith("_bucket")) {
      const histogram = name.slice(0, -"_bucket".length);
      const of = buckets.get(histogram) ?? new Map();
      const edge = bound[1] === "+Inf" ? Infinity : Number(bound[1]);
      of.set(edge, (of.get(edge) ?? 0) + value);
      buckets.set(histogram, of);
      continue;
    }
    values.set(name, (values.get(name) ?? 0) + value);
    const named = Object.fromEntries([...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]));
    series.set(name, [...(series.get(name) ?? []), { labels: named, value }]);
  }
  return { values, series, buckets };
}

// What a histogram counted since an earlier look.
export function counted_since(buckets, before) {
  return new Map([...buckets].map(([edge, count]) => [edge, count - (before?.get(edge) ?? 0)]));
}

export function count_of(buckets) {
  return buckets.get(Infinity) ?? 0;
}

// The value below which a share of a histogram lies, as Prometheus's histogram_quantile: linear within a bucket.
export function percentile(buckets, share) {
  const edges = [...buckets.entries()].sort(([a], [b]) => a - b);
  const count = edges.at(-1)?.[1] ?? 0;
  if (count <= 0) return null;
  let low = 0;
  let below = 0;
  for (const [edge, upto] of edges) {
    if (upto >= share * count) return edge === Infinity ? low : low + (edge - low) * (share * count - below) / (upto - below);
    low = edge;
    below = upto;
  }
  return low;
}
