"""A Plumbline under a small load, scraped by a real Prometheus, which is asked every query of the dashboards and rules.

    DATABASE_URL=… AMQP_URL=… PROMETHEUS_URL=… live.py BINARIES deploy WORK

PROMETHEUS_URL is RabbitMQ's plugin. An answer without a number fails; so does a metric that promtool finds fault with, a rule
that does not evaluate, an alert that fires. Everything that is started here is stopped here. Prints the answers as a table.
"""

import base64
import contextlib
import http.server
import json
import math
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Nothing here may take longer; far more than it takes.
PATIENCE_SECONDS = 60
APIS = 2
DISPATCHERS = 2
EVENTS_AT_ONCE = 10
EVENTS_MIN = 400
# Four scrapes, as Grafana would choose with its own factor.
RATE_INTERVAL = "5s"
# What only one process leads, and only the leader tells.
LEADERS = ["sum(plumbline_relay_leader)", "sum(plumbline_sweep_leader)", "count(plumbline_outbox_messages)"]


class Failure(Exception):
    """What is wrong, in words."""


def request(url, body=None, key=None, method=None):
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, headers=headers, method=method)
    with OPENER.open(asked, timeout=20) as answer:
        return answer.read().decode()


# The machine's proxies are not for 127.0.0.1.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(awaited, look):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            named = awaited() if callable(awaited) else awaited
            raise Failure(f"waited {PATIENCE_SECONDS} s in vain for {named}")
        time.sleep(0.2)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers as its path says: /200, /500, and /slow, which takes its time."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wish = self.path.strip("/")
        if wish == "slow":
            time.sleep(1.5)
        self.send_response(200 if wish == "slow" else int(wish))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Processes:
    """What was started; ended in the reverse order, however this script ends."""

    def __init__(self, work):
        self.logs = work / "log"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        self.running = []

    def start(self, name, arguments, environment=None):
        log = self.logs / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.running.append((name, process))

    def alive(self):
        for name, process in self.running:
            if process.poll() is not None:
                end = (self.logs / f"{name}.log").read_text(errors="replace")[-2000:]
                raise Failure(f"{name} ended with {process.returncode}:\n{end}")
        return True

    def stop(self):
        for _, process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name, process in reversed(self.running):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                print(f"error: {name} did not stop; killing it", file=sys.stderr)
                process.kill()
                process.wait()


class Prometheus:
    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            return json.loads(request(f"{self.base}/{path}?{query}"))["data"]
        except urllib.error.HTTPError as error:
            raise Failure(f"{parameters or path}: {error.read().decode()}") from error

    def numbers(self, expression):
        """The numbers of the answer that are numbers."""
        data = self.get("query", query=expression)
        samples = [data] if data["resultType"] == "scalar" else data["result"]
        values = [float(sample["value"][1]) if isinstance(sample, dict) else float(sample[1]) for sample in samples]
        return [value for value in values if not math.isnan(value)]


def prometheus_files(deploy, work, targets):
    """The example configuration and the rules, with the addresses of here, and looking every second."""
    directory = work / "prometheus"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    text = (deploy / "prometheus" / "prometheus.yml").read_text()
    text = re.sub(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 1s", text)
    text = re.sub(r"^alerting:\n(?: .*\n)+", "", text, flags=re.M)
    for job, addresses in targets.items():
        text, count = re.subn(
            rf"(job_name: {job}\n(?:(?!job_name).*\n)*?.*targets: )\[.*\]", rf"\1[{', '.join(addresses)}]", text
        )
        if count != 1:
            raise Failure(f"prometheus.yml has no job {job}")
    (directory / "prometheus.yml").write_text(text)
    for rules in ("rules.yml", "alerts.yml"):
        # A group that looks every two minutes would not be seen here.
        text = (deploy / "prometheus" / rules).read_text()
        (directory / rules).write_text(re.sub(r"^    interval: .*\n", "", text, flags=re.M))
    return directory


def dashboards(deploy):
    for file in sorted((deploy / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield board["title"].removeprefix("Plumbline: "), panel["title"], target["expr"]


# A metric's name, with its labels if it has any, or labels that name metrics.
SELECTOR = re.compile(
    r'(?:\b(?:plumbline|process|rabbitmq)[a-z0-9_:]*|\bup\b)(?:\{[^}]*\})?|\{__name__[^}]*\}'
)


def ask_all(prometheus, is_well, asked):
    """Ask until each has been answered by a number; the answers."""
    answers = {}

    def look():
        is_well()
        for expression in asked - answers.keys():
            found = prometheus.numbers(expression.replace("$__rate_interval", RATE_INTERVAL))
            if found:
                answers[expression] = found
        return len(answers) == len(asked)

    until(lambda: "numbers for:\n  " + "\n  ".join(sorted(asked - answers.keys())), look)
    return answers


def check(binaries, deploy, work, processes):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    settings = {
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "AMQP_URL": os.environ["AMQP_URL"],
        "MASTER_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "ALLOW_HTTP": "true",
        "ALLOW_NETWORKS": "127.0.0.0/8",
        "RETRY_SCHEDULE": "500ms,1s,2s",
        # Those that fail go on failing.
        "DISABLE_AFTER": "0",
        "LOG": "info",
    }
    environment |= {f"PLUMBLINE_{name}": value for name, value in settings.items()}

    def cli(*arguments):
        done = subprocess.run([binaries / "plumbline", *arguments, "--json"], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"plumbline {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout or "{}")

    cli("migrate")
    tenant = str(cli("tenant", "create", "--name", "Acme")["id"])
    key = cli("api-key", "create", "--tenant", tenant, "--name", "check", "--scopes", "*")["key"]

    at = "127.0.0.1:{}".format
    doors, admins = [], {}
    for number in range(APIS):
        doors.append(free_port())
        name, admin = f"api-{number}", at(free_port())
        processes.start(
            name,
            [binaries / "plumbline-api"],
            environment | {"PLUMBLINE_LISTEN": at(doors[-1]), "PLUMBLINE_ADMIN_LISTEN": admin},
        )
        admins[name] = admin
    for number in range(DISPATCHERS):
        name, admin = f"dispatcher-{number}", at(free_port())
        processes.start(name, [binaries / "plumbline-dispatcher"], environment | {"PLUMBLINE_ADMIN_LISTEN": admin})
        admins[name] = admin
    broker = urllib.parse.urlsplit(os.environ["PROMETHEUS_URL"]).netloc
    targets = {
        "plumbline-api": [admin for name, admin in admins.items() if name.startswith("api")],
        "plumbline-dispatcher": [admin for name, admin in admins.items() if name.startswith("dispatcher")],
        "rabbitmq": [broker],
        "rabbitmq-queues": [broker],
    }
    directory = prometheus_files(deploy, work, targets)
    port = free_port()
    processes.start(
        "prometheus",
        ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
         f"--web.listen-address={at(port)}", "--log.level=warn"],
    )
    prometheus = Prometheus(port)

    def is_ready(address):
        with contextlib.suppress(OSError):
            return request(f"http://{address}/readyz") == "ready"

    for name, admin in admins.items():
        until(f"{name} to be ready", lambda admin=admin: processes.alive() and is_ready(admin))

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    receiver.daemon_threads = True
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    bases = [f"http://127.0.0.1:{door}/api/v1" for door in doors]
    nobody = f"http://127.0.0.1:{free_port()}/"
    for url in [f"http://127.0.0.1:{receiver.server_port}/{wish}" for wish in ("200", "500", "404", "slow")] + [nobody]:
        request(f"{bases[0]}/webhook-endpoints", {"url": url, "eventTypes": ["bid.created"]}, key)

    done, refused = threading.Event(), []

    def publish():
        number = 0
        while not done.wait(0.25):
            events = [{"type": "bid.created", "data": {"id": number + each}} for each in range(EVENTS_AT_ONCE)]
            number += EVENTS_AT_ONCE
            try:
                request(f"{bases[number // EVENTS_AT_ONCE % APIS]}/events", {"events": events}, key)
            except OSError as error:
                detail = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                refused.append(f"publishing: {error} {detail}")
                return

    def is_well():
        if refused:
            raise Failure("\n".join(refused))
        return processes.alive()

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        until("every target to be scraped", lambda: is_well() and is_scraped(prometheus))
        # Long enough that a rate over a few seconds is one of the load, not of its beginning.
        until(f"{EVENTS_MIN} events", lambda: is_well() and sum(prometheus.numbers("plumbline_events_accepted_total")) >= EVENTS_MIN)
        panels = list(dashboards(deploy))
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        inputs = {selector for rule in rules if rule["type"] == "alerting" for selector in SELECTOR.findall(rule["query"])}
        recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
        answers = ask_all(prometheus, is_well, {expression for _, _, expression in panels} | inputs | recorded)
        # Once more, now that everything flows: this is what the table shows.
        answers = ask_all(prometheus, is_well, set(answers))
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        faults = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
        faults += [f"{rule['name']} fires, and all is well" for rule in rules if rule.get("state") == "firing"]
        for expression in LEADERS:
            if prometheus.numbers(expression) != [1]:
                faults.append(f"{expression} is {prometheus.numbers(expression)}, and one process should lead and tell")
        for name, admin in admins.items():
            shown = request(f"http://{admin}/metrics")
            judged = subprocess.run(["promtool", "check", "metrics"], input=shown, capture_output=True, text=True, check=False)
            said = (judged.stdout + judged.stderr).strip()
            if judged.returncode != 0 or said:
                faults.append(f"promtool check metrics of {name}: {said}")
            series = sum(1 for line in shown.splitlines() if line and not line.startswith("#"))
            print(f"{name}: {series} series, promtool finds no fault", file=sys.stderr)
    finally:
        done.set()
        publisher.join()
        receiver.shutdown()
    if faults:
        raise Failure("\n".join(faults))
    print("| dashboard | panel | lines | example |\n|---|---|---|---|")
    for board, panel, expression in panels:
        found = answers[expression]
        print(f"| {board} | {panel} | {len(found)} | {max(found):.4g} |")
    alerting = sum(1 for rule in rules if rule["type"] == "alerting")
    print(
        f"{len(panels)} queries of dashboards, {len(recorded)} recording rules and {len(inputs)} inputs of {alerting} alerts: "
        "each was answered by numbers; no alert fires",
        file=sys.stderr,
    )


def is_scraped(prometheus):
    with contextlib.suppress(OSError):
        active = prometheus.get("targets", state="active")["activeTargets"]
        bad = [target["lastError"] for target in active if target["health"] == "down"]
        return len(active) == APIS + DISPATCHERS + 2 and not bad and all(target["health"] == "up" for target in active)


def main():
    binaries, deploy, work = (pathlib.Path(argument).absolute() for argument in sys.argv[1:4])
    # An end by a signal is an end as any other: what runs is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes = Processes(work)
    try:
        check(binaries, deploy, work, processes)
    except Failure as failure:
        print(f"error: {failure}\n       logs are in {processes.logs}", file=sys.stderr)
        sys.exit(1)
    finally:
        processes.stop()


main()
