// The page in a real Chromium. Without MERIDIAN_PAGE it runs against the stub in `stub/`, with it against a control plane:
//
//   MERIDIAN_PAGE   the page's address, e.g. http://127.77.0.21:18001/; requests run through its fleet meanwhile
//   MERIDIAN_HOT    the control of a fake server of MERIDIAN_REGION: PATCH {"kv_cache_usage": 0.95} makes it hot
//   MERIDIAN_REGION a region of an unpinned zone, that may be drained; us-west-2 by default
//   MERIDIAN_PINNED the only region of a pinned zone; eu-west-1 by default
//   CHROMIUM        the browser; /usr/bin/chromium by default
//   SCREENSHOTS     a directory for pictures of the page
import axe from "axe-core";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { stub } from "./stub/server.ts";

const LARGEST = 300_000;
const DEADLINE = 60_000;
const region = process.env.MERIDIAN_REGION ?? "us-west-2";
const pinned = process.env.MERIDIAN_PINNED ?? "eu-west-1";
const SECTIONS = ["", "signals", "plan", "decisions", "explain", "gateways", "residency", "intents", "audit"];
const WIDE = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

let browser;
let base = process.env.MERIDIAN_PAGE;
let hot = process.env.MERIDIAN_HOT;
const stubs = [];
const isStub = base === undefined;

async function start(token) {
  const started = stub(token);
  await new Promise((resolve) => started.server.listen(0, "127.0.0.1", resolve));
  stubs.push(started);
  return { ...started, base: `http://127.0.0.1:${started.server.address().port}/` };
}

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Root, as in containers, has no sandbox.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  if (isStub) {
    const started = await start();
    base = started.base;
    hot = `${base}behaviour`;
  }
});

after(async () => {
  await browser?.close();
  for (const { server } of stubs) {
    server.closeAllConnections();
    server.close();
  }
});

/** A page, whose errors are the test's. */
async function open(t, hash = "", options = WIDE, address = base) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  t.after(() => context.close());
  await page.goto(`${address}#/${hash}`);
  return { page, errors };
}

async function live(page) {
  await page.getByText("● live").waitFor();
}

async function setLoad(kv_cache_usage) {
  const answer = await fetch(hot, { method: "PATCH", body: JSON.stringify({ kv_cache_usage }) });
  assert.ok(answer.ok, `${hot} answers ${answer.status}`);
}

/** The cells of a table's column. */
function column(page, title) {
  return page.locator(`main td[data-title="${title}"]`).allInnerTexts();
}

async function screenshot(page, name) {
  const directory = process.env.SCREENSHOTS;
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: `${directory}/${name}.png` });
}

test("loads in under 300 KB, from one place, without errors, and stays where it is", async (t) => {
  const { page, errors } = await open(t, "", WIDE, "about:blank");
  let bytes = 0;
  const bodies = [];
  page.on("response", (response) => {
    const url = new URL(response.url());
    assert.equal(url.origin, new URL(base).origin, `${url} is somewhere else`);
    if (!url.pathname.startsWith("/v1/")) bodies.push(response.body().then((body) => (bytes += body.length)));
  });
  await page.addInitScript(() => {
    window.shifts = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(base);
  await live(page);
  await page.locator("[data-region]").first().waitFor();
  await Promise.all(bodies);
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes > 10_000 && bytes < LARGEST, `${bytes} bytes`);
  const shifts = await page.evaluate(() => window.shifts);
  t.diagnostic(`layout shift ${shifts}`);
  assert.ok(shifts < 0.1, `layout shift ${shifts}`);
  assert.deepEqual(errors, []);
});

test("shows each region on the map or beside it, with its figures", async (t) => {
  const { page } = await open(t);
  await live(page);
  assert.ok((await page.locator("path.land").getAttribute("d")).length > 10_000);
  const shown = page.locator(`[data-region="${region}"]`).first();
  await shown.focus();
  if ((await shown.evaluate((element) => element.tagName)) === "BUTTON") await shown.press("Enter");
  await page.locator("#region-title", { hasText: region }).waitFor();
  const onMap = await page.locator(`a[data-region="${region}"]`).count();
  if (onMap > 0) assert.match(await shown.getAttribute("aria-label"), /utilization \d+ %/);
  await screenshot(page, "light");
});

test("moves when a pool is made hot", async (t) => {
  const { page } = await open(t);
  await live(page);
  t.after(() => setLoad(0.3));
  await setLoad(0.95);
  const utilization = page.locator("main tr", { has: page.locator(`td[data-title="region"]`, { hasText: region }) });
  await utilization.locator('td[data-title="utilization"]', { hasText: "95 %" }).first().waitFor();
  if ((await page.locator(`a[data-region="${region}"]`).count()) > 0) {
    await page.locator(`a[data-region="${region}"][data-level="hot"]`).waitFor();
    await page.locator(`path.arc[data-from="${region}"]`).first().waitFor({ state: "attached" });
    await screenshot(page, "hot");
  }
  await page.goto(`${base}#/plan?gateway=${region}&leaving=true`);
  await page.locator('td[data-title="home share"]').first().waitFor();
  await page.locator(".history > li", { hasText: `at ${region}: home share` }).first().waitFor();
  await page.locator(".history > li", { hasText: `utilization of ${region}` }).first().waitFor();
});

test("filters requests, by an address of its own", async (t) => {
  const { page } = await open(t, "decisions");
  await live(page);
  await page.locator('td[data-title="gateway"]').first().waitFor();
  await page.getByRole("combobox", { name: "gateway" }).selectOption(region);
  await page.waitForFunction(
    (region) => {
      const cells = [...document.querySelectorAll('main td[data-title="gateway"]')];
      return cells.length > 0 && cells.every((cell) => cell.textContent.trim() === region);
    },
    region,
  );
  assert.match(page.url(), new RegExp(`#/decisions\\?gateway=${region}$`));
  await page.reload();
  await page.locator('td[data-title="gateway"]').first().waitFor();
  assert.deepEqual([...new Set(await column(page, "gateway"))], [region]);
  // A new one comes by itself.
  const newest = await page.locator("main tbody a").first().getAttribute("href");
  await page.waitForFunction((href) => document.querySelector("main tbody a")?.getAttribute("href") !== href, newest);
  assert.deepEqual([...new Set(await column(page, "gateway"))], [region]);
});

test("opens a request, and explains what would happen now", async (t) => {
  const { page, errors } = await open(t, `decisions?gateway=${region}&outcome=answered`);
  await page.locator("main tbody a").first().click();
  const record = page.locator("section", { has: page.locator("#decision-title") });
  await record.getByText(`at the gateway of ${region}`).waitFor();
  await record.getByText(/The caller's zone is .+: the header .+ told it|no source told it/).waitFor();
  await record.getByText(/^Lane /).waitFor();
  await record.locator("ol li").first().waitFor();
  assert.match(page.url(), /#\/decisions\/\d+\?/);
  await record.getByRole("button", { name: "What would happen now?" }).click();
  await record.locator("[data-explanation]").getByText(`${region}, by policy`).waitFor();
  await screenshot(page, "decision");
  assert.deepEqual(errors, []);
});

test("explains a request that nobody has sent", async (t) => {
  const { page } = await open(t, `explain?gateway=${region}&country=DE`);
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator("[data-explanation]").getByText("refused=misdirected").waitFor();
});

test("drains a region and undrains it", async (t) => {
  const { page } = await open(t);
  await live(page);
  await page.locator(`[data-region="${region}"]`).first().hover();
  await page.locator("section", { has: page.locator("#region-title", { hasText: region }) }).getByRole("link", { name: "Drain …" }).click();
  const dialog = page.getByRole("dialog", { name: "Drain" });
  await dialog.getByLabel("by", { exact: true }).fill("ana");
  await dialog.getByLabel("why", { exact: true }).fill("new drivers");
  await dialog.getByRole("button", { name: `Drain ${region}` }).click();
  await page.getByRole("status").filter({ hasText: `ana created drain ${region}` }).waitFor();
  await page.locator("td", { hasText: `drain ${region}` }).waitFor();
  await page.goto(`${base}#/`);
  await page.locator("td.drained", { hasText: "drained" }).first().waitFor();
  await screenshot(page, "drained");
  await page.locator(`[data-region="${region}"]`).first().hover();
  await page.getByRole("link", { name: "Undrain …" }).click();
  const undo = page.getByRole("dialog", { name: "Undrain" });
  assert.equal(await undo.getByLabel("by", { exact: true }).inputValue(), "ana");
  await undo.getByLabel("why", { exact: true }).fill("drivers are in");
  await undo.getByRole("button", { name: "Undrain" }).click();
  await page.getByText("Nothing is drained, overridden or frozen.").waitFor();
  await page.goto(`${base}#/audit`);
  await page.locator("td", { hasText: "drivers are in" }).first().waitFor();
});

test("shows what speaks against a drain, and offers to force it", async (t) => {
  const { page } = await open(t, `intents?do=drain&region=${pinned}`);
  const dialog = page.getByRole("dialog", { name: "Drain" });
  await dialog.getByLabel("by", { exact: true }).fill("ana");
  await dialog.getByLabel("why", { exact: true }).fill("new racks");
  await dialog.getByRole("button", { name: `Drain ${pinned}` }).click();
  await dialog.locator("[data-refusal]").getByText("would have no region").first().waitFor();
  await dialog.getByRole("button", { name: "Force it all the same" }).waitFor();
  await screenshot(page, "refused");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Nothing is drained, overridden or frozen.").waitFor();
});

test("works by the keyboard alone", async (t) => {
  const { page } = await open(t);
  await live(page);
  /** Tabs until something has the focus, and sees that each stop is visible. */
  const tabTo = async (name) => {
    for (let stops = 0; stops < 80; stops++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const element = document.activeElement;
        // Between the last stop and the first one the browser itself has the focus.
        if (element === document.body) return { text: "", isVisible: true };
        const style = getComputedStyle(element);
        const halo = element.querySelector(".halo");
        const isVisible = style.outlineStyle !== "none" || (halo !== null && getComputedStyle(halo).stroke !== "none");
        return { text: element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent, isVisible };
      });
      assert.ok(at.isVisible, `the focus on ${at.text} is not visible`);
      if (at.text.trim().startsWith(name)) return;
    }
    assert.fail(`no tab stop is ${name}`);
  };
  await tabTo("Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H2");
  await page.reload();
  await live(page);
  await tabTo("Intents");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Intents" }).waitFor();
  await tabTo("Freeze …");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Freeze" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await tabTo("Freeze …");
  await page.keyboard.press("Enter");
  await tabTo("by");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("ben");
  await tabTo("why");
  await page.keyboard.type("a test");
  await page.keyboard.press("Enter");
  await page.locator("td", { hasText: "freeze" }).waitFor();
  await tabTo("Undo");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Undo" }).waitFor();
  await tabTo("why");
  await page.keyboard.type("it was a test");
  await page.keyboard.press("Enter");
  await page.getByText("Nothing is drained, overridden or frozen.").waitFor();
});

test("shows what an Envoy refuses, beside one of the same node id", { skip: !isStub && "no Envoy of it refuses anything" }, async (t) => {
  const started = await start();
  const [envoy] = started.fleet.report.envoys;
  const refusing = structuredClone({ ...envoy, remote: "127.0.0.1:40000" });
  refusing.types.listener = { acked: "0123456789", in_flight: null, refused: "abcdef0123", nack: "no such filter: meridian.router" };
  started.fleet.report.envoys.push(refusing);
  const { page, errors } = await open(t, "gateways", WIDE, started.base);
  await page.getByText(`${envoy.node} at 127.0.0.1:40000, listener: refuses abcdef01: no such filter: meridian.router. It keeps 01234567.`).waitFor();
  await page.locator("summary", { hasText: "Versions by resource type" }).click();
  const rows = page.getByRole("table", { name: "Versions by resource type" }).getByRole("row", { name: envoy.node });
  assert.equal(await rows.count(), 2 * Object.keys(envoy.types).length);
  assert.deepEqual(errors, []);
});

test("moves the cursor of a chart by the keyboard", async (t) => {
  const { page } = await open(t, "signals");
  const chart = page.getByRole("application").first();
  await chart.locator("canvas").waitFor();
  await chart.focus();
  await page.keyboard.press("ArrowLeft");
  await chart.locator(".u-value", { hasText: /\d\d:\d\d:\d\d/ }).waitFor();
  await screenshot(page, "signals");
});

test("fits a phone of 360 pixels", async (t) => {
  const { page } = await open(t, "", PHONE);
  await live(page);
  for (const hash of [...SECTIONS, `intents?do=drain&region=${region}`, "intents?do=override"]) {
    await page.goto(`${base}#/${hash}`);
    await page.locator("main section, main form, dialog").first().waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(width, 360, `#/${hash} is ${width} pixels wide`);
    await screenshot(page, `phone-${hash.replace(/\W+/g, "-") || "overview"}`);
  }
});

for (const colorScheme of ["light", "dark"]) {
  test(`has no serious problem of accessibility, ${colorScheme}`, async (t) => {
    const { page } = await open(t, "", { ...WIDE, colorScheme, reducedMotion: "reduce" });
    await live(page);
    await page.evaluate(axe.source);
    const hashes = [...SECTIONS, `intents?do=drain&region=${region}`, "intents?do=override"];
    for (const hash of hashes) {
      await page.goto(`${base}#/${hash}`);
      await page.locator("main section, main form, dialog").first().waitFor();
      if (hash === "signals") await page.locator("canvas").first().waitFor();
      if (hash === "decisions") await page.locator("main tbody a").first().click();
      const { violations } = await page.evaluate(() => window.axe.run());
      const found = violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `#/${hash} ${id} ${target}: ${failureSummary}`));
      assert.deepEqual(found, []);
      await screenshot(page, `${colorScheme}-${hash.replace(/\W+/g, "-") || "overview"}`);
    }
  });
}

test("says that it is not live, and is again", { skip: !isStub && "the control plane is not ours" }, async (t) => {
  const started = await start();
  const { page } = await open(t, "", WIDE, started.base);
  await live(page);
  started.setAway(true);
  await page.getByText("○ not live").waitFor();
  await page.getByText("the control plane does not answer").waitFor();
  started.setAway(false);
  await live(page);
});

test("asks for a token where one is needed", { skip: !isStub && "the port needs none" }, async (t) => {
  const started = await start("meridian_secret");
  const { page } = await open(t, "gateways", WIDE, started.base);
  await page.getByLabel("token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByLabel("token").waitFor();
  await page.getByLabel("token").fill("meridian_secret");
  await page.keyboard.press("Enter");
  await live(page);
  await page.getByRole("heading", { name: "Envoys" }).waitFor();
  await page.reload();
  await live(page);
});
