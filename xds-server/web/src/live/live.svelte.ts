// What the control plane says, kept up to date by its events.
import { untrack } from "svelte";
import { get, reason, Refusal } from "../api/client.ts";
import { readEvents } from "../api/events.ts";
import type { Decision, PlanRecord, Report, Series } from "../api/types.ts";
import { counted, flows, type Counted, type Flow } from "./traffic.ts";
import { token } from "./token.svelte.ts";

/** Rates are over this time, in milliseconds. */
const WINDOW = 10_000;
/** Waits before the next attempt to connect, in milliseconds. */
const WAITS = [1_000, 2_000, 4_000, 8_000, 15_000];
/** Most decisions and plans that are kept. */
const MOST = 1_000;

/** Whether what is shown is what is. */
export type State = { live: true } | { live: false; why: string; since: number };

class Live {
  state = $state.raw<State>({ live: false, why: "connecting", since: Date.now() });
  report = $state.raw<Report>();
  flows = $state.raw<Flow[]>([]);
  /** The newest ones, oldest first. */
  decisions = $state.raw<Decision[]>([]);
  plans = $state.raw<PlanRecord[]>([]);
  limits = $state.raw<Series["limits"]>({});
  #counted: Counted[] = [];

  /** Connects, and connects again after every end, until `signal` says stop. */
  async run(signal: AbortSignal) {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#load(signal);
        failures = 0;
        await readEvents("v1/events", (event, data) => this.#take(event, data), signal);
      } catch (error) {
        if (signal.aborted) return;
        const since = this.state.live ? Date.now() : this.state.since;
        this.state = { live: false, why: reason(error), since };
        if (error instanceof Refusal && error.status === 401) return;
      }
      await pause(WAITS[Math.min(failures, WAITS.length - 1)] ?? 1_000, signal);
    }
  }

  /** What there is already; events say only what is new. */
  async #load(signal: AbortSignal) {
    const after = this.decisions.at(-1)?.number;
    const [report, decisions, plans, series] = await Promise.all([
      get<Report>("v1/status", signal),
      get<{ decisions: Decision[] }>(after === undefined ? "v1/decisions?last=200" : `v1/decisions?after=${after}`, signal),
      get<{ plans: PlanRecord[] }>("v1/plans?limit=200", signal),
      get<Series>("v1/series?minutes=1", signal),
    ]);
    this.#takeReport(report);
    this.decisions = merged(this.decisions, decisions.decisions);
    this.plans = merged(this.plans, plans.plans);
    this.limits = series.limits;
  }

  #take(event: string, data: unknown) {
    this.state = { live: true };
    if (event === "status") this.#takeReport(data as Report);
    if (event === "decisions") this.decisions = merged(this.decisions, data as Decision[]);
    if (event === "plan") this.plans = merged(this.plans, data as PlanRecord[]);
  }

  #takeReport(report: Report) {
    this.report = report;
    const now = counted(report);
    this.#counted = [...this.#counted.filter((it) => it.at < now.at && it.at >= now.at - WINDOW), now];
    const oldest = this.#counted[0];
    this.flows = oldest ? flows(oldest, now) : [];
  }
}

function merged<T extends { number: number }>(known: T[], more: T[]): T[] {
  const newest = known.at(-1)?.number ?? 0;
  const first = more[0];
  // Numbers that begin anew are those of a control plane that has started anew.
  if (first && first.number < newest && (more.at(-1)?.number ?? 0) < newest) return more.slice(-MOST);
  return [...known, ...more.filter((it) => it.number > newest)].slice(-MOST);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

export const live = new Live();

/** An effect: it runs anew with each token. */
export function connect() {
  void token.entered;
  const stop = new AbortController();
  // It reads what it writes itself.
  untrack(() => void live.run(stop.signal));
  return () => stop.abort();
}
