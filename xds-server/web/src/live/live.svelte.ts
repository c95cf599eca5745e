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
      const load = async () => {
        await this.#load(signal);
        failures = 0;
        this.state = { live: true };
      };
      try {
        // What there is already is read once the events come: nothing is missed between the two.
        await readEvents("v1/events", load, (event, data) => this.#take(event, data), signal);
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
    const [report, { decisions }, { plans }, series] = await Promise.all([
      get<Report>("v1/status", signal),
      get<{ decisions: Decision[] }>("v1/decisions?last=200", signal),
      get<{ plans: PlanRecord[] }>("v1/plans?limit=200", signal),
      get<Series>("v1/series", signal),
    ]);
    this.#takeReport(report);
    this.decisions = loaded(this.decisions, decisions);
    this.plans = loaded(this.plans, plans);
    this.limits = series.limits;
  }

  #take(event: string, data: unknown) {
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

interface Numbered {
  number: number;
}

/** What is known and what is new, by number. */
function merged<T extends Numbered>(known: T[], more: T[]): T[] {
  const newest = known.at(-1)?.number ?? 0;
  return [...known, ...more.filter((it) => it.number > newest)].slice(-MOST);
}

/** What was loaded, in continuation of what is known, if it is one: a control plane that has started anew counts anew. */
function loaded<T extends Numbered>(known: T[], all: T[]): T[] {
  const isNewer = (all.at(-1)?.number ?? 0) >= (known.at(-1)?.number ?? 0);
  return isNewer ? merged(known, all) : all;
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
