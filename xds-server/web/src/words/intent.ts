// What an operator said, in words.
import type { Action, AuditRecord, Intent } from "../api/types.ts";
import { time } from "./units.ts";

export function action(action: Action): string {
  switch (action.kind) {
    case "drain": {
      const what = action.model ? `${action.model} at ${action.region}` : action.region;
      return `drain${action.hard ? " (hard)" : ""} ${what}`;
    }
    case "override": {
      const others = Object.entries(action.overflow).map(([region, weight]) => `${region} ${weight}`);
      const rest = others.length > 0 ? `, the others to ${others.join(", ")}` : "";
      return `override ${action.gateway}, ${action.zone}, ${action.model}: home keeps ${action.home_share} %${rest}`;
    }
    case "freeze":
      return "freeze";
  }
}

/** The drain of a whole region that is in force, with its number. */
export function drainOf(intents: Record<string, Intent>, region: string): string | undefined {
  const found = Object.entries(intents).find(
    ([, { action }]) => action.kind === "drain" && action.region === region && !action.model,
  );
  return found?.[0];
}

const CHANGES = { created: "created", undone: "undid", expired: "ended by its time:" };

export function change(record: AuditRecord): string {
  const before = record.before && `${record.before[0]}, ${action(record.before[1].action)}`;
  if (record.after) {
    const instead = before ? `, in the place of ${before}` : "";
    return `${CHANGES[record.change]} ${action(record.after.action)} until ${time(record.after.expires)}${instead}`;
  }
  return `${CHANGES[record.change]} ${before ?? "an intent"}`;
}
