// After `vite build`: refuses a first view that is too heavy, and leaves a .br and a .gz beside every file.
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = join(import.meta.dirname, '..', 'dist');
/** Bytes of gzipped script that a browser may have to load before it shows the first page. */
const FIRST_VIEW_BYTES_MAX = 100_000;
const FIRST_VIEWS = ['index.html', 'src/pages/overview.tsx', 'src/pages/deliveries.tsx'];

const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));

function filesOf(name, found = new Set()) {
  const chunk = manifest[name];
  if (!chunk) throw new Error(`the build has no ${name}: correct FIRST_VIEWS in build/finish.mjs`);
  if (found.has(chunk.file)) return found;
  found.add(chunk.file);
  for (const imported of chunk.imports ?? []) filesOf(imported, found);
  return found;
}

const gzip = (content) => gzipSync(content, { level: 9 });
const brotli = (content) =>
  brotliCompressSync(content, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });

const entry = filesOf('index.html');
for (const view of FIRST_VIEWS.slice(1)) {
  const files = [...new Set([...entry, ...filesOf(view)])].filter((file) => file.endsWith('.js'));
  const bytes = files.reduce((sum, file) => sum + gzip(readFileSync(join(dist, file))).length, 0);
  console.log(`first view of ${view}: ${(bytes / 1000).toFixed(1)} kB of script, gzipped (at most ${FIRST_VIEW_BYTES_MAX / 1000})`);
  if (bytes > FIRST_VIEW_BYTES_MAX) {
    console.error('error: that is too heavy: load what the first view does not need later, with import()');
    process.exit(1);
  }
}
// It is of use to this script only, and everything in dist is served.
rmSync(join(dist, '.vite'), { recursive: true });

for (const file of readdirSync(dist, { recursive: true })) {
  const path = join(dist, file);
  if (!statSync(path).isFile() || /\.(br|gz|gitignore)$/.test(path)) continue;
  const content = readFileSync(path);
  writeFileSync(`${path}.br`, brotli(content));
  writeFileSync(`${path}.gz`, gzip(content));
}
