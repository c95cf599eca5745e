// The names that a report has, for choices.
import type { Report } from "../api/types.ts";

function sorted(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

export function regions(report: Report): string[] {
  return sorted(Object.keys(report.regions));
}

export function models(report: Report, region?: string): string[] {
  const of = region ? [report.regions[region]] : Object.values(report.regions);
  return sorted(of.flatMap((region) => Object.keys(region?.pools ?? {})));
}

/** The zones of the fleet, or as far as placements and requests name them. */
export function zones(report: Report): string[] {
  if (report.zones) return sorted(Object.keys(report.zones));
  const placed = Object.values(report.placements).flatMap((zones) => Object.keys(zones));
  const pools = Object.values(report.regions).flatMap((region) => Object.values(region.pools));
  return sorted([...placed, ...pools.flatMap((pool) => Object.keys(pool.demand))]);
}
