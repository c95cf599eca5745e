// What a plan moved and why, in words.
import type { Cause, Condition, Crossing, Move, MovedShare, PlanRecord } from "../api/types.ts";
import { REASONS } from "./health.ts";
import { list, percent, seconds } from "./units.ts";

/** Why a plan was made. */
export const WHYS: Record<PlanRecord["why"], string> = {
  start: "start of the control plane",
  edit: "edit of the fleet file",
  intent: "intents",
  signals: "signals",
  planner: "planner",
};

/** With a share of 100 % the others are those that would get what overflows. */
function share(share: MovedShare | null): string {
  if (!share) return "no placement";
  const others = Object.entries(share.overflow).map(([region, weight]) => `${region} ${weight}`);
  return others.length > 0 ? `${share.home_share} % (${others.join(", ")})` : `${share.home_share} %`;
}

function condition(condition: Condition | null): string {
  if (!condition) return "no pool";
  const reasons = list(condition.reasons.map((reason) => REASONS[reason] ?? reason));
  if (condition.down) return reasons ? `down (${reasons})` : "down";
  return reasons || "ok";
}

export function moved(move: Move): string {
  switch (move.kind) {
    case "placement":
      return `${move.zone}, ${move.model} at ${move.gateway}: home share ${share(move.before)} → ${share(move.after)}`;
    case "health":
      return `${move.model} in ${move.region}: ${condition(move.before)} → ${condition(move.after)}`;
    case "batch_gate":
      return `${move.model} in ${move.region}: takes ${move.before} % → ${move.after} % of batch`;
    case "freshness":
      return `data in ${move.region}: ${move.behind ? "behind" : "no longer behind"}`;
    case "retrieval":
      return `retrieval at ${move.region}: ${move.before} → ${move.after}`;
  }
}

const NAMES: Record<Crossing["signal"], [string, (value: number) => string]> = {
  utilization: ["utilization", (value) => percent(value)],
  queue: ["queue", (value) => String(Math.round(value))],
  first_token: ["first token p95", (value) => seconds(value)],
  errors: ["errors", (value) => percent(value, 1)],
  replication_lag: ["replication lag", (value) => seconds(value)],
  endpoints: ["healthy endpoints", (value) => String(value)],
};

export function cause(cause: Cause): string {
  switch (cause.kind) {
    case "above":
    case "below": {
      const [name, format] = NAMES[cause.signal] ?? [cause.signal, String];
      return `${name} of ${cause.region} ${format(cause.value)}, ${cause.kind} ${format(cause.limit)}`;
    }
    case "silent":
      return `${cause.model} in ${cause.region} is silent`;
    case "reporting":
      return `${cause.model} in ${cause.region} reports again`;
    case "pool_left":
      return `${cause.model} in ${cause.region} serves no longer`;
    case "pool_returned":
      return `${cause.model} in ${cause.region} serves again`;
    case "intent":
      return `intent ${cause.number}`;
    case "intent_ended":
      return `the end of intent ${cause.number}`;
    case "edit":
      return "an edit of the fleet file";
  }
}
