// Traffic between regions: the difference of two reports' counters of attempts.
import type { Attempts, Lane, Report } from "../api/types.ts";

/** Attempts of one lane from the gateways of one region to another, per second. */
export interface Flow {
  from: string;
  to: string;
  lane: Lane;
  rate: number;
  /** The failed ones of them, per second. */
  failing: number;
}

/** A report's counters, and when they were read. */
export interface Counted {
  at: number;
  attempts: Map<string, { from: string; of: Attempts }>;
}

export function counted(report: Report): Counted {
  const attempts = new Map<string, { from: string; of: Attempts }>();
  for (const [from, region] of Object.entries(report.regions)) {
    for (const of of region.attempts) {
      attempts.set([of.gateway, of.zone, of.model, of.lane, of.to].join("\n"), { from, of });
    }
  }
  return { at: report.at, attempts };
}

/** What was sent between two reports. A gateway that has started anew counts from zero: its difference is left out. */
export function flows(before: Counted, after: Counted): Flow[] {
  const seconds = (after.at - before.at) / 1000;
  if (seconds <= 0) return [];
  const flows = new Map<string, Flow>();
  for (const [key, { from, of }] of after.attempts) {
    const earlier = before.attempts.get(key)?.of.counts;
    const answered = of.counts.answered - (earlier?.answered ?? 0);
    const failed = of.counts.overloaded + of.counts.failed - (earlier ? earlier.overloaded + earlier.failed : 0);
    if (answered < 0 || failed < 0 || answered + failed === 0) continue;
    const place = [from, of.to, of.lane].join("\n");
    const flow = flows.get(place) ?? { from, to: of.to, lane: of.lane, rate: 0, failing: 0 };
    flow.rate += (answered + failed) / seconds;
    flow.failing += failed / seconds;
    flows.set(place, flow);
  }
  return [...flows.values()];
}
