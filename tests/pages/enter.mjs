// Enters the live page of a coordinator that others can reach, in a real browser: with an access token or a certificate.
//
// Started by tests/system/pages.rs: enter.mjs BROWSER URL FOLDER token TOKEN, or: certificate CERT KEY SITE-CERT SITE-KEY.
// The browser takes the coordinator's certificate unseen: that a stranger's is refused is tested over raw sockets. The
// browser's own certificate is shown for it by playwright. What is wrong ends it with 1.

import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const [browserPath, url, folder, by, ...keys] = process.argv.slice(2);
const origin = new URL(url).origin;
const PATIENCE = 60_000;

await mkdir(folder, { recursive: true });
const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: browserPath, args });

function check(holds, what) {
    if (!holds) throw new Error(what);
}

async function visitor(more) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...more });
    context.setDefaultTimeout(PATIENCE);
    return context;
}

/** Everything that a page within complains of. */
function complaints(page) {
    const found = [];
    page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) found.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => found.push(`script: ${error.message}`));
    page.on("request", (request) => {
        if (new URL(request.url()).origin !== origin) found.push(`a request to ${request.url()}`);
    });
    return found;
}

async function seesTheStudies(page) {
    await page.getByText("No study was submitted yet.").first().waitFor();
    await page.getByText("Live: changes are shown as they happen.").waitFor();
}

async function byToken(token) {
    const context = await visitor();
    const page = await context.newPage();
    await page.goto(url);
    check(new URL(page.url()).pathname === "/login", "the page was shown without a login");
    check((await context.request.get(`${origin}/metrics`)).status() === 401, "metrics were told without a login");
    await page.getByLabel("Access token").fill("consilium-web-1:0123456789abcdef");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").getByText("This is not the token").waitFor();
    await page.screenshot({ path: `${folder}/6-log-in.png` });

    const found = complaints(page);
    await page.getByLabel("Access token").fill(token);
    await page.getByRole("button", { name: "Log in" }).click();
    await seesTheStudies(page);
    const [cookie] = await context.cookies();
    check(cookie.httpOnly && cookie.secure && cookie.sameSite === "Strict", "the session's cookie can be read or lent");
    check(!(await page.content()).includes(token), "the page holds the token");
    check(found.length === 0, found.join("\n"));

    const other = await (await visitor()).newPage();
    await other.goto(url);
    check(new URL(other.url()).pathname === "/login", "another browser is within, too");
}

async function byCertificate(certPath, keyPath, siteCertPath, siteKeyPath) {
    const with_ = (certPath, keyPath) => visitor({ clientCertificates: [{ origin, certPath, keyPath }] });
    const page = await (await with_(certPath, keyPath)).newPage();
    const found = complaints(page);
    await page.goto(url);
    await seesTheStudies(page);
    check(found.length === 0, found.join("\n"));
    const site = await (await with_(siteCertPath, siteKeyPath)).newPage();
    const answer = await site.goto(url);
    check(answer.status() === 401, `a site was answered ${answer.status()}`);
    const nobody = await (await visitor()).newPage();
    const refused = await nobody.goto(url).then(() => false, () => true);
    check(refused, "a browser without a certificate was answered");
}

let code = 0;
try {
    await (by === "token" ? byToken(...keys) : byCertificate(...keys));
} catch (error) {
    console.error(error.message);
    code = 1;
} finally {
    await browser.close();
}
process.exit(code);
