// Everything that a person should look at: the report's alarms, and files, plans and replicas that are not in force.
import type { Report } from "../api/types.ts";

export interface Shown {
  /** None: it is about the control plane. */
  region?: string;
  kind?: string;
  message: string;
}

export function alarms(report: Report): Shown[] {
  const own: [string, string | null | undefined][] = [
    ["plan_not_published", report.unpublished && `the plan cannot be published, the one before it stays: ${report.unpublished.message}`],
    ["fleet_file", report.fleet.error && `the fleet file is not in force as it is written: ${report.fleet.error.message}`],
    ["operators_file", report.api?.error && `the file of operators is not in force as it is written: ${report.api.error.message}`],
    ["certificates", report.certificates.error && `the certificate files are not in force: ${report.certificates.error.message}`],
    ["store", report.replicas && !report.replicas.up ? `the store does not answer: ${report.replicas.error ?? "no reason is known"}` : null],
    ["no_leader", report.replicas && !report.replicas.leader ? "no replica leads" : null],
    ["replica", report.replicas?.unable && `this replica cannot publish the plan in force: ${report.replicas.unable}`],
  ];
  const known = new Set(Object.keys(report.regions));
  return [
    ...own.flatMap(([kind, message]) => (message ? [{ kind, message }] : [])),
    ...report.alarms.map(({ region, kind, message }) => ({
      ...(known.has(region) ? { region } : {}),
      kind,
      message,
    })),
  ];
}
