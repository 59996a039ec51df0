// A receiver that verifies with a library: `node library.mjs svix|standardwebhooks`, the secret in WEBHOOK_SECRET.
//
// Each request is judged three times: as it came, with one byte of its body changed, and with its timestamp 301 s
// older. It prints the three verdicts as one line of JSON and answers 200 only if the first is "believed".
import { createServer } from 'node:http';

const { Webhook } = await import(process.argv[2]);
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

function verdict(body, headers) {
  try {
    webhook.verify(body, headers);
    return 'believed';
  } catch (error) {
    return error.message;
  }
}

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts);
    const changed = Buffer.from(body);
    changed[changed.length - 2] ^= 1;
    const older = { ...request.headers };
    for (const name of ['svix-timestamp', 'webhook-timestamp']) {
      if (older[name]) older[name] = String(Number(older[name]) - 301);
    }
    const genuine = verdict(body, request.headers);
    console.log(`judged ${JSON.stringify([genuine, verdict(changed, request.headers), verdict(body, older)])}`);
    response.writeHead(genuine === 'believed' ? 200 : 400).end();
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
