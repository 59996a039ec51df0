// Receives Buildr's webhooks with Express and svix: npm install express svix. Save it as receiver.mjs, then:
//   WEBHOOK_SECRET=whsec_… PORT=3000 node receiver.mjs
import express from 'express';
import { Webhook } from 'svix';

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const app = express();

// The raw body: with express.json() in its place, or before it, nothing would ever verify.
app.post('/webhook', express.raw({ type: 'application/json', limit: '1mb' }), (req, res) => {
  try {
    webhook.verify(req.body, req.headers);
  } catch (error) {
    return res.status(400).send(error.message);
  }
  console.log(`received ${req.get('buildr-event')} ${req.get('svix-id')}`);
  res.send('ok');
});

app.listen(Number(process.env.PORT || 3000), '127.0.0.1');
