"""sluice pull against a mock hub that redirects to a store on another port, cuts, lies and refuses."""
import hashlib, json, os, re, resource, signal, socket, subprocess, sys, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import BINARY, ROOT, check, equal, main, wait_for

TOKEN = "hf_secretsecretsecret"
DEMO = open(os.path.join(ROOT, "models", "demo.gguf"), "rb").read() if os.path.exists(os.path.join(ROOT, "models", "demo.gguf")) else None
BIG = bytes(i * 7 % 251 for i in range(300000))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=None, length=None):
        self.send_response(status)
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        h = self.server.hub
        headers = {k.lower(): v for k, v in self.headers.items()}
        h.seen.append((self.server.role, self.command, self.path, headers))
        try:
            (h.answer_hub if self.server.role == "hub" else h.answer_store)(self, headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class Hub:
    """files: path -> bytes.  The rest says how it misbehaves."""

    def __init__(self, files, **how):
        self.files, self.how, self.seen, self.failures = files, how, [], []
        self.cuts = list(how.get("cuts", []))
        self.busy = how.get("busy", 0)
        self.ports = {}
        for role in ("hub", "store"):
            s = Listener(("127.0.0.1", 0), Handler)
            s.hub, s.role = self, role
            self.ports[role] = s.server_address[1]
            threading.Thread(target=s.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.ports["hub"]

    def sha(self, path):
        return "0" * 64 if self.how.get("lie") else hashlib.sha256(self.files[path]).hexdigest()

    def answer_hub(self, r, headers):
        path = r.path.split("?")[0]
        if self.how.get("status"):
            return r.answer(self.how["status"], b"{}", {"X-Error-Message": self.how.get("message", "no entry")})
        if self.busy > 0:
            self.busy -= 1
            return r.answer(503, b"busy", {"Retry-After": "0"})
        if path.startswith("/api/models/own/repo/revision/"):
            revision = path.rsplit("/", 1)[1]
            if revision not in ("main", "refs%2Fpr%2F1"):
                return r.answer(404, b"{}")
            files = [{"rfilename": "README.md", "size": 3, "blobId": "x"}]
            for p, data in self.files.items():
                entry = {"rfilename": p, "size": len(data)}
                if not self.how.get("nolfs"):
                    entry["lfs"] = {"size": len(data), "sha256": self.sha(p), "pointerSize": 130}
                files.append(entry)
            return r.answer(200, json.dumps({"id": "own/repo", "sha": "c0ffee", "siblings": files}).encode())
        if "old/name" in path: # it was renamed
            return r.answer(307, b"", {"Location": r.path.replace("old/name", "own/repo")})
        found = re.fullmatch(r"/own/repo/resolve/c0ffee/(.*)", path)
        if found and found.group(1) in self.files:
            f = found.group(1)
            extra = {} if self.how.get("noetag") else {"X-Linked-Etag": '"%s"' % self.sha(f), "X-Linked-Size": str(len(self.files[f]))}
            where = self.how.get("location") or "http://127.0.0.1:%d/store/%s?signature=sig-na-ture" % (self.ports["store"], f)
            return r.answer(302, b"moved", {"Location": where, **extra})
        return r.answer(404, b"{}")

    def answer_store(self, r, headers):
        data = self.files[r.path.split("?")[0].removeprefix("/store/")]
        start = 0
        if "range" in headers and not self.how.get("norange"):
            start = int(re.fullmatch(r"bytes=(\d+)-", headers["range"]).group(1))
            if start >= len(data):
                return r.answer(416, b"")
        rest = data[start:]
        status = 206 if start else 200
        extra = {"Content-Range": "bytes %d-%d/%d" % (start, len(data) - 1, len(data))} if start else {}
        if self.cuts:
            cut = self.cuts.pop(0)
            r.answer(status, rest[:cut], extra, length=len(rest))
            r.wfile.flush()
            if self.how.get("hang"):
                time.sleep(60)
            r.close_connection = True
            r.connection.shutdown(socket.SHUT_RDWR)
            return
        r.answer(status, rest, extra)


class Home:
    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-pull-")

    def env(self, hub, **more):
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("HF_", "SLUICE_"))}
        return {**env, "HOME": self.dir.name, "XDG_DATA_HOME": self.dir.name, "XDG_STATE_HOME": self.dir.name, "HF_ENDPOINT": hub.url, **more}

    def run(self, hub, *args, preexec=None, **more):
        r = subprocess.run([BINARY, *args], capture_output=True, text=True, env=self.env(hub, **more), timeout=120, preexec_fn=preexec,
                           stdin=subprocess.DEVNULL)
        check(TOKEN not in r.stdout + r.stderr, "the token was printed")
        check("sig-na-ture" not in r.stdout + r.stderr, "a signed address was printed")
        return r

    def pull(self, hub, name="hf:own/repo", **more):
        return self.run(hub, "pull", name, **more)

    def path(self, name):
        return os.path.join(self.dir.name, "sluice", "models", "own", "repo", name)

    def files(self):
        top = os.path.join(self.dir.name, "sluice", "models")
        return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs)


def pulled(home, name, data):
    with open(home.path(name), "rb") as f:
        check(f.read() == data, name + " differs")


def test_a_redirected_file_arrives_and_the_token_stays_home():
    hub, home = Hub({"m.gguf": BIG}), Home()
    r = home.pull(hub, HF_TOKEN=TOKEN)
    equal(r.returncode, 0, r.stderr)
    equal(r.stdout.strip(), home.path("m.gguf"))
    pulled(home, "m.gguf", BIG)
    equal(home.files(), ["own/repo/m.gguf"])
    for role, _, path, headers in hub.seen:
        equal(headers.get("authorization"), "Bearer " + TOKEN if role == "hub" else None, path)
    check(any(role == "store" for role, *_ in hub.seen), "the store was not asked")
    lines = [l for l in r.stderr.splitlines() if "%" in l]
    check(lines and lines[-1] == "m.gguf: 100%" and len(lines) <= 12, r.stderr)
    before = len(hub.seen)
    again = home.pull(hub)
    equal((again.returncode, again.stdout), (0, r.stdout))
    equal(len(hub.seen), before + 1, "only the list is asked for what is there")


def test_a_cut_download_goes_on_where_it_stopped():
    hub, home = Hub({"m.gguf": BIG}, cuts=[1000, 70000]), Home()
    r = home.pull(hub)
    equal(r.returncode, 0, r.stderr)
    pulled(home, "m.gguf", BIG)
    ranges = [h.get("range") for role, _, _, h in hub.seen if role == "store"]
    equal(ranges, [None, "bytes=1000-", "bytes=71000-"])


def test_a_killed_pull_is_continued_by_the_next_one():
    hub, home = Hub({"m.gguf": BIG}, cuts=[123456], hang=True), Home()
    p = subprocess.Popen([BINARY, "pull", "hf:own/repo"], env=home.env(hub), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    parts = lambda: [f for f in home.files() if f.endswith(".part")]
    wait_for(lambda: parts() and os.path.getsize(os.path.join(home.dir.name, "sluice", "models", parts()[0])) == 123456, what="the part")
    other = home.pull(hub)
    equal(other.returncode, 1)
    check("another pull" in other.stderr, other.stderr)
    p.kill()
    p.wait()
    check(not os.path.exists(home.path("m.gguf")), "a part has the name of a whole file")
    r = home.pull(hub)
    equal(r.returncode, 0, r.stderr)
    pulled(home, "m.gguf", BIG)
    equal([h.get("range") for role, _, _, h in hub.seen if role == "store"][-1], "bytes=123456-")
    equal(home.files(), ["own/repo/m.gguf"])


def test_a_store_without_ranges_is_read_again_from_the_start():
    hub, home = Hub({"m.gguf": BIG}, cuts=[1000], norange=True), Home()
    equal(home.pull(hub).returncode, 0)
    pulled(home, "m.gguf", BIG)


def test_a_wrong_checksum_discards_the_file():
    hub, home = Hub({"m.gguf": BIG}, lie=True), Home()
    r = home.pull(hub)
    equal(r.returncode, 1)
    check("SHA-256" in r.stderr and "discarded" in r.stderr, r.stderr)
    equal(home.files(), [])


def test_a_damaged_part_is_found_out():
    hub, home = Hub({"m.gguf": BIG}), Home()
    os.makedirs(os.path.dirname(home.path("m.gguf")))
    with open(home.path("m.gguf." + hub.sha("m.gguf")[:12] + ".part"), "wb") as f:
        f.write(b"x" * 5000)
    equal(home.pull(hub).returncode, 1)
    equal(home.files(), [])
    equal(home.pull(hub).returncode, 0)
    pulled(home, "m.gguf", BIG)


def test_refusals_say_what_to_do():
    home = Home()
    for status, token, words in ((401, None, "set HF_TOKEN"), (401, TOKEN, "does not accept HF_TOKEN"), (403, TOKEN, "accept its terms"),
                                 (404, None, "has no list of files of own/repo")):
        r = home.pull(Hub({}, status=status), **({"HF_TOKEN": token} if token else {}))
        equal(r.returncode, 1, r.stderr)
        check(words in r.stderr, r.stderr)
        equal(len(r.stderr.splitlines()), 1, r.stderr)
    r = home.run(Hub({"m.gguf": BIG}), "pull", "hf:own/repo", "--revision", "gone")
    check("revision 'gone'" in r.stderr, r.stderr)
    equal(home.run(Hub({}), "pull", "own/repo").returncode, 2)
    r = home.pull(Hub({"a.safetensors": b"x"}))
    check(r.returncode == 1 and "no GGUF file" in r.stderr, r.stderr)


def test_a_busy_hub_is_asked_again():
    hub, home = Hub({"m.gguf": BIG}, busy=1), Home()
    r = home.pull(hub)
    equal(r.returncode, 0, r.stderr)
    check("trying again" in r.stderr, r.stderr)


def test_the_file_is_chosen_by_rule():
    files = {"m-Q8_0.gguf": b"8" * 9, "m-Q4_K_M.gguf": b"4" * 5, "mmproj.gguf": b"p"}
    hub, home = Hub(files), Home()
    r = home.pull(hub)
    equal(r.returncode, 0, r.stderr)
    equal(home.files(), ["own/repo/m-Q4_K_M.gguf"])
    check(re.search(r"^\* m-Q4_K_M.gguf .*5 B$", r.stderr, re.M) and re.search(r"^  m-Q8_0.gguf ", r.stderr, re.M), r.stderr)
    equal(home.pull(hub, "hf:own/repo:q8_0").returncode, 0)
    equal(home.files(), ["own/repo/m-Q4_K_M.gguf", "own/repo/m-Q8_0.gguf"])
    r = home.pull(hub, "hf:own/repo:Q3_K_M")
    check(r.returncode == 1 and "no GGUF file is named 'Q3_K_M'" in r.stderr and "m-Q8_0.gguf" in r.stderr, r.stderr)
    r = home.pull(Hub({"a.gguf": b"1", "b.gguf": b"2"}))
    check(r.returncode == 2 and "say which one" in r.stderr, r.stderr)


def test_parts_are_pulled_as_a_set():
    files = {"F16/m-F16-0000%d-of-00003.gguf" % i: bytes([i]) * 1000 for i in (1, 2, 3)}
    hub, home = Hub(files), Home()
    r = home.pull(hub, "hf:own/repo:F16")
    equal(r.returncode, 0, r.stderr)
    equal(r.stdout.strip(), home.path("F16/m-F16-00001-of-00003.gguf"))
    for name, data in files.items():
        pulled(home, name, data)


def test_a_checksum_only_in_the_redirect_is_enough_and_none_is_not():
    home = Home()
    hub = Hub({"m.gguf": BIG}, nolfs=True)
    equal(home.pull(hub).returncode, 0)
    pulled(home, "m.gguf", BIG)
    check(any(method == "HEAD" and role == "hub" for role, method, *_ in hub.seen), "no HEAD")
    r = Home().pull(Hub({"m.gguf": BIG}, nolfs=True, noetag=True))
    check(r.returncode == 1 and "no SHA-256" in r.stderr, r.stderr)


def test_a_renamed_repository_is_found():
    hub, home = Hub({"m.gguf": BIG}), Home()
    r = home.pull(hub, "hf:old/name", HF_TOKEN=TOKEN)
    equal(r.returncode, 0, r.stderr)
    equal(home.files(), ["old/name/m.gguf"])


def test_redirects_that_are_not_followed():
    loop = Hub({"m.gguf": BIG}, location="/own/repo/resolve/c0ffee/m.gguf")
    r = Home().pull(loop)
    check(r.returncode == 1 and "redirects" in r.stderr, r.stderr)
    for where in ("ftp://x/y", "file:///etc/passwd", "http://"):
        r = Home().pull(Hub({"m.gguf": BIG}, location=where))
        equal(r.returncode, 1, where)
        check("root:" not in r.stdout + r.stderr)


def test_other_revisions_and_folders():
    hub, home = Hub({"m.gguf": BIG}), Home()
    r = home.run(hub, "pull", "hf:own/repo", "--revision", "refs/pr/1", "--models-dir", os.path.join(home.dir.name, "elsewhere"))
    equal(r.returncode, 0, r.stderr)
    equal(r.stdout.strip(), os.path.join(home.dir.name, "elsewhere", "own", "repo", "m.gguf"))


def test_a_full_disk_keeps_what_came():
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
    hub, home = Hub({"m.gguf": BIG}), Home()
    r = home.run(hub, "pull", "hf:own/repo", preexec=limit)
    equal(r.returncode, 1)
    check("cannot be written" in r.stderr and "pull again" in r.stderr, r.stderr)
    equal([f.endswith(".part") for f in home.files()], [True])
    equal(home.pull(hub).returncode, 0)
    pulled(home, "m.gguf", BIG)
    check([h.get("range") for role, _, _, h in hub.seen if role == "store"][-1].startswith("bytes="))


def test_a_proxy_is_honoured():
    hub, home = Hub({"m.gguf": BIG}), Home()
    asked = []
    s = socket.create_server(("127.0.0.1", 0))
    def serve():
        c, _ = s.accept()
        asked.append(c.recv(10000).decode())
        c.sendall(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")
        c.close()
    threading.Thread(target=serve, daemon=True).start()
    r = home.run(hub, "pull", "hf:own/repo", HF_ENDPOINT="https://hub.invalid", HTTPS_PROXY="http://127.0.0.1:%d" % s.getsockname()[1],
                 HF_TOKEN=TOKEN)
    equal(r.returncode, 1)
    check(asked and asked[0].startswith("CONNECT hub.invalid:443 ") and TOKEN not in asked[0], asked)


def test_a_pulled_model_runs_by_its_name():
    if DEMO is None:
        return
    hub, home = Hub({"demo-Q8_0.gguf": DEMO}), Home()
    r = home.run(hub, "run", "hf:own/repo", "-n", "4", "What is decode?")
    equal(r.returncode, 0, r.stderr)
    check(r.stdout.strip(), "no answer")
    before = len(hub.seen)
    equal(home.run(hub, "run", "hf:own/repo:Q8_0", "-n", "2", "hello").returncode, 0)
    equal(home.run(hub, "inspect", "hf:own/repo").returncode, 0)
    equal(len(hub.seen), before, "what is there is not asked for")
    config = os.path.join(home.dir.name, "c.yaml")
    for target, words in (("hf:own/repo:Q8_0", "listening"), ("hf:own/other", "sluice pull hf:own/other")):
        with open(config, "w") as f:
            f.write("listen: 127.0.0.1:0\nmodels: [{name: m, targets: [{provider: local, model: '%s'}]}]\n" % target)
        p = subprocess.Popen([BINARY, "serve", "-c", config], env=home.env(hub), stderr=subprocess.PIPE, text=True)
        seen = ""
        while words not in seen:
            line = p.stderr.readline()
            check(line, seen)
            seen += line
        p.terminate()
        p.communicate(timeout=20)
    equal(len(hub.seen), before, "serving fetches nothing")


if __name__ == "__main__":
    main(sys.modules[__name__])
