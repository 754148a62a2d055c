// A person at a browser: logs in and consents in Chromium, and waits for fob's
// page: node login.mjs URL. With SHOTS=FOLDER a picture of each page is kept.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const url = process.argv.at(-1);
const profile = mkdtempSync(join(tmpdir(), 'fob-e2e-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  colorScheme: process.env.SCHEME ?? 'light',
  viewport: { width: Number(process.env.WIDTH ?? 1000), height: 720 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
try {
  const page = await context.newPage();
  const shoot = async (name) => {
    if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
  };
  await page.goto(url);
  await page.fill('input[name=login]', 'ada');
  await page.fill('input[name=password]', 'x');
  await shoot('1-login');
  await page.click('button[type=submit]');
  await page.waitForSelector('button[autofocus]');
  await shoot('2-consent');
  await page.click('button[type=submit]');
  await page.waitForSelector('main[role=status]', { timeout: 20000 });
  await shoot('3-done');
  console.log(await page.innerText('h1'));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
