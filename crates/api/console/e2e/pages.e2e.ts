// Every page, wide and narrow, light and dark: nothing that axe objects to, nothing wider than the window, no complaint
// of the browser. The pictures are for people to look at.

import { mkdirSync, rmSync } from 'node:fs';
import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, SCREENSHOTS, Visitor } from './browser';
import { Receiver } from './receiver';
import { api, apiKey, company, type Person, until } from './stack';

interface Row {
  id: string;
  eventId: string;
  status: string;
}

let browser: Browser;
let receiver: Receiver;
let admin: Person;
/** Every page by the name of its picture. */
let pages: [string, string, string | RegExp][];

beforeAll(async () => {
  rmSync(SCREENSHOTS, { recursive: true, force: true });
  mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await launch();
  receiver = await Receiver.start();
  const { tenant, admin: made } = company('Acme Builders');
  admin = made;
  pages = await furnish(apiKey(tenant));
});

afterAll(async () => {
  await browser?.close();
  await receiver?.stop();
});

/** A company in which all sorts of things have happened. */
async function furnish(key: string): Promise<typeof pages> {
  const create = (body: unknown) => api<{ id: number; signingSecret: string }>(key, 'POST', 'webhook-endpoints', body);
  const good = await create({
    url: receiver.url,
    eventTypes: ['bid.created', 'bid.accepted', 'project.status_changed', 'contact.created'],
    description: 'Keeps the CRM in sync',
    rateLimit: 6000,
    headers: { Authorization: 'Bearer abc' },
  });
  receiver.secret = good.signingSecret;
  const failing = await create({ url: receiver.url.replace('/hooks', '/a/rather/long/path/that/nobody/would/want/to/see/broken'), eventTypes: ['bid.rejected'], description: 'Posts to the chat of the sales team' });
  const unreachable = await create({ url: 'http://127.0.0.1:9/nobody-listens-here', eventTypes: ['pay_app.submitted'] });
  const paused = await create({ url: 'http://127.0.0.1:9/paused', eventTypes: ['change_order.approved'], description: 'Not in use at the moment' });
  await api(key, 'PATCH', `webhook-endpoints/${paused.id}`, { isActive: false });
  await api(key, 'POST', 'webhook-event-types', {
    name: 'invoice.paid',
    description: 'An invoice was paid in full.',
    example: { id: 7, status: 'paid', total: 1250.5, lines: [{ description: 'Oak door', quantity: 2 }] },
    schema: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
  });
  const publish = (type: string, many: number) =>
    api(key, 'POST', 'events', { events: Array.from({ length: many }, (_, n) => ({ type, data: { id: 22 + n, title: 'Oak doors for the second floor', items: [{ description: 'Oak door', quantity: 2, unitPrice: 499.5 }], isUrgent: n % 2 === 0, note: null } })) });
  await publish('bid.accepted', 40);
  await publish('bid.created', 25);
  await publish('change_order.approved', 4);
  // Before the receiver changes its mind.
  const delivered = await settled(key, good.id, (rows) => rows.length === 65 && rows.every((row) => row.status === 'succeeded'));
  receiver.answer = { status: 422, body: '{"error":"bid 22 is unknown here","hint":"import it first"}', headers: { 'content-type': 'application/json', 'x-request-id': 'a1b2c3' } };
  await publish('bid.rejected', 9);
  const failed = await settled(key, failing.id, (rows) => rows.length === 9 && rows.every((row) => row.status === 'failed'));
  receiver.answer = { status: 200, body: 'ok' };
  await publish('pay_app.submitted', 2);
  const pending = await settled(key, unreachable.id, (rows) => rows.length === 2);
  const of = (rows: Row[]) => rows[0] as Row;
  return [
    ['overview', '/', 'Overview'],
    ['deliveries', '/deliveries', 'Deliveries'],
    ['deliveries-none', '/deliveries?status=exhausted&range=1h', 'Deliveries'],
    ['deliveries-range', '/deliveries?since=2026-01-01T00:00:00.000Z&status=failed', 'Deliveries'],
    ['delivery-delivered', `/deliveries/${of(delivered).id}`, 'bid.created'],
    ['delivery-failed', `/deliveries/${of(failed).id}`, 'bid.rejected'],
    ['delivery-pending', `/deliveries/${of(pending).id}`, 'pay_app.submitted'],
    ['delivery-missing', '/deliveries/dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b', 'No such delivery'],
    ['endpoints', '/endpoints', 'Endpoints'],
    ['webhooks', '/settings/developer/webhooks', 'Webhooks'],
    ['endpoint', `/endpoints/${good.id}`, /127\.0\.0\.1/],
    ['endpoint-disabled', `/endpoints/${paused.id}`, /127\.0\.0\.1/],
    ['endpoint-new', '/endpoints/new', 'Create an endpoint'],
    ['endpoint-edit', `/endpoints/${good.id}/edit`, 'Edit the endpoint'],
    ['events', '/events', 'Events'],
    ['event', `/events/${of(delivered).eventId}`, 'bid.created'],
    ['publish', '/events/publish?type=bid.accepted', 'Publish an event'],
    ['event-types', '/event-types', 'Event types'],
    ['event-type', '/event-types/type?name=invoice.paid', 'invoice.paid'],
    ['event-type-edit', '/event-types/edit?name=invoice.paid', 'Edit the event type'],
    ['recover', `/recover?endpoint=${failing.id}`, 'Recover'],
    ['recover-disabled', `/recover?endpoint=${paused.id}`, 'Recover'],
    ['recover-progress', `/recover?endpoint=${good.id}&deliveries=40&started=${new Date(Date.now() - 3_600_000).toISOString()}`, 'Recover'],
    ['api-keys', '/settings/developer/api-keys', 'API Keys'],
    ['users', '/settings/users', 'Users'],
    ['account', '/settings/account', 'Your account'],
    ['nowhere', '/no/such/page', 'No such page'],
  ];
}

const settled = (key: string, endpoint: number, are: (rows: Row[]) => boolean) =>
  until(`the deliveries of endpoint ${endpoint}`, async () => {
    const rows = await api<Row[]>(key, 'GET', `webhook-endpoints/${endpoint}/deliveries?limit=100`);
    return are(rows) && rows;
  });

/** What opens over a page, by the page and the button that opens it. */
const DIALOGS: [string, string, RegExp][] = [
  ['dialog-rotate', 'endpoint', /^Rotate the secret$/],
  ['dialog-delete', 'endpoint', /^Delete$/],
  ['dialog-test', 'endpoint', /^Send a test event$/],
  ['dialog-key', 'api-keys', /^Create a key$/],
  ['dialog-user', 'users', /^Add a user$/],
];

/** What a narrow window can make wrong. */
const NARROW_RULES = ['scrollable-region-focusable', 'color-contrast', 'region', 'target-size'];
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];

/** What axe finds, each with where; of all its rules unless some are named. */
async function violations({ page }: Visitor, rules: string[] | null): Promise<string[]> {
  return page.evaluate(async (only) => {
    const { axe } = window as unknown as { axe: { run: (options: object) => Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run({ resultTypes: ['violations'], ...(only && { runOnly: only }) });
    return violations.map((each) => `${each.id}: ${each.help} (${each.nodes.map((node) => node.html.slice(0, 160)).join(' | ')})`);
  }, rules);
}

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };
const NARROWEST = { width: 360, height: 740 };

/** Looks at what is open in every form, and tells what is wrong with it. */
async function inspect(visitor: Visitor, name: string, isDialog = false): Promise<string[]> {
  const { page } = visitor;
  const faults: string[] = [];
  const look = async (form: string, rules: string[] | null) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) faults.push(`${name}, ${form}: ${wide} px wider than the window`);
    await page.screenshot({ path: `${SCREENSHOTS}/${name}.${form}.png`, fullPage: !isDialog, animations: 'disabled' });
    for (const fault of await violations(visitor, rules)) faults.push(`${name}, ${form}: ${fault}`);
  };
  await page.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('Loading…'));
  // What comes later, such as figures in a table. A page that is live is never idle.
  await page.waitForLoadState('networkidle', { timeout: 700 }).catch(() => {});
  await page.evaluate(axe.source);
  await look('wide', null);
  await page.emulateMedia({ colorScheme: 'dark' });
  await look('wide-dark', COLOUR_RULES);
  await page.setViewportSize(NARROWEST);
  await look('narrowest-dark', COLOUR_RULES);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(NARROW);
  await look('narrow', NARROW_RULES);
  await page.setViewportSize(WIDE);
  faults.push(...visitor.complaints.splice(0).map((complaint) => `${name}: ${complaint}`));
  return faults;
}

// Two at a time, for the time's sake.
test.concurrent.each([0, 1])('every page is in order, part %i', { timeout: 300_000 }, async (part) => {
  const visitor = await Visitor.come(browser, { viewport: WIDE, colorScheme: 'light' });
  const { page } = visitor;
  const faults: string[] = [];
  await visitor.open('/', 'Sign in');
  if (part === 0) faults.push(...(await inspect(visitor, 'sign-in')));
  await visitor.signIn(admin);
  const mine = <T>(all: T[]) => all.filter((_, index) => index % 2 === part);
  for (const [name, path, heading] of mine(pages)) {
    await visitor.open(path, heading);
    faults.push(...(await inspect(visitor, name)));
  }
  for (const [name, of, button] of mine(DIALOGS)) {
    const [, path, heading] = pages.find(([each]) => each === of) ?? ['', '', ''];
    await visitor.open(path, heading);
    await page.getByRole('button', { name: button }).first().click();
    await page.getByRole('dialog').waitFor();
    if (name === 'dialog-test') await page.getByText('See the whole delivery').waitFor();
    faults.push(...(await inspect(visitor, name, true)));
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  if (part === 0) {
    await visitor.open('/endpoints/new', 'Create an endpoint');
    await page.getByRole('button', { name: 'Create the endpoint' }).click();
    await page.getByText('Choose at least one event type.').waitFor();
    faults.push(...(await inspect(visitor, 'endpoint-faults')));
    await page.getByLabel('URL').fill(`${receiver.url}/ready`);
    await page.getByRole('checkbox', { name: /^contact\.created/ }).check();
    await page.getByRole('button', { name: 'Create the endpoint' }).click();
    await page.getByLabel('Verifier in Node').waitFor();
    faults.push(...(await inspect(visitor, 'endpoint-ready')));
    await page.getByRole('link', { name: /I have saved it/ }).click();
    await page.getByRole('button', { name: 'Rotate the secret' }).click();
    await page.getByRole('button', { name: 'Prepare a new secret' }).click();
    await page.getByRole('dialog').getByLabel('Verifier in Node').waitFor();
    faults.push(...(await inspect(visitor, 'dialog-rotated', true)));
  }
  if (part === 1) {
    await page.setViewportSize(NARROW);
    await visitor.open('/', 'Overview');
    await page.getByRole('button', { name: 'Menu' }).click();
    faults.push(...(await inspect(visitor, 'menu', true)));
  }
  await visitor.leave();
  // All of them are told, not only the first.
  expect(faults).toEqual([]);
});

test('the first view is light', async () => {
  const visitor = await Visitor.come(browser);
  await visitor.open('/deliveries', 'Sign in');
  await visitor.signIn(admin);
  await visitor.open('/deliveries', 'Deliveries');
  await visitor.page.locator('tbody tr').first().waitFor();
  const shown = await visitor.page.evaluate(() => ({
    files: performance.getEntriesByType('resource').filter((each) => /\.(js|css)$/.test(each.name)).length,
    paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
  }));
  console.log(`first contentful paint after ${Math.round(shown.paint)} ms, ${shown.files} files`);
  expect(shown.files).toBeLessThanOrEqual(16);
  await visitor.leave();
});

test('the keyboard is enough', async () => {
  const visitor = await Visitor.come(browser);
  const { page } = visitor;
  await visitor.open('/endpoints', 'Sign in');
  await visitor.signIn(admin);
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Endpoints' }).waitFor();
  await page.locator('tbody tr').first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Skip to the content');
  await page.keyboard.press('Enter');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('content');
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Create an endpoint');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  // The focus is on the new page's heading.
  await page.getByRole('heading', { level: 1, name: /127\.0\.0\.1/ }).waitFor();
  await until('the focus on the heading', () => page.evaluate(() => document.activeElement?.tagName === 'H1'));
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Edit');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Rotate the signing secret' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  // And it is back where it was.
  expect(await focused()).toBe('Rotate the secret');
  await visitor.leave();
});

test('light and dark are chosen, and kept', async () => {
  const visitor = await Visitor.come(browser, { colorScheme: 'light' });
  const { page } = visitor;
  await visitor.open('/endpoints', 'Sign in');
  await visitor.signIn(admin);
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.getByRole('button', { name: 'Dark' }).click();
  const dark = await ground();
  expect(dark).not.toBe(light);
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Endpoints' }).waitFor();
  expect(await ground()).toBe(dark);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.getByRole('button', { name: 'Light' }).click();
  expect(await ground()).toBe(light);
  await page.getByRole('button', { name: 'As the system' }).click();
  expect(await ground()).toBe(dark);
  await visitor.leave();
});

test('copying works where the browser has no clipboard for scripts, as over plain http', async () => {
  const visitor = await Visitor.come(browser);
  const { page } = visitor;
  await page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await visitor.open('/settings/developer/api-keys', 'Sign in');
  await visitor.signIn(admin);
  await page.getByRole('button', { name: 'Create a key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Copied');
  await dialog.getByRole('checkbox', { name: /Everything/ }).check();
  await dialog.getByRole('button', { name: 'Create the key' }).click();
  const key = await dialog.getByLabel('the API key', { exact: true }).textContent();
  await dialog.getByRole('button', { name: 'Copy the API key' }).click();
  await dialog.getByRole('button', { name: 'Copied the API key' }).waitFor();
  // Escape must not lose what is shown only once.
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'I have saved it' }).click();
  await visitor.open('/events', 'Events');
  await page.getByLabel('Event id').focus();
  await page.keyboard.press('Control+V');
  expect(await page.getByLabel('Event id').inputValue()).toBe(key);
  await visitor.leave();
});
