// Receives BuildWorkPro's webhooks. Node.js 18 or newer, no packages. Save it as receiver.mjs, then:
//   WEBHOOK_SECRET=whsec_… PORT=3000 node receiver.mjs
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

// The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
const SECRETS = (process.env.WEBHOOK_SECRET || 'whsec_REPLACE_ME').split(',').filter(Boolean);
if (SECRETS.some((secret) => secret.endsWith('_REPLACE_ME'))) throw new Error("set WEBHOOK_SECRET to your endpoint's secret");
const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 1024 * 1024;

/** Throws unless BuildWorkPro signed these bytes just now. `body` is a Buffer, exactly as it came: never parse it first. */
export function verify(header, body, nowSeconds = Date.now() / 1000) {
  if (!header) throw new Error('no BuildWorkPro-Signature header');
  const time = /(?:^|,)t=(\d{1,12})(?=,|$)/.exec(header)?.[1];
  const signatures = [...header.matchAll(/(?:^|,)v1=([0-9a-f]{64})(?=,|$)/g)].map(([, hex]) => Buffer.from(hex, 'hex'));
  if (!time || signatures.length === 0) {
    throw new Error('the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>');
  }
  if (Math.abs(nowSeconds - Number(time)) > TOLERANCE_SECONDS) {
    throw new Error('the timestamp is more than 300 s away from this clock');
  }
  const fits = SECRETS.some((secret) => {
    const expected = createHmac('sha256', secret).update(`${time}.`).update(body).digest();
    return signatures.some((signature) => timingSafeEqual(signature, expected));
  });
  if (!fits) throw new Error('no signature fits: another secret, or the body is not the bytes that came');
}

// The events that were handled. In production: a unique column, written in the transaction that does the work.
const handled = new Set();

async function receive(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length <= BODY_BYTES_MAX) parts.push(part);
  }
  if (length > BODY_BYTES_MAX) return [413, `the body is larger than ${BODY_BYTES_MAX} bytes`];
  const body = Buffer.concat(parts);
  try {
    verify(request.headers['buildworkpro-signature'], body);
  } catch (error) {
    return [400, error.message]; // It appears in the delivery log, where you will look for it.
  }
  const event = JSON.parse(body.toString('utf8'));
  if (!handled.has(event.id)) {
    // Only store the event here, in a table or a queue, and do the work after the answer.
    console.log(`received ${event.type} ${event.id}`);
    handled.add(event.id);
    if (handled.size > 10_000) handled.delete(handled.values().next().value);
  }
  return [200, 'ok'];
}

const server = createServer(async (request, response) => {
  let answer;
  try {
    answer = await receive(request);
  } catch (error) {
    console.error(error);
    answer = [500, 'not handled: send it again']; // Every 5xx is tried again.
  }
  response.writeHead(answer[0], { 'Content-Type': 'text/plain' }).end(`${answer[1]}\n`);
});
server.listen(Number(process.env.PORT || 3000), '127.0.0.1');
