// What the guide's example leaves out around it: express, and a port.
import express from "express";
const app = express();
const listening = app.listen(0, "127.0.0.1", () => console.log(`listening on ${listening.address().port}`));

// The example of Buildr's webhooks guide, line by line as published but for the secret's value.
import { Webhook } from "svix";
import bodyParser from "body-parser";
const secret = process.env.WEBHOOK_SECRET;
app.post("/webhook", bodyParser.raw({type: "application/json"}), (req, res) => {
const payload = req.body;
const headers = req.headers;
const wh = new Webhook(secret);
let msg;
try {
msg = wh.verify(payload, headers);
} catch (err) {
res.status(400).json({});
}
// Do something with the message...
console.log(`message: ${JSON.stringify(msg)}`);
res.json({});
});
