// Receives Buildr's webhooks. Node.js 18 or newer, no packages. Save it as receiver.mjs, then:
//   WEBHOOK_SECRET=whsec_… PORT=3000 node receiver.mjs
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const SECRET = process.env.WEBHOOK_SECRET || 'whsec_REPLACE_ME';
if (SECRET.endsWith('_REPLACE_ME')) throw new Error("set WEBHOOK_SECRET to your endpoint's secret");
// The key is what the secret, without whsec_, is the base64 of.
const KEY = Buffer.from(SECRET.replace(/^whsec_/, ''), 'base64');
if (KEY.length === 0) throw new Error('WEBHOOK_SECRET is not base64');
const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 1024 * 1024;

/** Throws unless Buildr signed these bytes just now. `body` is a Buffer, exactly as it came: never parse it first. */
export function verify(headers, body, nowSeconds = Date.now() / 1000) {
  const [id, time, header] = ['svix-id', 'svix-timestamp', 'svix-signature'].map((name) => {
    if (!headers[name]) throw new Error(`no ${name} header`);
    return headers[name];
  });
  if (!/^\d{1,12}$/.test(time)) throw new Error('the svix-timestamp header is not a number of seconds');
  const signatures = header.split(' ').filter((value) => /^v1,[A-Za-z0-9+/]{43}=$/.test(value));
  if (signatures.length === 0) throw new Error('the svix-signature header has no v1,<base64 of 32 bytes>');
  if (Math.abs(nowSeconds - Number(time)) > TOLERANCE_SECONDS) {
    throw new Error('the timestamp is more than 300 s away from this clock');
  }
  const expected = createHmac('sha256', KEY).update(`${id}.${time}.`).update(body).digest();
  // Several while a secret is rotated: one that fits is enough.
  if (!signatures.some((value) => timingSafeEqual(Buffer.from(value.slice(3), 'base64'), expected))) {
    throw new Error('no signature fits: another secret, or the body is not the bytes that came');
  }
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
    verify(request.headers, body);
  } catch (error) {
    return [400, error.message]; // It appears in the delivery log, where you will look for it.
  }
  const id = request.headers['svix-id']; // The event's: the same each time that it is sent.
  const event = JSON.parse(body.toString('utf8')); // { id, url } of what changed: fetch it from there.
  if (!handled.has(id)) {
    // Only store the event here, in a table or a queue, and do the work after the answer.
    console.log(`received ${request.headers['buildr-event']} ${id} of ${event.url}`);
    handled.add(id);
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
