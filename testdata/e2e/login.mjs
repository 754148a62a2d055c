// A person at a browser: logs in and consents in Chromium, enters the code of a device
// ($USER_CODE) or logs out, until a page says that it is done: node login.mjs URL. With
// SHOTS=FOLDER a picture of each page is kept; PROFILE=FOLDER keeps the browser's session.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const url = process.argv.at(-1);
const profile = process.env.PROFILE ?? mkdtempSync(join(tmpdir(), 'fob-e2e-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  colorScheme: process.env.SCHEME ?? 'light',
  viewport: { width: Number(process.env.WIDTH ?? 1000), height: 720 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', ...(url.startsWith('https:') || process.env.E2E_CA ? ['--ignore-certificate-errors'] : [])],
});
try {
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const has = (selector) => page.locator(selector).first().isVisible();
  const [login, code, consent, done] = ['input[name=login]', 'input[name=user_code]:not([type=hidden])', 'button[autofocus]',
    'main[role=status], h1:text-matches("^Sign-(in|out) Success$")'];
  await page.goto(url, { waitUntil: 'commit' });
  for (let step = 1; ; step++) {
    await page.locator([login, code, consent, done].join(', ')).first().waitFor();
    const name = (await has(done)) ? 'done' : (await has(login)) ? 'login' : (await has(code)) ? 'code' : 'consent';
    if (name === 'login') {
      await page.fill(login, 'ada');
      await page.fill('input[name=password]', 'x');
    } else if (name === 'code') {
      await page.fill(code, process.env.USER_CODE);
    }
    if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${step}-${name}.png`) });
    if (name === 'done') break;
    await Promise.all([page.waitForNavigation({ waitUntil: 'commit' }), page.locator('button[type=submit]').first().click()]);
  }
  console.log(await page.innerText('h1'));
} finally {
  await context.close();
  if (!process.env.PROFILE) rmSync(profile, { recursive: true, force: true });
}
