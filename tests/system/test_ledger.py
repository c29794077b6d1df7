"""Keys, limits, budgets and the ledger, on the command line and over HTTP, through crashes."""
import json, os, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time
from decimal import Decimal

from harness import BINARY, Server, check, equal, main, wait_for
from mock_provider import CACHED, INPUT, Mock, OUTPUT

mock = Mock()
ADMIN = {"Authorization": "Bearer admin-secret-7"}
COST = Decimal(INPUT - CACHED) * Decimal("0.15e-6") + Decimal(CACHED) * Decimal("0.075e-6") + Decimal(OUTPUT) * Decimal("0.6e-6")
CONFIG = """
listen: 127.0.0.1:0
auth: keys
state: sqlite:%(dir)s/state.db
admin_key: admin-secret-7
durability: %(durability)s
providers:
  - {name: openai, kind: openai, base_url: %(url)s/v1, api_key: k, region: eu, idle_timeout: 60s, breaker: {failures: 1000}}
models:
  - {name: chat, max_output_tokens: 50, targets: [{provider: openai, model: plain, price: {input: 0.15, cached_input: 0.075, output: 0.6}}]}
  - {name: failing, retries: 0, targets: [{provider: openai, model: plain--500, price: {input: 0.15, output: 0.6}}]}
  - {name: slow, targets: [{provider: openai, model: plain--pace-150, price: {input: 0.15, output: 0.6}}]}
  - {name: held, targets: [{provider: openai, model: plain--slow-700, price: {input: 0.15, output: 0.6}}]}
  - {name: stalled, targets: [{provider: openai, model: plain--stall-4, price: {input: 0.15, output: 0.6}}]}
  - {name: unpriced, targets: [{provider: openai, model: plain}]}
"""
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}


class Place:
    """A state folder that outlives its servers."""

    def __init__(self, durability="process"):
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-ledger-")
        self.text = CONFIG % {"dir": self.dir.name, "url": mock.url, "durability": durability}
        self.path = os.path.join(self.dir.name, "c.yaml")
        with open(self.path, "w") as f:
            f.write(self.text)
        self.server = None

    def start(self):
        self.server = Server(config=self.text)
        return self.server

    def sluice(self, *args, code=0, env=None):
        r = subprocess.run([BINARY, *args], capture_output=True, text=True, env={**os.environ, "SLUICE_CONFIG": self.path, **(env or {})})
        equal(r.returncode, code, " ".join(args) + ": " + r.stderr)
        return r.stdout

    def key(self, name, *args):
        return self.sluice("key", "create", "--name", name, *args).strip()

    def usage(self, *args):
        return json.loads(self.sluice("usage", "--json", *args), parse_float=Decimal)

    def total(self):
        return self.usage()["total"]


place = Place()
server = place.start()


def ask(key, body=CHAT, where=None, headers=None):
    return (where or server).post("/v1/chat/completions", body, headers={**({"Authorization": "Bearer " + key} if key else {}), **(headers or {})}, timeout=60)


def ask_when_known(key, body=CHAT, where=None):
    """A new key is noticed within a second."""
    end = time.time() + 1.5
    a = ask(key, body, where)
    while a.status == 401 and time.time() < end:
        time.sleep(0.05)
        a = ask(key, body, where)
    return a


def test_users_of_a_key_have_limits_of_their_own():
    made = json.loads(place.sluice("key", "create", "--name", "shared", "--rpm", "100", "--user-rpm", "2", "--user-budget", "0.50", "--user-per", "hour", "--json"))
    equal(made["per_user"], {"rpm": 2, "tpm": None, "concurrency": None, "budget": 0.5, "token_budget": None, "per": "hour"})
    key, by = made["key"], lambda u: {**CHAT, "user": u}
    equal(ask_when_known(key, by("ann")).status, 200)
    second = ask(key, by("ann"))
    equal((second.status, second.headers["x-ratelimit-limit-requests"], second.headers["x-ratelimit-remaining-requests"]), (200, "2", "0"))
    third = ask(key, by("ann"))
    equal(third.status, 429, repr(third))
    check("user 'ann' of key 'shared'" in third.json["error"]["message"] and "retry-after" in third.headers, repr(third))
    equal(ask(key, by("bob")).status, 200)
    admin = server.post("/admin/keys", {"name": "shared2", "per_user": {"concurrency": 3, "budget": {"usd": "0.00001", "per": "day"}}}, headers=ADMIN)
    equal(admin.status, 201, repr(admin))
    equal((admin.json["per_user"]["budget"], admin.json["per_user"]["per"]), (0.00001, "day"))
    poor = ask_when_known(admin.json["key"], by("ann"))
    equal((poor.status, poor.json["error"]["code"]), (429, "insufficient_quota"), repr(poor))
    for bad in ({"rpm": 0}, {"budget": 0}, {"x": 1}, 5):
        equal(server.post("/admin/keys", {"name": "no", "per_user": bad}, headers=ADMIN).status, 400, repr(bad))
    place.sluice("key", "create", "--name", "no", "--user-budget", "0", code=2)
    place.sluice("key", "create", "--name", "no", "--user-per", "day", code=2)


def test_a_users_budget_outlives_the_server():
    with tempfile.TemporaryDirectory() as d:
        text = CONFIG % {"dir": d, "url": mock.url, "durability": "process"}
        text = text.replace("models:", "limits: {per_user: {budget: {usd: 0.00005, per: month}}}\nmodels:", 1)
        key = None
        for round_ in range(2):
            with Server(config=text) as s:
                if not key:
                    key = s.post("/admin/keys", {"name": "k"}, headers=ADMIN).json["key"]
                first = ask_when_known(key, {**CHAT, "user": "ann"}, s)
                equal(first.status, 429 if round_ else 200, repr(first))
                equal(ask(key, {**CHAT, "user": "bob%d" % round_}, s).status, 200)
                time.sleep(0.3)


def test_keys_on_the_command_line():
    out = place.sluice("key", "create", "--name", "cli", "--user", "ann", "--metadata", "team=a", "--metadata", "x=\"y\"", "--json")
    made = json.loads(out)
    check(made["key"].startswith("sk-sluice-"))
    equal((made["name"], made["user"], made["metadata"]), ("cli", "ann", {"team": "a", "x": "\"y\""}))
    plain = place.sluice("key", "create", "--name", "cli2", "--budget", "20", "--per", "month", "--models", "chat,failing", "--expires", "30d")
    check(plain.startswith("sk-sluice-") and plain.count("\n") == 1, "the key alone")
    listed = {k["name"]: k for k in json.loads(place.sluice("key", "list", "--json"))["keys"]}
    equal((listed["cli2"]["budget"], listed["cli2"]["per"], listed["cli2"]["models"]), (20.0, "month", ["chat", "failing"]))
    check(made["key"] not in json.dumps(listed) and "hash" not in json.dumps(listed))
    check("cli2" in place.sluice("key", "list"))
    place.sluice("key", "create", "--name", "cli", code=2)
    place.sluice("key", "create", code=2)
    place.sluice("key", "create", "--name", "x", "--rpm", "0", code=2)
    place.sluice("key", "create", "--name", "x", "--priority", "urgent", code=2)
    place.sluice("key", "create", "--name", "x", "--budget", "-1", code=2)
    place.sluice("key", "create", "--name", "x", "--per", "day", code=2)
    place.sluice("key", "revoke", "nobody", code=1)
    place.sluice("key", "dance", code=2)
    place.sluice("key", "list", "-c", "/nowhere.yaml", code=2)
    place.sluice("key", "revoke", made["id"])
    place.sluice("key", "create", "--name", "cli")
    place.sluice("usage", "--by", "colour", code=2)
    place.sluice("usage", "--since", "never", code=2)
    check("requests" in place.sluice("usage", "--csv").splitlines()[0])


def test_keys_without_a_configuration_use_the_default_state():
    with tempfile.TemporaryDirectory() as home:
        env = {"SLUICE_CONFIG": "", "XDG_STATE_HOME": home, "HOME": home}
        key = place.sluice("key", "create", "--name", "a", env=env).strip()
        check(key.startswith("sk-sluice-"))
        equal([k["name"] for k in json.loads(place.sluice("key", "list", "--json", env=env))["keys"]], ["a"])
        check(os.path.isdir(os.path.join(home, "sluice")))


def test_a_running_server_notices_keys_and_revocation():
    equal(ask("").status, 401)
    equal(ask("sk-sluice-wrong").status, 401)
    key = place.key("noticed")
    a = ask_when_known(key)
    equal(a.status, 200, repr(a))
    for headers in ({"x-api-key": key}, {"x-goog-api-key": key}):
        equal(server.post("/v1/chat/completions", CHAT, headers=headers).status, 200)
    equal(server.post("/v1/chat/completions?key=" + key, CHAT).status, 200)
    place.sluice("key", "revoke", "noticed")
    wait_for(lambda: ask(key).status == 401, 1.5, "the revocation")


def test_admin_paths():
    equal(server.get("/admin/keys").status, 401)
    equal(server.get("/admin/usage", headers={"Authorization": "Bearer wrong"}).status, 401)
    made = server.post("/admin/keys", {"name": "adm", "rpm": 7, "models": ["chat"], "budget": {"usd": 1.5, "per": "hour"}, "metadata": {"a": 1}}, headers=ADMIN)
    equal(made.status, 201, repr(made))
    equal((made.json["rpm"], made.json["budget"], made.json["per"], made.json["metadata"]), (7, 1.5, "hour", {"a": 1}))
    equal(ask(made.json["key"]).status, 200, "known at once")
    equal(ask(made.json["key"], {**CHAT, "model": "failing"}).status, 403)
    equal(ask(made.json["key"], {**CHAT, "model": "none"}).status, 404)
    equal([m["id"] for m in server.get("/v1/models", headers={"Authorization": "Bearer " + made.json["key"]}).json["data"]], ["chat"])
    equal(server.post("/admin/keys", {"name": "adm"}, headers=ADMIN).status, 400)
    equal(server.post("/admin/keys", {"name": "b", "colour": 1}, headers=ADMIN).status, 400)
    equal(server.post("/admin/keys", "[", headers=ADMIN).status, 400)
    check("adm" in [k["name"] for k in server.get("/admin/keys", headers=ADMIN).json["keys"]])
    equal(server.request("DELETE", "/admin/keys/adm", headers=ADMIN).status, 200)
    equal(ask(made.json["key"]).status, 401, "revoked at once")
    equal(server.request("DELETE", "/admin/keys/adm", headers=ADMIN).status, 404)
    p = server.get("/admin/providers", headers=ADMIN).json["providers"]
    openai = [x for x in p if x["name"] == "openai"][0]
    check(any(t["model"] == "plain" and t["breaker"] == "closed" for t in openai["targets"]), p)
    u = server.get("/admin/usage?by=key,model&since=24h", headers=ADMIN)
    equal(u.status, 200, repr(u))
    equal(u.json["by"], ["key", "model"])
    equal(server.get("/admin/usage?by=colour", headers=ADMIN).status, 400)


def test_models_and_regions_of_a_key():
    key = place.key("direct", "--models", "openai/*,chat")
    equal(ask_when_known(key, {**CHAT, "model": "openai/plain"}).status, 200)
    equal(ask(key).status, 200)
    a = ask(key, {**CHAT, "model": "held"})
    equal(a.status, 403, repr(a))
    check("held" in a.json["error"]["message"], repr(a))
    equal(ask(key, {**CHAT, "model": "local/demo"}).status, 403)
    key = place.key("anything")
    equal(ask_when_known(key).status, 200)
    equal(ask(key, {**CHAT, "model": "openai/plain"}).status, 403, "PROVIDER/MODEL only where the key names it")
    key = place.key("european", "--regions", "EU")
    equal(ask_when_known(key).status, 200, "the provider is there")
    key = place.key("american", "--regions", "US,CA")
    a = ask_when_known(key)
    equal(a.status, 403, repr(a))
    check("region" in a.json["error"]["message"], repr(a))


def test_usage_equals_what_clients_got_to_the_nano_dollar():
    key = place.key("spender", "--user", "bob")
    before = place.total()
    seen = Decimal(0)
    equal(ask_when_known(key).status, 200)
    n = 1
    for i in range(5):
        a = ask(key, {**CHAT, "user": "eve"} if i % 2 else CHAT)
        equal(Decimal(a.headers["x-sluice-cost-usd"]), COST, "the header")
        n += 1
    list(server.stream("/v1/chat/completions", {**CHAT, "stream": True}, headers={"Authorization": "Bearer " + key}))
    n += 1
    equal(ask(key, {**CHAT, "model": "failing"}).status, 502)
    wait_for(lambda: place.total()["requests"] == before["requests"] + n + 1, 2, "all in the ledger")
    u = place.usage("--by", "key,model")
    rows = {(r["key"], r["model"]): r for r in u["rows"]}
    row = rows[("spender", "chat")]
    equal((row["requests"], row["input_tokens"], row["cached_input_tokens"], row["output_tokens"]), (n, n * INPUT, n * CACHED, n * OUTPUT))
    equal(Decimal(str(row["cost_usd"])), COST * n)
    equal((rows[("spender", "failing")]["requests"], rows[("spender", "failing")]["cost_usd"]), (1, Decimal("0.0")))
    users = {r["user"]: r["requests"] for r in place.usage("--by", "key,user")["rows"] if r["key"] == "spender"}
    equal(users, {"bob": n + 1 - 2, "eve": 2})
    admin = json.loads(server.get("/admin/usage?by=key,model&since=24h", headers=ADMIN).text, parse_float=Decimal)
    equal((admin["rows"], admin["total"]), (place.usage("--by", "key,model", "--since", "24h")["rows"], place.usage("--since", "24h")["total"]))


def test_rates_concurrency_and_budgets_refuse():
    key = place.key("rpm2", "--rpm", "2")
    a = ask_when_known(key)
    equal((a.status, a.headers["x-ratelimit-limit-requests"], a.headers["x-ratelimit-remaining-requests"]), (200, "2", "1"))
    check("x-ratelimit-reset-requests" in a.headers)
    equal(ask(key).status, 200)
    a = ask(key)
    equal((a.status, a.headers["x-ratelimit-remaining-requests"]), (429, "0"), repr(a))
    check(1 <= int(a.headers["retry-after"]) <= 60, a.headers)
    a = server.post("/v1/messages", {"model": "chat", "max_tokens": 5, "messages": CHAT["messages"]}, headers={"x-api-key": key})
    equal((a.status, a.json["error"]["type"]), (429, "rate_limit_error"))

    key = place.key("tpm", "--tpm", "250")
    a = ask_when_known(key)
    equal((a.status, a.headers["x-ratelimit-limit-tokens"]), (200, "250"), repr(a))
    equal(ask(key, {**CHAT, "max_tokens": 49}).status, 200)
    a = ask(key)
    equal(a.status, 429, repr(a))
    check(int(a.headers["retry-after"]) >= 1)

    key = place.key("one", "--concurrency", "1")
    equal(ask_when_known(key).status, 200)
    got = []
    threads = [threading.Thread(target=lambda: got.append(ask(key, {**CHAT, "model": "held"}).status)) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(sorted(got), [200, 429, 429, 429])
    equal(ask(key).status, 200, "it is free again")

    key = place.key("poor", "--budget", "0.00006", "--per", "month")
    a = ask_when_known(key)
    equal(a.status, 200, repr(a))
    equal(ask(key).status, 200)
    a = ask(key)
    equal((a.status, a.json["error"]["type"], a.headers["x-should-retry"]), (429, "insufficient_quota", "false"), repr(a))
    check(int(a.headers["retry-after"]) >= 1)
    equal(ask(key, {**CHAT, "model": "unpriced"}).status, 403)
    key = place.key("tokens", "--token-budget", "200", "--per", "day")
    equal(ask_when_known(key).status, 200)
    a = ask(key)
    equal((a.status, a.headers["x-should-retry"]), (429, "false"), repr(a))


def test_of_a_thousand_at_once_exactly_a_hundred_are_admitted():
    key = place.key("crowd", "--rpm", "100")
    wait_for(lambda: server.get("/v1/models", headers={"Authorization": "Bearer " + key}).status == 200, 2, "the key")
    before = mock.count("plain")
    results, lock, gate = [], threading.Lock(), threading.Barrier(50)
    def many():
        gate.wait()
        for _ in range(20):
            s = ask(key).status
            with lock:
                results.append(s)
    threads = [threading.Thread(target=many) for _ in range(50)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal({s: results.count(s) for s in set(results)}, {200: 100, 429: 900})
    equal(mock.count("plain") - before, 100)


def open_stream(where, key, model):
    body = json.dumps({**CHAT, "model": model, "stream": True}).encode()
    s = socket.create_connection(("127.0.0.1", where.port))
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (key.encode(), len(body), body))
    got = b""
    while got.count(b"data: ") < 3:
        piece = s.recv(1000)
        check(piece, "the stream ended: %r" % got)
        got += piece
    return s


def crash(durability):
    own = Place(durability)
    key = own.key("crasher")
    where = own.start()
    sockets = [open_stream(where, key, "stalled") for _ in range(4)]
    done = 0
    stop = threading.Event()
    counts = []
    def ask_on():
        n = 0
        while not stop.is_set():
            try:
                n += ask(key, where=where).status == 200
            except OSError:
                break
        counts.append(n)
    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    [t.start() for t in threads]
    time.sleep(1.6)  # checkpoints are written once a second
    where.process.send_signal(signal.SIGKILL)
    where.process.wait()
    stop.set()
    [t.join() for t in threads]
    [s.close() for s in sockets]
    received = sum(counts)
    check(received > 10, "only %d" % received)
    where = own.start()
    db = sqlite3.connect(os.path.join(own.dir.name, "state.db"))
    outcomes = dict(db.execute("SELECT outcome, count(*) FROM requests GROUP BY outcome").fetchall())
    check(received <= outcomes["ok"] <= received + 4, "fully received %d, ledger %r" % (received, outcomes))
    equal(outcomes.get("interrupted", 0) >= 4, True, repr(outcomes))
    stalled = db.execute("SELECT r.outcome, a.output, a.estimated FROM requests r LEFT JOIN attempts a ON a.request_id = r.id WHERE r.model = 'stalled'").fetchall()
    equal(len(stalled), 4)
    for outcome, output, estimated in stalled:
        equal((outcome, estimated), ("interrupted", 1))
        check(output > 0, "what was produced is charged")
    equal(db.execute("SELECT count(*) FROM open_requests").fetchone()[0], 0)
    first = own.total()
    equal(where.stop(), 0)
    equal(own.total(), first, "nothing is doubled by another start")
    own.start().stop()
    equal(own.total(), first)
    own.dir.cleanup()


def test_kill_9_loses_and_doubles_nothing():
    crash("process")


def test_kill_9_with_durability_power():
    crash("power")


def test_budgets_survive_a_restart():
    own = Place()
    key = own.key("poor", "--budget", "0.00006", "--per", "month")
    where = own.start()
    equal([ask(key, where=where).status for _ in range(3)], [200, 200, 429])
    where.process.send_signal(signal.SIGKILL)
    where.process.wait()
    where = own.start()
    equal(ask(key, where=where).status, 429)
    where.stop()
    own.dir.cleanup()


def test_a_client_that_leaves_pays_for_what_was_produced():
    key = place.key("leaver")
    equal(ask_when_known(key).status, 200)
    open_stream(server, key, "stalled").close()
    wait_for(lambda: [r for r in place.usage("--by", "key,model")["rows"] if (r["key"], r["model"]) == ("leaver", "stalled")], 3, "the ledger")
    row = [r for r in place.usage("--by", "key,model")["rows"] if (r["key"], r["model"]) == ("leaver", "stalled")][0]
    check(row["output_tokens"] > 0 and row["cost_usd"] > 0, row)


def test_no_key_is_shown_anywhere():
    text = "".join(server.log)
    for root, _, files in os.walk(place.dir.name):
        for f in files:
            with open(os.path.join(root, f), "rb") as h:
                text += h.read().decode("latin-1") if f != "c.yaml" else ""
    check("sk-sluice-" not in text.replace("sk-sluice-wrong", "").replace("Bearer sk-sluice-...", ""))
    check("admin-secret-7" not in text)


def test_it_ends_well():
    equal(server.stop(), 0)
    place.dir.cleanup()


if __name__ == "__main__":
    main(sys.modules[__name__])
