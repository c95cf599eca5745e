// A request such as a recorded one, to be explained.
import type { Decision, ExplainRequest, Report } from "../api/types.ts";

/** A record has the caller's zone, not the country: any country of the zone leads to the same. */
export function again(decision: Decision, report: Report): ExplainRequest {
  const zone = decision.zone === undefined ? undefined : report.zones?.[decision.zone];
  const country = decision.by === "unknown" ? undefined : zone?.countries?.[0];
  const keys = decision.decision.split(" ");
  return {
    gateway: decision.gateway,
    request_id: decision.request_id,
    ...(decision.model === undefined ? {} : { model: decision.model }),
    ...(country === undefined ? {} : { country }),
    ...(keys.includes("tier=batch") ? { tier: "batch" } : {}),
    ...(keys.some((key) => key.startsWith("fresh=")) ? { needs: "fresh" } : {}),
  };
}
