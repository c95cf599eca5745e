// The signals of the last hour, continued by each report.
import { get, reason } from "../api/client.ts";
import { SIGNALS, type Pool, type Region, type Report, type Series, type SeriesOfPool, type Signal } from "../api/types.ts";
import { live } from "./live.svelte.ts";

/** What is shown, in minutes. */
const MINUTES = 60;

function now(region: Region, pool: Pool): Record<Signal, number | null> {
  return {
    utilization: pool.signals.utilization?.now ?? null,
    waiting: pool.signals.waiting,
    first_token_p95: pool.signals.first_token_p95,
    error_rate: pool.signals.error_rate,
    replication_lag: pool.signals.replication_lag ?? region.data.lag,
  };
}

/** The series with a report's values, if the last ones are a step old. */
function continued(series: Series, report: Report): Series {
  const oldest = report.at - MINUTES * 60_000;
  const pools: Series["pools"] = {};
  for (const [name, region] of Object.entries(report.regions)) {
    for (const [model, pool] of Object.entries(region.pools)) {
      const known = series.pools[name]?.[model] ?? empty();
      const isDue = report.at - (known.at.at(-1) ?? 0) >= series.step_ms;
      (pools[name] ??= {})[model] = isDue ? appended(known, report.at, now(region, pool), oldest) : known;
    }
  }
  return { ...series, pools };
}

function empty(): SeriesOfPool {
  return { at: [], utilization: [], waiting: [], first_token_p95: [], error_rate: [], replication_lag: [] };
}

function appended(known: SeriesOfPool, at: number, values: Record<Signal, number | null>, oldest: number): SeriesOfPool {
  const first = known.at.findIndex((it) => it >= oldest);
  const from = first < 0 ? known.at.length : first;
  const next: SeriesOfPool = { ...empty(), at: [...known.at.slice(from), at] };
  for (const signal of SIGNALS) next[signal] = [...(known[signal] ?? []).slice(from), values[signal]];
  return next;
}

export class History {
  series = $state.raw<Series>();
  error = $state<string>();

  /** Reads the series; again after each time at which the page was not live. */
  async load(signal: AbortSignal) {
    try {
      this.series = await get<Series>("v1/series", signal);
      this.error = undefined;
    } catch (error) {
      if (!signal.aborted) this.error = reason(error);
    }
  }

  follow(report: Report) {
    if (this.series) this.series = continued(this.series, report);
  }
}

/** Keeps a history up to date while it is shown. */
export function follow(history: History) {
  const isLive = $derived(live.state.live);
  $effect(() => {
    if (!isLive) return;
    const stop = new AbortController();
    void history.load(stop.signal);
    return () => stop.abort();
  });
}
