// How a pool and a region are, by level and in words.
import type { Pool, Region } from "../api/types.ts";
import { list } from "./units.ts";

/** From the best to the worst. Each has a shape of its own on the map. */
export const LEVELS = ["ok", "unknown", "hot", "drained", "unhealthy", "down"] as const;
export type Level = (typeof LEVELS)[number];

/** Levels in words. */
export const LEVEL_WORDS: Record<Level, string> = {
  ok: "ok",
  unknown: "no signals",
  hot: "hot",
  drained: "drained",
  unhealthy: "unhealthy",
  down: "down",
};

/** Reasons why a pool is not healthy, in words. */
export const REASONS: Record<string, string> = {
  no_endpoints: "no healthy endpoint",
  errors: "errors",
  queue_depth: "queue",
  first_token: "first token",
  replication_lag: "replication lag",
  stale: "stale signals",
  drained: "drained",
};

/** Utilization above which a region sheds load, where the control plane has not said it yet. */
const USUAL_LIMIT = 0.8;

export function level(pool: Pool, limit: number | null | undefined): Level {
  const { signals, health } = pool;
  if (health.down) return "down";
  if (health.reasons.some((reason) => reason !== "drained")) return "unhealthy";
  if (health.reasons.length > 0) return "drained";
  if (signals.utilization === null && signals.endpoints === null) return "unknown";
  return (signals.utilization?.now ?? 0) >= (limit ?? USUAL_LIMIT) ? "hot" : "ok";
}

/** The worst of a region's pools. */
export function regionLevel(region: Region, limit: number | null | undefined): Level {
  const levels = Object.values(region.pools).map((pool) => LEVELS.indexOf(level(pool, limit)));
  return LEVELS[Math.max(...levels, -1)] ?? "unknown";
}

export function health(pool: Pool, limit: number | null | undefined): string {
  const reasons = list(pool.health.reasons.map((reason) => REASONS[reason] ?? reason));
  const word = LEVEL_WORDS[level(pool, limit)];
  return reasons && reasons !== word ? `${word}: ${reasons}` : word;
}

/** The highest utilization of a region's pools. */
export function load(region: Region): number | null {
  const values = Object.values(region.pools).flatMap((pool) => pool.signals.utilization?.now ?? []);
  return values.length > 0 ? Math.max(...values) : null;
}

/** Requests per second to a region's pools. */
export function requests(region: Region): number | null {
  const values = Object.values(region.pools).flatMap((pool) => pool.signals.comes ?? []);
  return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) : null;
}
