"""A receiver that verifies with a library: `python3 library.py svix.webhooks|standardwebhooks`.

The secret is in WEBHOOK_SECRET. Each request is judged three times: as it came, with one byte of its body changed, and
with its timestamp 301 s older. It prints the three verdicts as one line of JSON and answers 200 only if the first is
"believed".
"""

import importlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

webhook = importlib.import_module(sys.argv[1]).Webhook(os.environ["WEBHOOK_SECRET"])


def verdict(body, headers):
    try:
        webhook.verify(body, headers)
        return "believed"
    except Exception as error:  # Each library has its own.
        return str(error) or type(error).__name__


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        changed = bytearray(body)
        changed[-2] ^= 1
        older = dict(headers)
        for name in ("svix-timestamp", "webhook-timestamp"):
            if name in older:
                older[name] = str(int(older[name]) - 301)
        genuine = verdict(body, headers)
        verdicts = [genuine, verdict(bytes(changed), headers), verdict(body, older)]
        print("judged " + json.dumps(verdicts), flush=True)
        self.send_response(200 if genuine == "believed" else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
