import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The API that the development server stands in front of: `.local/dev.env` of `make up` says where it is. */
const api = process.env.PLUMBLINE_URL ?? 'http://127.0.0.1:8080';

/** Requests go to the API as if its own pages had made them: it accepts changes from no others. */
const proxy = {
  '/api': { target: api, changeOrigin: true, headers: { origin: new URL(api).origin } },
};

/** What the API sends with every page of the console. `vite preview` sends the same, so that a violation shows here. */
const csp =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** Vite would also remove the file that keeps the directory in the repository, where a build without the console needs it. */
const emptyDist: Plugin = {
  name: 'empty-dist',
  apply: 'build',
  buildStart() {
    const dist = join(import.meta.dirname, 'dist');
    for (const name of existsSync(dist) ? readdirSync(dist) : []) {
      if (name !== '.gitignore') rmSync(join(dist, name), { recursive: true });
    }
  },
};

export default defineConfig({
  plugins: [react(), emptyDist],
  server: { proxy, fs: { allow: ['../../..'] } },
  preview: { proxy, headers: { 'Content-Security-Policy': csp } },
  build: {
    manifest: true,
    emptyOutDir: false,
    modulePreload: { polyfill: false },
    // A data: URL would need a wider policy for fonts and styles.
    assetsInlineLimit: 0,
    target: 'es2022',
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
