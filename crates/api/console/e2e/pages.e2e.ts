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

/** What axe finds, each with where. */
async function violations({ page }: Visitor, rules: Rules): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async (only) => {
    const { axe } = window as unknown as { axe: { run: (options: object) => Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run({ resultTypes: ['violations'], ...(only && { runOnly: only }) });
    return violations.map((each) => `${each.id}: ${each.help} (${each.nodes.map((node) => node.html.slice(0, 160)).join(' | ')})`);
  }, rules === 'colours' ? ['color-contrast', 'link-in-text-block'] : null);
}

async function inspect(visitor: Visitor, picture: string, where: string, rules: Rules, isFull = true): Promise<void> {
  const { page } = visitor;
  await page.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('Loading…'));
  // What comes later, such as figures in a table. A page that is live is never idle.
  await page.waitForLoadState('networkidle', { timeout: 800 }).catch(() => {});
  await page.screenshot({ path: `${SCREENSHOTS}/${picture}.png`, fullPage: isFull, animations: 'disabled' });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(wide, `${where} is ${wide} px wider than the window`).toBeLessThanOrEqual(0);
  const faults = [...(await violations(visitor, rules)), ...visitor.complaints];
  if (faults.length > 0) throw new Error(`${where}: ${faults.join('; ')}`);
}

/** In the dark, only the colours are different. */
type Rules = 'all' | 'colours';

const FORMS = [
  { name: 'wide', viewport: { width: 1280, height: 900 }, colorScheme: 'light', rules: 'all' },
  { name: 'wide-dark', viewport: { width: 1280, height: 900 }, colorScheme: 'dark', rules: 'colours' },
  { name: 'narrow', viewport: { width: 390, height: 844 }, colorScheme: 'light', rules: 'all' },
  { name: 'narrow-dark', viewport: { width: 360, height: 740 }, colorScheme: 'dark', rules: 'colours' },
] as const;

test.concurrent.each(FORMS)('every page is in order: $name', { timeout: 600_000 }, async ({ name, viewport, colorScheme, rules }) => {
  const visitor = await Visitor.come(browser, { viewport, colorScheme });
  const { page } = visitor;
  await visitor.open('/', 'Sign in');
  await inspect(visitor, `sign-in.${name}`, 'sign-in', rules);
  await visitor.signIn(admin);
  const faults: string[] = [];
  const look = async (act: () => Promise<void>) => {
    // All of them are told, not only the first.
    await act().catch((error: unknown) => faults.push(error instanceof Error ? error.message : String(error)));
    visitor.complaints.length = 0;
  };
  for (const [picture, path, heading] of pages) {
    await look(async () => {
      await visitor.open(path, heading);
      await inspect(visitor, `${picture}.${name}`, picture, rules);
    });
  }
  for (const [picture, of, button] of DIALOGS) {
    await look(async () => {
      const found = pages.find(([each]) => each === of);
      if (!found) throw new Error(`no page ${of}`);
      await visitor.open(found[1], found[2]);
      await page.getByRole('button', { name: button }).first().click();
      await page.getByRole('dialog').waitFor();
      if (picture === 'dialog-test') await page.getByText('See the whole delivery').waitFor();
      await inspect(visitor, `${picture}.${name}`, picture, rules, false);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    });
  }
  if (viewport.width < 820) {
    await look(async () => {
      await visitor.open('/', 'Overview');
      await page.getByRole('button', { name: 'Menu' }).click();
      await inspect(visitor, `menu.${name}`, 'menu', rules, false);
    });
  }
  await visitor.leave();
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
  expect(shown.files).toBeLessThanOrEqual(14);
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
