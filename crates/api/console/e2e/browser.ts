// Chromium, and pages that fail a test when the browser complains of anything: an exception, a console error, a
// violation of the Content-Security-Policy.

import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { CONSOLE, type Person } from './stack';

/** Where pictures of the pages go, for people to look at. */
export const SCREENSHOTS = join(import.meta.dirname, '../../../../target/console-screenshots');

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env.PLUMBLINE_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });

export class Visitor {
  readonly complaints: string[] = [];
  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
  ) {}

  static async come(browser: Browser, options: Parameters<Browser['newContext']>[0] = {}): Promise<Visitor> {
    const context = await browser.newContext({ baseURL: CONSOLE, viewport: { width: 1280, height: 900 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    const visitor = new Visitor(context, page);
    page.on('pageerror', (error) => visitor.complaints.push(`exception: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      // The browser reports every answer that is not a 2xx; the tests that want one look at the page.
      if (message.text().startsWith('Failed to load resource')) return;
      visitor.complaints.push(`console: ${message.text()}`);
    });
    return visitor;
  }

  /** Fills in the form that is shown wherever one comes to without a session. */
  async signIn(person: Person): Promise<void> {
    await this.page.getByLabel('E-mail').fill(person.email);
    await this.page.getByLabel('Password').fill(person.password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.locator('main#content').waitFor();
  }

  /** Opens a page and waits for its heading. */
  async open(path: string, heading: string | RegExp): Promise<void> {
    await this.page.goto(path);
    await this.page.getByRole('heading', { level: 1, name: heading }).waitFor();
  }

  async leave(): Promise<void> {
    await this.context.close();
  }
}
