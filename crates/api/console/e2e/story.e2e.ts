// What people do with the console, from the first sign-in to a recovery, against the real service.

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
import { launch, SCREENSHOTS, Visitor } from './browser';
import { Receiver } from './receiver';
import { api, apiKey, company, type Person, person, until } from './stack';

let browser: Browser;
let receiver: Receiver;
let visitor: Visitor;
let page: Page;
let tenant: number;
let admin: Person;
let key: string;
/** The endpoint that the story is about. */
let endpoint: string;

beforeAll(async () => {
  ({ tenant, admin } = company('Acme Builders'));
  key = apiKey(tenant);
  receiver = await Receiver.start();
  browser = await launch();
  visitor = await Visitor.come(browser);
  page = visitor.page;
});

/** Each step builds on the one before. */
let hasFailed = false;

beforeEach(({ skip }) => {
  if (hasFailed) skip('an earlier step failed');
  onTestFailed(async () => {
    hasFailed = true;
    await page.screenshot({ path: `${SCREENSHOTS}/failed.png`, fullPage: true });
  });
});

afterEach(() => {
  expect(visitor.complaints).toEqual([]);
});

afterAll(async () => {
  await browser?.close();
  await receiver?.stop();
});

const button = (name: string | RegExp) => page.getByRole('button', { name, exact: typeof name === 'string' });
const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name });
const dialog = () => page.getByRole('dialog');
/** What is shown in a table's first row. */
const firstRow = () => page.locator('tbody tr').first();

test('whoever is not signed in is shown the door, and is where they wanted to be afterwards', async () => {
  await page.goto('/settings/developer/webhooks');
  await page.getByLabel('E-mail').fill(admin.email);
  await page.getByLabel('Password').fill('this is not the password');
  await button('Sign in').click();
  await page.getByText('The e-mail address or the password is not right.').waitFor();
  await visitor.signIn(admin);
  await heading('Webhooks').waitFor();
  expect(new URL(page.url()).pathname).toBe('/settings/developer/webhooks');
  await page.getByText('No endpoints yet').waitFor();
});

test('an endpoint is created, its faults shown at their fields, its secret shown once', async () => {
  await page.getByRole('link', { name: 'Create an endpoint' }).click();
  await heading('Create an endpoint').waitFor();
  await button('Create the endpoint').click();
  await page.getByText('Write the URL that events are sent to.').waitFor();
  await page.getByText('Choose at least one event type.').waitFor();
  expect(await page.getByLabel('URL').evaluate((input) => input === document.activeElement)).toBe(true);

  // What only the server can tell.
  await page.getByLabel('URL').fill('https://localhost/hooks');
  await page.getByLabel('Search the event types').fill('bid');
  await page.getByRole('checkbox', { name: /^bid\.accepted/ }).check();
  await button('Create the endpoint').click();
  await page.locator('.fault').first().waitFor();
  expect(await page.getByLabel('URL').getAttribute('aria-invalid')).toBe('true');

  await page.getByLabel('URL').fill(receiver.url);
  await page.getByRole('checkbox', { name: /^bid\.created/ }).check();
  await page.getByLabel('Description').fill('Notify sales when a bid is won');
  await button('Add a header').click();
  await page.getByLabel('Name of header 1').fill('X-Team');
  await page.getByLabel('Value of header 1').fill("it's a secret");
  await button('Create the endpoint').click();
  await heading('The endpoint is ready').waitFor();

  const secret = (await page.getByLabel('the signing secret', { exact: true }).textContent()) ?? '';
  expect(secret).toMatch(/^whsec_/);
  receiver.secret = secret;
  await visitor.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await button('Copy the signing secret').click();
  await page.getByRole('status').filter({ hasText: 'Copied the signing secret' }).waitFor({ state: 'attached' });
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  // The verifier is filled in with it, in every language that there is.
  for (const language of ['Node', 'Python', 'Go', 'Ruby', 'PHP', 'Rust']) {
    await button(language).click();
    expect(await page.getByLabel(`Verifier in ${language}`).textContent()).toContain(secret);
  }

  await page.getByRole('link', { name: /I have saved it/ }).click();
  await heading(/127\.0\.0\.1/).waitFor();
  endpoint = new URL(page.url()).pathname;
  expect(await page.content()).not.toContain(secret);
  await page.getByText('X-Team').waitFor();
});

test('a test event arrives, verified, and its result is shown', async () => {
  await button('Send a test event').click();
  await dialog().getByText('The receiver answered 200').waitFor();
  await dialog().getByText('thank you').waitFor();
  const [test] = receiver.of('webhook.test');
  expect(test?.isVerified).toBe(true);
  expect(test?.headers['x-team']).toBe("it's a secret");
  await page.keyboard.press('Escape');
  await dialog().waitFor({ state: 'detached' });
});

test('a failure is watched while it is retried, explained, and reproduced', async () => {
  receiver.answer = { status: 503, body: '<b>down for maintenance</b>' };
  await page.getByRole('link', { name: 'Deliveries', exact: true }).click();
  await heading('Deliveries').waitFor();
  await page.getByText('Live', { exact: true }).waitFor();

  // It appears by itself, and goes on by itself.
  const { id } = await api<{ id: string }>(key, 'POST', 'events', { type: 'bid.accepted', data: { id: 22, note: "it's 1e400", huge: 12345678901234567890n.toString() } });
  await firstRow().getByText('Retrying').waitFor();
  expect(await firstRow().textContent()).toContain('503');
  await firstRow().getByRole('link').click();
  await heading('bid.accepted').waitFor();
  await page.getByText(/Attempt \d+ (in|is due now)/).waitFor();
  await page.getByText('The receiver is not available at the moment.').first().waitFor();
  // A receiver's answer is text, whatever it says.
  expect(await page.getByLabel('Response body, its first 10 KB').first().textContent()).toBe('<b>down for maintenance</b>');
  await page.getByText('Reproduce with curl').first().click();
  const command = (await page.getByLabel('curl', { exact: true }).first().textContent()) ?? '';
  expect(command).toContain("it'\\''s 1e400");
  expect(command).toContain('X-Team: REPLACE_X_TEAM');
  expect(command).not.toContain('secret');

  // 30 s later at most, unless the stack's schedule is a shorter one.
  receiver.answer = { status: 200, body: 'back again' };
  await page.getByText(/The receiver answered 200 to attempt/).waitFor({ timeout: 60_000 });
  await page.getByText('Attempt 1', { exact: true }).waitFor();
  await until('a verified delivery', () => receiver.received.findLast((each) => each.event === id)?.isVerified);
});

test('a delivery is replayed as another one of the same event', async () => {
  const event = (await page.locator('a[href^="/events/evt_"]').first().textContent()) ?? '';
  const before = receiver.received.filter((each) => each.event === event).length;
  await button('Replay').click();
  await page.getByText('Replay of').waitFor();
  await page.getByText('The receiver answered 200 to the first attempt.').waitFor();
  expect(receiver.received.filter((each) => each.event === event).length).toBe(before + 1);

  await page.locator('a[href^="/events/evt_"]').first().click();
  await heading('bid.accepted').waitFor();
  await page.getByText('12345678901234567890').waitFor();
  await until('both deliveries', async () => (await page.locator('tbody tr').count()) === 2);
});

test('what arrives while somebody reads does not move what they read', async () => {
  await api(key, 'POST', 'events', { events: Array.from({ length: 60 }, (_, n) => ({ type: 'bid.created', data: { n } })) });
  await until('all of them are on record', () => receiver.of('bid.created').length === 60);
  await page.getByRole('link', { name: 'Deliveries', exact: true }).click();
  await heading('Deliveries').waitFor();
  await page.getByText('Live', { exact: true }).waitFor();
  await until('a full page', async () => (await page.locator('tbody tr').count()) >= 50);
  await until('nothing more is new', async () => (await firstRow().count()) === 1 && (await api<{ status: string }[]>(key, 'GET', 'webhook-deliveries?limit=100&status=pending')).length === 0);
  await page.reload();
  await page.getByText('Live', { exact: true }).waitFor();
  await page.locator('tbody tr').nth(40).scrollIntoViewIfNeeded();
  await page.mouse.move(5, 5);
  const place = () => page.locator('tbody tr').nth(40).evaluate((row) => ({ href: row.querySelector('a')?.getAttribute('href'), top: Math.round(row.getBoundingClientRect().top) }));
  const before = await place();
  await api(key, 'POST', 'events', { type: 'bid.accepted', data: { id: 23 } });
  await button(/^1 new/).waitFor();
  expect(await place()).toEqual(before);
  await button(/^1 new/).click();
  await firstRow().getByText('bid.accepted').waitFor();

  // Pages of a list that grows neither repeat a row nor leave one out.
  const hrefs = () => page.locator('tbody tr a.cover').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  await page.reload();
  await page.getByRole('link', { name: 'Older' }).waitFor();
  const first = await hrefs();
  await api(key, 'POST', 'events', { type: 'bid.accepted', data: { id: 24 } });
  await page.getByRole('link', { name: 'Older' }).click();
  await page.getByRole('link', { name: 'Newest' }).waitFor();
  await until('another page', async () => (await hrefs())[0] !== first[0]);
  const second = await hrefs();
  expect(second.filter((href) => first.includes(href))).toEqual([]);
  await page.goBack();
  await page.getByText('Live', { exact: true }).waitFor();
});

test('filters are in the address, and a link with them shows the same', async () => {
  await page.goto('/deliveries');
  await page.getByLabel('Status', { exact: true }).selectOption('succeeded');
  await page.getByLabel('Event type').fill('webhook.test');
  await page.keyboard.press('Enter');
  await until('the address', () => page.url().endsWith('?status=succeeded&type=webhook.test'));
  await until('only the test event', async () => (await page.locator('tbody tr').count()) === 1);
  await page.reload();
  await until('only the test event', async () => (await page.locator('tbody tr').count()) === 1);
  expect(await page.getByLabel('Event type').inputValue()).toBe('webhook.test');
  await page.getByLabel('Status', { exact: true }).selectOption('exhausted');
  await page.getByText('No delivery matches').waitFor();
  await button('Clear the filters').click();
  await until('the address', () => page.url().endsWith('/deliveries'));
});

test('an event is published from the example of its type, and a broken one is not', async () => {
  await page.getByRole('link', { name: 'Events', exact: true }).click();
  await page.getByRole('link', { name: 'Publish an event' }).click();
  await page.getByLabel('Type', { exact: true }).selectOption('bid.created');
  const data = page.getByLabel('Data', { exact: true });
  expect(JSON.parse(await data.inputValue())).toHaveProperty('bidNumber');
  await data.fill('{"id": 7,}');
  await page.getByText(/Not valid JSON|JSON is not complete/).waitFor();
  await data.fill('{"id": 12345678901234567890, "x": 1e400}');
  await button('Publish').click();
  await heading('bid.created').waitFor();
  await button('Raw').click();
  expect(await page.getByLabel('Data, as it was published', { exact: true }).textContent()).toBe('{"id": 12345678901234567890, "x": 1e400}');
  await firstRow().getByText('Delivered').waitFor();
});

test('a type of one’s own is defined, with the faults of its schema at their field', async () => {
  await page.getByRole('link', { name: 'Event types' }).click();
  await page.getByRole('link', { name: 'Define a type' }).click();
  await page.getByLabel('Name').fill('invoice.paid');
  await page.getByLabel('Description').fill('An invoice was paid in full.');
  await page.getByLabel('Example of data').fill('{"id": "seven"}');
  await page.getByLabel('JSON Schema of data').fill('{"type": "object", "properties": {"id": {"type": "integer"}}}');
  await button('Define the type').click();
  await page.locator('.fault').first().waitFor();
  expect(await page.getByLabel('Example of data').getAttribute('aria-invalid')).toBe('true');
  await page.getByLabel('Example of data').fill('{"id": 7}');
  await button('Define the type').click();
  await heading('invoice.paid').waitFor();
});

test('what a disabled endpoint missed is counted, then sent', async () => {
  await page.goto(endpoint);
  await button('Disable').click();
  await dialog().getByRole('button', { name: 'Disable' }).click();
  await page.getByText('Disabled by hand.').first().waitFor();
  await api(key, 'POST', 'events', { events: [1, 2, 3].map((n) => ({ type: 'bid.created', data: { missed: n } })) });
  await page.getByText('Skipped').nth(2).waitFor();

  await page.goto('/recover');
  await page.getByLabel('Endpoint').selectOption({ index: 1 });
  await page.getByText('The endpoint is disabled.').waitFor();
  await button('Count what would be sent').click();
  await page.getByText('3 deliveries would be sent').waitFor();
  expect(await button('Send 3 deliveries').isDisabled()).toBe(true);
  await button('Enable it').click();
  await page.getByText('The endpoint is disabled.').waitFor({ state: 'detached' });
  const before = receiver.received.length;
  await button('Count what would be sent').click();
  await button('Send 3 deliveries').click();
  await page.getByText('Done: 3 of 3 deliveries settled.').waitFor({ timeout: 60_000 });
  expect(receiver.received.slice(before).every((each) => each.isVerified)).toBe(true);
  expect(receiver.received.length).toBe(before + 3);
});

test('an endpoint that disabled itself is enabled and recovered, after a look at how much that is', async () => {
  receiver.answer = { status: 500, body: 'out of memory' };
  await api(key, 'POST', 'events', { events: Array.from({ length: 25 }, (_, n) => ({ type: 'bid.created', data: { n } })) });
  await page.getByRole('link', { name: 'Overview' }).click();
  await heading('Overview').waitFor();
  await until('the endpoint disables itself', async () => {
    const { isActive } = await api<{ isActive: boolean }>(key, 'GET', `webhook-endpoints/${endpoint.split('/').at(-1)}`);
    return !isActive;
  });
  await api(key, 'POST', 'events', { type: 'bid.created', data: { n: 'while it was disabled' } });
  await page.reload();
  await page.getByText('Disabled by itself after too many failed attempts in a row.').waitFor();
  // What was being retried ends because the endpoint is disabled, and is missed just as well.
  await until('every retry has come due', async () => {
    const waiting = await api<unknown[]>(key, 'GET', `webhook-endpoints/${endpoint.split('/').at(-1)}/deliveries?status=pending`);
    return waiting.length === 0;
  });
  receiver.answer = { status: 200, body: 'thank you' };
  const before = receiver.received.length;
  await button('Enable and recover').click();
  await dialog().getByText('26 deliveries will be sent.').waitFor();
  await dialog().getByRole('button', { name: 'Enable and send' }).click();
  await heading('Recover').waitFor();
  await page.getByText('Done: 26 of 26 deliveries settled.').waitFor({ timeout: 60_000 });
  expect(receiver.received.slice(before).every((each) => each.isVerified)).toBe(true);
  expect(receiver.received.length).toBe(before + 26);
});

test('a secret is rotated: prepared and activated, then at once', async () => {
  await page.goto(endpoint);
  await button('Rotate the secret').click();
  await button('Prepare a new secret').click();
  const prepared = (await page.getByLabel('the signing secret', { exact: true }).textContent()) ?? '';
  await api(key, 'POST', 'events', { type: 'bid.created', data: { signed: 'by the old one' } });
  await until('the old secret still signs', () => receiver.received.at(-1)?.type === 'bid.created' && receiver.received.at(-1)?.isVerified);
  await button('Activate it now').click();
  await page.getByText('It signs from now on.').waitFor();
  receiver.secret = prepared;
  await button('I have saved it').click();
  await until('the prepared secret signs', async () => {
    await api(key, 'POST', `webhook-endpoints/${endpoint.split('/').at(-1)}/test`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    return receiver.received.at(-1)?.isVerified;
  });

  await button('Rotate the secret').click();
  await page.getByLabel(/^At once/).check();
  await button('Rotate now').click();
  receiver.secret = (await page.getByLabel('the signing secret', { exact: true }).textContent()) ?? '';
  expect(receiver.secret).not.toBe(prepared);
  await button('I have saved it').click();
  await button('Send a test event').click();
  // Dispatchers know of it within a second.
  await until('a test event with the new signature', async () => {
    await dialog().getByText('The receiver answered 200').waitFor();
    if (receiver.received.at(-1)?.isVerified) return true;
    await button('Send another').click();
    return false;
  });
  await dialog().getByRole('button', { name: 'Done' }).click();
});

test('a key is made with its scopes, shown once, used, and revoked', async () => {
  await page.getByRole('link', { name: 'API Keys' }).click();
  await button('Create a key').click();
  await button('Create the key').click();
  await page.getByText('Write what the key is for.').waitFor();
  await dialog().getByLabel('Name').fill('Billing');
  await dialog().getByRole('checkbox', { name: /events:read/ }).check();
  await dialog().getByLabel('Allowed IPs').fill('not-an-address');
  await button('Create the key').click();
  await dialog().getByText(/is not an IP address/).waitFor();
  await dialog().getByLabel('Allowed IPs').fill('127.0.0.0/8 ::1/128');
  await button('Create the key').click();
  const made = (await dialog().getByLabel('the API key').textContent()) ?? '';
  expect(made).toMatch(/^plk_live_/);
  await button('I have saved it').click();
  expect((await api<{ scopes: string[] }>(made, 'GET', 'me')).scopes).toEqual(['events:read']);

  await button('Revoke Billing').click();
  await dialog().getByRole('button', { name: 'Revoke for good' }).click();
  await dialog().waitFor({ state: 'detached' });
  await expect(api(made, 'GET', 'me')).rejects.toThrow('401');
});

test('a member sees everything and can change nothing', async () => {
  const mia = person(tenant, 'member');
  const other = await Visitor.come(browser);
  await other.page.goto('/');
  await other.signIn(mia);
  for (const [path, name] of [
    ['/', 'Overview'],
    ['/deliveries', 'Deliveries'],
    ['/endpoints', 'Endpoints'],
    ['/endpoints/new', 'Create an endpoint'],
    [endpoint, /127\.0\.0\.1/],
    [`${endpoint}/edit`, 'Edit the endpoint'],
    ['/events', 'Events'],
    ['/events/publish', 'Publish an event'],
    ['/event-types', 'Event types'],
    ['/event-types/type?name=invoice.paid', 'invoice.paid'],
    ['/event-types/edit', 'Define an event type'],
    ['/recover', 'Recover'],
    ['/settings/developer/webhooks', 'Webhooks'],
    ['/settings/developer/api-keys', 'API Keys'],
    ['/settings/users', 'Users'],
  ] as const) {
    await other.open(path, name);
    if (path !== '/' && path !== '/deliveries') await other.page.getByText('You are a member').first().waitFor();
    await other.page.waitForFunction(() => !document.querySelector('main')?.textContent?.includes('Loading…'));
    const offered = await other.page
      .getByRole('main')
      .getByRole('button', { name: /^(create|delete|revoke|rotate|replay|enable|disable|publish|send|save|add|define|change|set)/i })
      .allTextContents();
    expect(offered, path).toEqual([]);
  }
  expect(other.complaints).toEqual([]);
  // Hidden is not forbidden: the API refuses all the same.
  const status = await other.page.evaluate(async (path) => (await fetch(`/api/v1/webhook-${path}`, { method: 'DELETE' })).status, endpoint.slice(1));
  expect(status).toBe(403);
  await other.leave();
});

test('users are added, and their sessions end when they are deleted', async () => {
  await page.getByRole('link', { name: 'Users' }).click();
  await heading('Users').waitFor();
  await button('Add a user').click();
  const email = `bob-${Date.now()}@example.com`;
  await dialog().getByLabel('E-mail').fill(email);
  await dialog().getByLabel('First password').fill('short');
  await dialog().getByRole('button', { name: 'Add' }).click();
  await dialog().locator('.fault').waitFor();
  await dialog().getByLabel('First password').fill('correct horse battery');
  await dialog().getByRole('button', { name: 'Add' }).click();
  await dialog().waitFor({ state: 'detached' });
  await page.getByText(email).first().waitFor();

  const bob = await Visitor.come(browser);
  await bob.page.goto('/deliveries?status=failed');
  await bob.signIn({ email, password: 'correct horse battery' });
  await bob.page.getByText('Live', { exact: true }).waitFor();
  await button(`Delete ${email}`).click();
  await dialog().getByRole('button', { name: 'Delete' }).click();
  await dialog().waitFor({ state: 'detached' });
  // Nobody has to click: the stream ends with the session.
  await bob.page.getByRole('heading', { name: 'Sign in' }).waitFor({ timeout: 45_000 });
  await bob.page.getByText('You are signed out.').waitFor();
  expect(bob.page.url()).toContain('/deliveries?status=failed');
  await bob.leave();
});

test('a password is changed, and signing out ends the session', async () => {
  await page.getByRole('link', { name: 'Your account' }).click();
  await page.getByLabel('Present password').fill('wrong horse battery');
  await page.getByLabel('New password', { exact: true }).fill('another horse battery');
  await page.getByLabel('New password, again').fill('another horse battery');
  await button('Change the password').click();
  await page.getByText('This is not your password').waitFor();
  await page.getByLabel('Present password').fill(admin.password);
  await button('Change the password').click();
  await page.getByText('The new password counts from now on.').waitFor();
  await button('Sign out').click();
  await heading('Sign in').waitFor();
  await until('an address that tells nothing', () => new URL(page.url()).pathname === '/');
  expect(await page.getByText('You are signed out.').count()).toBe(0);
  expect(await page.evaluate(async () => (await fetch('/api/v1/session')).status)).toBe(401);
  await visitor.signIn({ email: admin.email, password: 'another horse battery' });
  await heading('Overview').waitFor();
});

test('an endpoint is deleted only by who types its host', async () => {
  await page.goto(endpoint);
  await button('Delete').click();
  expect(await button('Delete for good').isDisabled()).toBe(true);
  await dialog().getByRole('textbox').fill(new URL(receiver.url).host);
  await button('Delete for good').click();
  await heading('Endpoints').waitFor();
  await page.getByText('No endpoints yet').waitFor();
  await page.goto(endpoint);
  await heading('No such endpoint').waitFor();
});

test('an outage is told, and gone when it is over', async () => {
  await page.goto('/events');
  await heading('Events').waitFor();
  await visitor.context.setOffline(true);
  // This page was shown before, so the browser has its script; what it asks for fails.
  await page.getByRole('link', { name: 'Users' }).click();
  await page.getByText('The service cannot be reached').waitFor({ timeout: 30_000 });
  await visitor.context.setOffline(false);
  await button('Try again').click();
  await page.getByText('The service cannot be reached').waitFor({ state: 'detached' });
  await page.getByText(admin.email).first().waitFor();
});
