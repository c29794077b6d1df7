"""harness.py - Starts a Sluice server for a test, talks plain HTTP to it, and counts tests.

Standard library only.  A test is a function whose name begins with test_; main() runs them all
and closes with "N passed, N failed, N skipped"."""
import http.client, json, os, re, socket, subprocess, sys, tempfile, threading, time, traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("SLUICE_BINARY", os.path.join(ROOT, "build", "release", "sluice"))
SANITIZER = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:")


class Skip(Exception):
    pass


class Server:
    """A running server on a free port, with its own state folder and home."""

    def __init__(self, *args, config=None, env=None):
        self.dir = tempfile.TemporaryDirectory(prefix="sluice-test-")
        full = dict(os.environ, HOME=self.dir.name, XDG_STATE_HOME=self.dir.name, XDG_DATA_HOME=self.dir.name)
        for name in ("SLUICE_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            full.pop(name, None)
        full.update(env or {})
        command = [BINARY, "serve", *args]
        if config is not None:
            self.config = os.path.join(self.dir.name, "config.yaml")
            with open(self.config, "w") as f:
                f.write(config)
            command += ["-c", self.config]
        if "--listen" not in args and (config is None or "listen:" not in config):
            command += ["--listen", "127.0.0.1:0"]
        self.log = []
        self.address = threading.Event()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=full)
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        if not self.address.wait(30):
            self.process.kill()
            raise RuntimeError("the server did not listen:\n" + "".join(self.log))

    def _read_log(self):
        for line in self.process.stderr:
            line = line.decode("utf-8", "replace")
            self.log.append(line)
            found = re.search(r"listening on (https?)://([^ ]*):(\d+)", line)
            if found and not self.address.is_set():
                self.port = int(found.group(3))
                self.url = "%s://127.0.0.1:%d" % (found.group(1), self.port)
                self.address.set()
        self.address.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError("the server did not stop:\n" + "".join(self.log[-20:]))
        self.dir.cleanup()
        self.reader.join(timeout)
        found = [i for i, line in enumerate(self.log) if SANITIZER.search(line)]
        if found:
            raise RuntimeError("a sanitizer found this:\n" + "".join(self.log[found[0]:][:60]))
        return code

    def request(self, method, path, body=None, headers=None, timeout=120):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        text = r.read()
        c.close()
        return Answer(r.status, dict((k.lower(), v) for k, v in r.getheaders()), text)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.request("POST", path, body, **kw)

    def stream(self, path, body, headers=None, timeout=120):
        """The data lines of a stream, as they come."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        if r.status != 200:
            raise RuntimeError("%d %s" % (r.status, r.read().decode()))
        for line in r:
            if line.startswith(b"data: "):
                yield line[6:].strip().decode()
        c.close()


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    @property
    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return "%d %s" % (self.status, self.text[:500])


def check(condition, message=""):
    if not condition:
        raise AssertionError(message or "check failed")


def equal(got, want, message=""):
    if got != want:
        raise AssertionError("%sgot %r, expected %r" % (message and message + ": ", got, want))


def wait_for(condition, seconds=10, what="the condition"):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("%s did not come true within %s s" % (what, seconds))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main(module):
    passed = failed = skipped = 0
    wanted = sys.argv[1:]
    for name, test in list(vars(module).items()):
        if not name.startswith("test_") or not callable(test) or (wanted and not any(w in name for w in wanted)):
            continue
        try:
            test()
            passed += 1
        except Skip as why:
            skipped += 1
            print("skipped %s: %s" % (name, why))
        except BaseException:
            failed += 1
            print("FAIL %s" % name)
            traceback.print_exc(file=sys.stdout)
            if isinstance(sys.exc_info()[1], KeyboardInterrupt):
                break
        sys.stdout.flush()
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    sys.exit(1 if failed else 0)
