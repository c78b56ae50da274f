// Follows a study on the coordinator's live page in a real browser, from before its submission to its report, while a site
// disappears and comes back; then looks at a hospital's own page.
//
// Started by tests/system/pages.rs: follow.mjs BROWSER COORDINATOR-URL CLIENT-URL FOLDER. It says on standard output what
// it has seen, one word a line, and whoever started it makes the next thing happen. What is wrong ends it with 1.

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const [browserPath, coordinatorUrl, clientUrl, folder] = process.argv.slice(2);
const PATIENCE = 60_000;
const problems = [];
const own = new Set([coordinatorUrl, clientUrl].map((url) => new URL(url).host));

await mkdir(folder, { recursive: true });
// Chromium's own sandbox does not start for root, as whom containers run.
const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: browserPath, args });
const context = await browser.newContext({ viewport: { width: 1280, height: 1600 } });
context.setDefaultTimeout(PATIENCE);

function watch(page) {
    page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`script: ${error.message}`));
    page.on("request", (request) => {
        if (!own.has(new URL(request.url()).host)) problems.push(`a request to ${request.url()}`);
    });
    page.on("response", (response) => {
        if (response.status() >= 400) problems.push(`${response.status()} of ${response.url()}`);
    });
    return page;
}

const saw = (word) => console.log(word);
const picture = (page, name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

function check(holds, what) {
    if (!holds) throw new Error(what);
}

/** Waits until the row of `site` in the first table of sites says `state`. */
function waitForSite(page, site, state) {
    return page.waitForFunction(
        ([site, state]) => {
            const rows = [...document.querySelectorAll("#sites tbody tr")];
            return rows.some((row) => row.cells[0].innerText === site && row.cells[1].innerText === state);
        },
        [site, state],
    );
}

/** Nothing without words for those who do not see it. */
async function checkWords(page) {
    const silent = await page.evaluate(() => ({
        pictures: [...document.querySelectorAll("svg")].filter(
            (svg) => !svg.closest("[aria-hidden=true]") && !svg.querySelector("title"),
        ).length,
        tables: [...document.querySelectorAll("table")].filter((table) => !table.caption?.innerText).length,
        headings: document.querySelectorAll("h1").length,
        language: document.documentElement.lang,
        inline: document.querySelectorAll("[onclick],[onload],[onerror],[style],script:not([src])").length,
    }));
    check(silent.pictures === 0, "a picture without a title");
    check(silent.tables === 0, "a table without a caption");
    check(silent.headings === 1 && silent.language.startsWith("en"), "one heading and a language");
    check(silent.inline === 0, "an inline script, handler or style");
}

const page = watch(await context.newPage());
try {
    await page.goto(coordinatorUrl);
    await page.getByText("No study was submitted yet.").first().waitFor();
    await page.getByText("Live: changes are shown as they happen.").waitFor();
    saw("empty");

    await waitForSite(page, "north", "connected");
    await waitForSite(page, "south", "connected");
    await page.waitForFunction(() => document.querySelectorAll("#curves svg polyline").length > 0);
    await checkWords(page);
    await picture(page, "1-under-way");
    saw("connected");

    await waitForSite(page, "south", "gone");
    check((await page.locator("#log").innerText()).length > 0, "the log's end is empty");
    await picture(page, "2-a-site-is-gone");
    saw("gone");

    await waitForSite(page, "south", "connected");
    saw("back");

    const hospital = watch(await context.newPage());
    await hospital.goto(clientUrl);
    await hospital.getByText("Consilium client of north").first().waitFor();
    await hospital.locator("#left").getByText("update", { exact: true }).first().waitFor();
    await hospital.locator("#data").getByText(/usable cases/).first().waitFor();
    await checkWords(hospital);
    await picture(hospital, "3-a-hospitals-page");
    const shown = await hospital.locator("body").innerText();
    check(!shown.includes("UPENN") && !shown.includes("/tmp"), "the hospital's page names a case or a path");

    await page.getByRole("link", { name: /^Report of/ }).waitFor();
    await picture(page, "4-finished");
    await page.getByRole("link", { name: /^Report of/ }).click();
    await page.getByRole("heading", { level: 1, name: /^Report of/ }).waitFor();
    check((await page.locator("svg").count()) > 3, "the report has no pictures");
    await picture(page, "5-report");
    saw("report");
} catch (error) {
    problems.push(error.message);
    await picture(page, "failed").catch(() => {});
} finally {
    await browser.close();
}

for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
