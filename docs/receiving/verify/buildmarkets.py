"""Receives Buildmarkets' webhooks. Python 3.9 or newer, nothing to install.

    WEBHOOK_SECRET=whsec_… PORT=3000 python3 receiver.py
"""

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET") or "whsec_REPLACE_ME"
if SECRET.endswith("_REPLACE_ME"):
    raise SystemExit("set WEBHOOK_SECRET to your endpoint's secret")
# The key is what the secret, without whsec_, is the base64 of; its padding may be missing.
KEY = base64.b64decode(SECRET[6:] + "==" if SECRET.startswith("whsec_") else SECRET + "==")
if not KEY:
    raise SystemExit("WEBHOOK_SECRET is not base64")
TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1024 * 1024


def verify(headers, body, now=None):
    """Raise ValueError unless Buildmarkets signed these bytes just now. `body` is exactly as it came: never parse it first."""
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not headers.get(name):
            raise ValueError(f"no {name} header")
    id, seconds = headers["webhook-id"], headers["webhook-timestamp"]
    if not re.fullmatch(r"[0-9]{1,12}", seconds):
        raise ValueError("the webhook-timestamp header is not a number of seconds")
    signatures = [v for v in headers["webhook-signature"].split(" ") if re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", v)]
    if not signatures:
        raise ValueError("the webhook-signature header has no v1,<base64 of 32 bytes>")
    if abs((time.time() if now is None else now) - int(seconds)) > TOLERANCE_SECONDS:
        raise ValueError("the timestamp is more than 300 s away from this clock")
    mac = hmac.new(KEY, f"{id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(mac).decode()
    # Several while a secret is rotated: one that fits is enough.
    if not any(hmac.compare_digest(signature, expected) for signature in signatures):
        raise ValueError("no signature fits: another secret, or the body is not the bytes that came")


# The events that were handled. In production: a unique column, written in the transaction that does the work.
handled = {}
handling = threading.Lock()


def handle(event_id, event):
    """`event_id` is the event's: the same each time that it is sent."""
    with handling:
        if event_id not in handled:
            # Only store the event here, in a table or a queue, and do the work after the answer.
            print(f"received {event['event_type']} {event_id}", flush=True)
            handled[event_id] = True
            if len(handled) > 10_000:
                del handled[next(iter(handled))]


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self.answer(411, "no Content-Length header")
        body = self.rfile.read(min(int(length), BODY_BYTES_MAX + 1))
        if len(body) > BODY_BYTES_MAX:
            return self.answer(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        try:
            verify(self.headers, body)
        except ValueError as error:
            return self.answer(400, str(error))  # It appears in the delivery log, where you will look for it.
        try:
            handle(self.headers["webhook-id"], json.loads(body))
        except Exception:
            traceback.print_exc()
            return self.answer(500, "not handled: send it again")  # Every 5xx is tried again.
        self.answer(200, "ok")

    def answer(self, status, text):
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT") or 3000)), Receiver).serve_forever()
