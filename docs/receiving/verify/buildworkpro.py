"""Receives BuildWorkPro's webhooks. Python 3.9 or newer, nothing to install.

    WEBHOOK_SECRET=whsec_… PORT=3000 python3 receiver.py
"""

import hashlib
import hmac
import json
import os
import re
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
SECRETS = [s for s in (os.environ.get("WEBHOOK_SECRET") or "whsec_REPLACE_ME").split(",") if s]
if any(secret.endswith("_REPLACE_ME") for secret in SECRETS):
    raise SystemExit("set WEBHOOK_SECRET to your endpoint's secret")
TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1024 * 1024


def verify(header, body, now=None):
    """Raise ValueError unless BuildWorkPro signed these bytes just now. `body` is exactly as it came: never parse it first."""
    if not header:
        raise ValueError("no BuildWorkPro-Signature header")
    fields = header.split(",")
    times = [field[2:] for field in fields if re.fullmatch(r"t=[0-9]{1,12}", field)]
    signatures = [field[3:] for field in fields if re.fullmatch(r"v1=[0-9a-f]{64}", field)]
    if not times or not signatures:
        raise ValueError("the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>")
    if abs((time.time() if now is None else now) - int(times[0])) > TOLERANCE_SECONDS:
        raise ValueError("the timestamp is more than 300 s away from this clock")
    for secret in SECRETS:
        expected = hmac.new(secret.encode(), times[0].encode() + b"." + body, hashlib.sha256).hexdigest()
        if any(hmac.compare_digest(signature, expected) for signature in signatures):
            return
    raise ValueError("no signature fits: another secret, or the body is not the bytes that came")


# The events that were handled. In production: a unique column, written in the transaction that does the work.
handled = {}
handling = threading.Lock()


def handle(event):
    with handling:
        if event["id"] not in handled:
            # Only store the event here, in a table or a queue, and do the work after the answer.
            print(f"received {event['type']} {event['id']}", flush=True)
            handled[event["id"]] = True
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
            verify(self.headers.get("BuildWorkPro-Signature"), body)
        except ValueError as error:
            return self.answer(400, str(error))  # It appears in the delivery log, where you will look for it.
        try:
            handle(json.loads(body))
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
