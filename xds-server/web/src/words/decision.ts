// A recorded request in words.
import type { Attempt, Decision, Lane } from "../api/types.ts";
import { bytes, milliseconds, number } from "./units.ts";

export const LANES: Record<Lane, string> = {
  home: "the first region of the chain was tried first",
  overflow: "another region was tried first, because the first one sheds load",
  fresh: "a region with fresh data was tried first, because the request needs it",
  batch: "the request can wait, so the cheapest region with room was tried first",
  fallback: "no region of the zone could serve it, so fallbacks alone were tried",
};

export const OUTCOMES: Record<Decision["outcome"], string> = {
  answered: "answered",
  refused: "refused by the gateway",
  failed: "failed",
  broken: "broken off after the caller had a part of it",
  left: "left by the caller",
};

const ENDS: Record<string, string> = {
  answered: "answered",
  connect: "no connection: refused, too slow, or TLS failed",
  reset: "the connection ended before an answer, or the limit of the whole answer passed",
  first_token: "no first token within the limit; another member was tried as well and was sooner",
  unstreamed: "no answer within the limit; another member was tried as well and was sooner",
  overtaken: "an earlier attempt was answered after all",
  left: "the caller left",
  error: "an error inside an answer with status 200",
  incomplete: "the answer was incomplete",
  aborted: "the server aborted the answer",
  malformed: "the answer was not of the API",
  no_model: "the server does not have the model",
  stall: "the answer fell silent",
  trickle: "the answer came more slowly than the limit",
  cut: "the answer was cut off",
};

const REFUSALS: Record<string, string> = {
  misdirected: "this gateway may not serve the caller's zone",
  unknown_zone: "no source tells the caller's zone",
  unknown_path: "no API has this path",
  model_not_found: "the zone does not have the model",
  method_not_allowed: "the path does not have the method",
  invalid_body: "the body cannot be read",
  request_too_large: "the request is larger than the limit",
  unsupported_encoding: "the body has a content encoding",
  field_not_allowed: "the fallback may not be given a field of the request",
  remote_content: "the request names content by URL, which the zone or the fallback refuses",
  unknown_need: "the header `x-meridian-needs` has a value that does not exist",
  unknown_tier: "the header `x-meridian-tier` has a value that does not exist",
  batch_later: "no region has room for batch",
  regions_overloaded: "every region that may serve it refuses, and there is no fallback",
  regions_silent: "no region that may serve it answers, and there is no fallback",
  previous_response_unavailable: "it continues an earlier answer, and the region that has it does not serve",
  zone_rules_changing: "a part of the configuration does not have the zone's definition yet",
};

/** The keys of the header `x-meridian-decision`. */
function keys(header: string): Map<string, string> {
  const pairs = header.split(" ").map((pair) => pair.split("=") as [string, string?]);
  return new Map(pairs.map(([key, value]) => [key, value ?? ""]));
}

function part(value: string | undefined): string | undefined {
  return value === undefined ? undefined : `${Math.round(Number(value) * 100)} %`;
}

/** What became of it, in one sentence. */
export function summary(decision: Decision): string {
  const { gateway, outcome, region, status, duration_ms, broken } = decision;
  const took = duration_ms === undefined ? "" : ` after ${milliseconds(duration_ms)}`;
  const said = status === 0 ? "" : ` with status ${status}`;
  switch (outcome) {
    case "answered":
      return region
        ? `${region} answered a request at the gateway of ${gateway}${said}${took}.`
        : `The gateway of ${gateway} answered it itself${said}${took}.`;
    case "refused":
      return `The gateway of ${gateway} refused it${said}: ${REFUSALS[decision.refused ?? ""] ?? decision.refused ?? "no reason is recorded"}.`;
    case "failed":
      return `It failed at the gateway of ${gateway}${said}${took}${region ? `; ${region} was tried last` : ""}.`;
    case "broken":
      return `The answer${region ? ` of ${region}` : ""} broke off${took}, when the caller had a part of it${broken ? `: ${ENDS[broken] ?? broken}` : ""}.`;
    case "left":
      return `The caller left${took}.`;
  }
}

/** The caller's zone, and what told it. */
export function zone({ zone, by }: Decision): string {
  if (!zone) return "The caller's zone is not recorded.";
  if (!by) return `The caller's zone is ${zone}.`;
  if (by === "unknown") return `The caller's zone is ${zone}: no source told it, so it is the fleet's zone for unknown callers.`;
  return `The caller's zone is ${zone}: the header ${by} told it.`;
}

/** The lane, and what led to it. */
export function lane(decision: Decision): string[] {
  const said = keys(decision.decision);
  const lines: string[] = [];
  if (decision.lane) lines.push(`Lane ${decision.lane}: ${LANES[decision.lane]}.`);
  const share = said.get("home_share");
  if (share !== undefined) lines.push(`By the plan the first region kept ${share} % of such requests.`);
  const leaving: [string, string][] = [
    ["cooling", "because it had refused some for lack of room"],
    ["full", "because its servers had no free slot"],
    ["pressure", "because a first token would have come sooner elsewhere"],
  ];
  for (const [key, why] of leaving) {
    const value = part(said.get(key));
    if (value) lines.push(`At this moment ${value} of them left it ${why}.`);
  }
  const breaker = said.get("breaker");
  if (breaker === "first") lines.push("The gateway's breaker of the first region was open: it served none of the last requests.");
  if (breaker === "all") lines.push("The gateway's breakers of all regions were open.");
  const drain = said.get("drain");
  if (drain === "new") lines.push("The first region was drained, and the request began a conversation.");
  if (drain === "ongoing") lines.push("The first region was drained, and the request went on with a conversation.");
  if (said.get("lease") === "ran-out") lines.push("The plan's lease had run out: the control plane was away.");
  if (said.has("continues")) lines.push(`It continues an earlier answer by ${said.get("continues")}, so it stayed with the first region.`);
  if (said.get("tier") === "batch") lines.push("It was a batch request.");
  const fresh = said.get("fresh");
  if (fresh === "yes") lines.push("It needed fresh data, and the region had it.");
  if (fresh === "no") lines.push("It needed fresh data, and no region of the zone had it.");
  if (fresh === "unknown") lines.push("It needed fresh data, and no source tells where it is.");
  return lines;
}

/** How an attempt ended. */
export function attempt({ end, ms }: Attempt): string {
  const after = ms === undefined ? "" : `, after ${milliseconds(ms)}`;
  return `${/^\d+$/.test(end) ? `status ${end}` : (ENDS[end] ?? end)}${after}`;
}

/** Durations, tokens and sizes, by their names. */
export function figures(decision: Decision): [string, string][] {
  const { tokens } = decision;
  const all: [string, string | undefined][] = [
    ["first byte", decision.first_byte_ms === undefined ? undefined : milliseconds(decision.first_byte_ms)],
    ["duration", decision.duration_ms === undefined ? undefined : milliseconds(decision.duration_ms)],
    ["prompt tokens", tokens && number(tokens.prompt)],
    ["of them cached", tokens && number(tokens.cached)],
    ["completion tokens", tokens && number(tokens.completion)],
    ["bytes in", bytes(decision.bytes_in)],
    ["bytes out", bytes(decision.bytes_out)],
  ];
  return all.filter((it): it is [string, string] => it[1] !== undefined);
}
