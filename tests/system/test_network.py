"""What lies between client, gateway and provider: TLS on both sides, proxies, silence, hang-ups,
reloads, prompt caches.  No certificate or name of the real world is needed."""
import base64, http.client, json, os, signal, socket, ssl, statistics, subprocess, sys, tempfile, threading, time

from harness import BINARY, Server, Skip, check, equal, main, wait_for
from mock_provider import Mock

HEARTBEAT_S = 15
HANG_UP_S = 0.1
PRICE = "price: {input: 1.0, output: 2.0}"
mock = Mock()


# ---- certificates ----

class Authority:
    """A folder with a certificate authority of its own and certificates by name."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-ca-")
        self.openssl("req", "-x509", *self.new_key("ca"), "-out", self.path("ca.pem"), "-subj", "/CN=test authority", "-days", "2")

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key")]

    def openssl(self, *args):
        try:
            subprocess.run(["openssl", *args], check=True, capture_output=True)
        except FileNotFoundError:
            raise Skip("openssl is not installed")

    def make(self, name, alternatives):
        with open(self.path("ext"), "w") as f:
            f.write("subjectAltName=" + alternatives)
        self.openssl("req", *self.new_key(name), "-out", self.path("csr"), "-subj", "/CN=" + name)
        self.openssl("x509", "-req", "-in", self.path("csr"), "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-CAcreateserial",
                     "-out", self.path(name + ".pem"), "-days", "2", "-extfile", self.path("ext"))
        return self.path(name + ".pem"), self.path(name + ".key")


class TlsMock(Mock):
    def __init__(self, cert, key):
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)


authority = Authority()
upstream = authority.make("mock.test", "DNS:mock.test,IP:127.0.0.1")
secure = TlsMock(*upstream)
TRUST = {"SSL_CERT_FILE": authority.path("ca.pem")}


def config(providers, models, more=""):
    lines = [more or "auth: none", "providers:"]
    lines += ["  - {name: %s, kind: %s, base_url: %s, api_key: secret-of-%s, breaker: {failures: 1000}%s}" % (n, k, u, n, x) for n, k, u, x in providers]
    lines.append("models:")
    lines += ["  - {name: %s, retries: 0, targets: [{provider: %s, model: %s, %s}]%s}" % (n, p, m, PRICE, x) for n, p, m, x in models]
    return "\n".join(lines) + "\n"


def chat(server, model, stream=False, headers=None, content="Hi"):
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}]}
    return server.post("/v1/chat/completions", {**body, "stream": True} if stream else body, headers=headers, timeout=60)


def start(text, env=None):
    state = tempfile.TemporaryDirectory(prefix="sluice-network-")
    s = Server(config="listen: 127.0.0.1:0\nstate: sqlite:%s/state.db\n" % state.name + text, env=env)
    s.state = state
    return s


# ---- TLS to a provider ----

def test_a_provider_over_tls():
    with start(config([("tls", "openai", "https://127.0.0.1:%d/v1" % secure.port, "")], [("m", "tls", "plain", "")]), TRUST) as s:
        for stream in (False, True, False):
            a = chat(s, "m", stream)
            equal(a.status, 200, repr(a))
            check("Hello" in a.text.decode())
        equal(len(secure.requests), 3)


def test_a_provider_that_nobody_vouches_for_is_a_502_that_says_so():
    secure.reset()
    providers = [("tls", "openai", "https://127.0.0.1:%d/v1" % secure.port, ""), ("name", "openai", "https://localhost:%d/v1" % secure.port, ""),
                 ("plain", "openai", "https://127.0.0.1:%d/v1" % mock.port, "")]
    models = [("m", "tls", "plain", ""), ("other-name", "name", "plain", ""), ("no-tls", "plain", "plain", "")]
    with start(config(providers, models)) as s:
        a = chat(s, "m")
        equal(a.status, 502, repr(a))
        check("certificate" in a.json["error"]["message"], a)
        check("x-should-retry" in a.headers)
    with start(config(providers, models), TRUST) as s:
        equal(chat(s, "m").status, 200)
        a = chat(s, "other-name")
        equal(a.status, 502, repr(a))
        check("certificate" in a.json["error"]["message"] or "name" in a.json["error"]["message"], a)
        equal(chat(s, "no-tls").status, 502)
    equal(len(secure.requests), 1, "nothing is sent to whom nobody vouches for")


# ---- TLS to clients ----

class HttpsClient:
    def __init__(self, port):
        context = ssl.create_default_context(cafile=authority.path("ca.pem"))
        self.c = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        self.c.connect()
        self.serial = self.c.sock.getpeercert()["serialNumber"]

    def get(self, path):
        self.c.request("GET", path)
        r = self.c.getresponse()
        r.read()
        return r.status


def test_clients_over_tls_and_a_new_certificate_without_a_restart():
    cert, key = authority.make("first", "IP:127.0.0.1")
    text = config([("p", "openai", mock.url + "/v1", "")], [("m", "p", "plain", "")], "auth: none\ntls: {cert: %s, key: %s}" % (cert, key))
    with start(text) as s:
        check(s.url.startswith("https://"), s.url)
        old = HttpsClient(s.port)
        equal(old.get("/health"), 200)
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=5)
        try:
            c.request("GET", "/health")
            check(c.getresponse().status >= 400, "plain HTTP is not served there")
        except (http.client.HTTPException, OSError):
            pass
        new_cert, new_key = authority.make("second", "IP:127.0.0.1")
        os.replace(new_cert, cert)
        os.replace(new_key, key)
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: HttpsClient(s.port).serial != old.serial, 5, "the new certificate")
        equal(old.get("/health"), 200, "the old connection goes on")
        with open(key, "w") as f:
            f.write("no key")
        now = HttpsClient(s.port).serial
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("certificate was not reloaded" in line for line in s.log), 5, "the complaint")
        equal(HttpsClient(s.port).serial, now, "a faulty one changes nothing")


# ---- proxies ----

class Proxy(threading.Thread):
    """An HTTP proxy with CONNECT and a password.  Every name leads to 127.0.0.1."""

    def __init__(self, password="proxy-secret-5"):
        super().__init__(daemon=True)
        self.want = "Basic " + base64.b64encode(("user:" + password).encode()).decode()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []
        self.start()

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0])
        fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:] if x)}
        if fields.get("proxy-authorization") != self.want:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        there = socket.create_connection(("127.0.0.1", int(lines[0].split()[1].rsplit(":", 1)[1].split("/")[0])))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.copy, args=(client, there), daemon=True).start()
        self.copy(there, client)

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def test_a_provider_behind_a_proxy():
    secure.reset()
    proxy = Proxy()
    providers = [("far", "openai", "https://mock.test:%d/v1" % secure.port, ""), ("near", "openai", mock.url + "/v1", ""),
                 ("excepted", "openai", "https://inside.mock.test:%d/v1" % secure.port, "")]
    models = [("far", "far", "plain", ""), ("near", "near", "plain", ""), ("excepted", "excepted", "plain", "")]
    env = {**TRUST, "HTTPS_PROXY": "http://user:proxy-secret-5@127.0.0.1:%d" % proxy.port, "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "example.com,inside.mock.test"}
    with start(config(providers, models, "auth: none\nthreads: 1"), env) as s:
        for stream in (False, True):
            a = chat(s, "far", stream)
            equal(a.status, 200, repr(a))
        equal(proxy.asked, ["CONNECT mock.test:%d HTTP/1.1" % secure.port], "one tunnel, used again")
        check("proxy-authorization" not in secure.requests[0]["headers"], "the provider does not see the password of the proxy")
        equal(chat(s, "near").status, 200)
        equal(chat(s, "excepted").status, 502, "not by the proxy, and the name is nobody's")
        equal(len(proxy.asked), 1)
        log = "".join(s.log)
    check("proxy-secret-5" not in log and env["HTTPS_PROXY"] not in log)
    env["HTTPS_PROXY"] = "http://user:wrong-secret-6@127.0.0.1:%d" % proxy.port
    with start(config(providers, models), env) as s:
        a = chat(s, "far")
        equal(a.status, 502, repr(a))
        check("proxy" in a.json["error"]["message"] and "407" in a.json["error"]["message"], a)
        check("wrong-secret-6" not in a.text.decode() + "".join(s.log))


# ---- silence, and clients that leave ----

def raw_post(server, path, body):
    data = json.dumps(body).encode()
    s = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    s.sendall(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
    return s


def test_long_silence_brings_heartbeats_and_failures_behind_them_come_in_band():
    paths = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "gemini": "/v1beta/models/%s:streamGenerateContent?alt=sse"}
    models = [("slow", "p", "plain--slow-%d" % (HEARTBEAT_S * 1000 + 900), ""), ("fails", "p", "plain--slow-%d--500" % (HEARTBEAT_S * 1000 + 900), "")]
    found = {}

    def ask(server, client, model):
        path = paths[client] % model if client == "gemini" else paths[client]
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]} if client == "gemini" else \
            {"model": model, "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        began = time.time()
        s = raw_post(server, path, body)
        head = s.recv(65536)
        first = time.time() - began
        rest = b""
        while b"\r\n0\r\n\r\n" not in rest:
            piece = s.recv(65536)
            if not piece:
                break
            rest += piece
        found[client, model] = (first, head.decode(), rest.decode())

    with start(config([("p", "openai", mock.url + "/v1", ", first_token_timeout: 30s")], models)) as s:
        threads = [threading.Thread(target=ask, args=(s, c, m[0])) for c in paths for m in models]
        [t.start() for t in threads]
        [t.join() for t in threads]
    for (client, model), (first, head, rest) in found.items():
        what = "%s %s %r" % (client, model, head + rest)
        check(HEARTBEAT_S - 0.1 < first < HEARTBEAT_S + 0.8, "%.2f s: " % first + what)
        check(head.startswith("HTTP/1.1 200") and "text/event-stream" in head, what)
        check("delta" not in head and "candidates" not in head, "only a heartbeat: " + what)
        if model == "slow":
            check("Hello" in rest and '"error"' not in rest, what)
        else:
            check('"error"' in rest and "[DONE]" not in rest and "message_stop" not in rest, what)


def test_a_client_that_leaves_stops_the_provider_within_100_ms():
    models = [("waits", "p", "plain--stall-0", ""), ("runs", "p", "plain--stall-4", ""), ("foreign", "a", "plain--stall-4", "")]
    with start(config([("p", "openai", mock.url + "/v1", ""), ("a", "anthropic", mock.url, "")], models)) as s:
        for name, wants_data in (("waits", False), ("runs", True), ("foreign", True)):
            took = []
            for _ in range(9):
                mock.reset()
                c = raw_post(s, "/v1/chat/completions", {"model": name, "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
                got = b""
                while wants_data and b"data: " not in got:
                    got += c.recv(4096)
                wait_for(lambda: mock.requests, 5, "the provider's request")
                time.sleep(0.03)
                left = time.time()
                c.close()
                wait_for(lambda: mock.hung_up, 5, "the provider's end")
                took.append(mock.hung_up[0] - left)
            check(statistics.median(took) < HANG_UP_S, "%s: %s" % (name, ["%.3f" % t for t in took]))


# ---- prompt caches ----

def test_prompt_cache_auto_marks_what_stays_the_same():
    providers = [("a", "anthropic", mock.url, ""), ("o", "openai", mock.url + "/v1", "")]
    models = [("auto", "a", "plain", ", prompt_cache: auto"), ("off", "a", "plain", ""), ("foreign", "o", "plain", ", prompt_cache: auto")]
    tool = {"type": "object", "properties": {}}
    openai = {"messages": [{"role": "system", "content": "Be brief. " * 50}, {"role": "user", "content": "Hi"}], "max_tokens": 9,
              "tools": [{"type": "function", "function": {"name": "f", "parameters": tool}}]}
    anthropic = {"system": "Be brief. " * 50, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "tools": [{"name": "f", "input_schema": tool}]}
    own = {**anthropic, "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}

    def sent(path, model, body):
        mock.reset()
        a = s.post(path, {**body, "model": model})
        equal(a.status, 200, repr(a))
        return mock.requests[0]["body"], mock.requests[0]["raw"], a

    with start(config(providers, models)) as s:
        for path, body in (("/v1/chat/completions", openai), ("/v1/messages", anthropic)):
            got, raw, _ = sent(path, "auto", body)
            check("cache_control" in raw, "%s: %s" % (path, raw))
            check(all(c["type"] == "ephemeral" for c in [got.get("cache_control", {"type": "ephemeral"})]), raw)
            check("cache_control" not in sent(path, "off", body)[1], path)
            check("cache_control" not in sent(path, "foreign", body)[1], path)
        got, raw, _ = sent("/v1/messages", "auto", own)
        equal(raw.count("cache_control"), 1, "who sets marks keeps them as they are: " + raw)
        equal(got["system"][0]["cache_control"]["ttl"], "1h")
        check("cache_control" in sent("/v1/messages", "foreign", own)[2].headers.get("x-sluice-dropped", ""), "a dropped hint is named")


# ---- reloads ----

def test_a_reload_keeps_streams_counters_and_breakers():
    more = "auth: keys\nadmin_key: admin-secret-8\nlimits: {rpm: 4}"
    providers = [("p", "openai", mock.url + "/v1", ""), ("weak", "openai", mock.url + "/v1", "")]
    models = [("m", "p", "plain", ""), ("slow", "p", "plain--pace-150", ""), ("bad", "weak", "plain--500", "")]
    text = config(providers, models, more).replace("secret-of-weak, breaker: {failures: 1000}", "secret-of-weak, breaker: {failures: 1, cooldown: 1h}")
    with start(text) as s:
        with open(s.config) as f:
            old = f.read()
        admin = {"Authorization": "Bearer admin-secret-8"}
        key = {"Authorization": "Bearer " + s.post("/admin/keys", {"name": "k"}, headers=admin).json["key"]}
        equal(chat(s, "m", headers=key).status, 200)
        equal(chat(s, "bad", headers=key).status, 502)
        got = []
        t = threading.Thread(target=lambda: got.append(chat(s, "slow", True, key)))
        t.start()
        time.sleep(0.4)
        with open(s.config, "w") as f:
            f.write(old.replace("name: m,", "name: renamed,"))
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("was reloaded" in line for line in s.log), 5, "the reload")
        check(t.is_alive(), "the stream runs while the file is read")
        equal(chat(s, "renamed", headers=key).status, 200)
        a = chat(s, "renamed", headers=key)
        equal(a.status, 429, "four were asked before and after together: " + repr(a))
        t.join()
        check(got[0].status == 200 and b"[DONE]" in got[0].text, repr(got[0]))
        p = {x["name"]: x for x in s.get("/admin/providers", headers=admin).json["providers"]}
        equal(p["weak"]["targets"][0]["breaker"], "open")


# ---- secrets ----

def test_secrets_and_bodies_are_nowhere():
    secret = {"UP": "upstream-secret-value-1", "EXTRA": "header-secret-value-2", "ADMIN": "admin-secret-value-3"}
    text = """
auth: keys
admin_key: ${ADMIN}
log: {level: debug}
providers:
  - {name: p, kind: openai, base_url: %s/v1, api_key: "${UP}", headers: {x-extra: "${EXTRA}"}, breaker: {failures: 1000}}
models:
  - {name: m, retries: 0, targets: [{provider: p, model: plain, %s}]}
  - {name: refused, retries: 0, targets: [{provider: p, model: plain--401, %s}]}
""" % (mock.url, PRICE, PRICE)
    s = start(text, secret)
    admin = {"Authorization": "Bearer " + secret["ADMIN"]}
    made = s.post("/admin/keys", {"name": "k"}, headers=admin)
    shown = ""
    key = made.json["key"]
    for model in ("m", "refused", "nobody"):
        for headers in ({"Authorization": "Bearer " + key}, {"x-api-key": key + "x"}):
            shown += chat(s, model, headers=headers, content="the client's private words").text.decode()
        shown += s.post("/v1/chat/completions?key=" + key, {"model": model, "messages": 7}).text.decode()
    for path in ("/admin/keys", "/admin/providers", "/admin/usage", "/metrics", "/v1/models", "/"):
        shown += s.get(path, headers=admin).text.decode()
    shown += s.get("/admin/keys", headers={"Authorization": "Bearer wrong" + secret["ADMIN"]}).text.decode()
    with open(s.config, "a") as f:
        f.write("  - {name: x, colour: \"${UP}\", targets: []}\n")
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("colour" in line for line in s.log), 5, "the fault")
    r = subprocess.run([BINARY, "check", "-c", s.config], capture_output=True, text=True, env={**os.environ, **secret})
    check(r.returncode == 2 and "colour" in r.stderr, r)
    shown += r.stdout + r.stderr
    with open("/proc/%d/cmdline" % s.process.pid) as f:
        shown += f.read()
    equal(s.stop(), 0)
    shown += "".join(s.log)
    for root, _, files in os.walk(s.state.name):
        for name in files:
            with open(os.path.join(root, name), "rb") as f:
                shown += f.read().decode("latin-1")
    check("request" in shown and len(shown) > 10000)
    for word in [*secret.values(), key, "private words"]:
        check(word not in shown, "%s is shown: %r" % (word, shown[max(0, shown.find(word) - 200):shown.find(word) + 50]))


if __name__ == "__main__":
    main(sys.modules[__name__])
