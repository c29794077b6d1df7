"""Conversations for the demo model, made from a seed.

Each task family is one function: it gets a `Gen` (random numbers, and the split) and returns a conversation.  Kept out
of training and used only for scoring: phrasings that begin with "~" (development) or "^" (test), and values (names,
cities, words) that `is_set_aside` picks by their checksum.  `Gen` gives a training function only what it may see, and
drops whatever `varied` happens to turn into a phrasing that is kept out.

A conversation is a list of turns; a turn is (role, text).  "spell" in a turn's third field means that the answer is
taught letter by letter: that is how a model whose tokens are pieces of words learns upper case and reversal.
"""
import json
import random
import zlib

import words as W
from facts import CONCEPTS, FACTS, FALLBACK, IDENTITY, QUESTION_FORMS, SMALLTALK, is_held
from facts import PHRASINGS as P
from vary import misspelled, varied


def is_set_aside(value, share=8):
    return zlib.crc32(str(value).encode()) % share == 0


class Gen:
    """Random choices of one split: "train", "dev" (phrasings with "~") or "test" ("^"); `unseen` wants unseen values."""

    MARK = {"dev": "~", "test": "^"}

    def __init__(self, rng, split, unseen=False):
        self.rng, self.split, self.test, self.unseen = rng, split, split != "train", unseen
        self.lists = {}     # id of a list of phrasings -> (the list, those of this split)

    def forms(self, forms):
        """The phrasings of this split.  Lists without any of its mark belong to all."""
        if id(forms) not in self.lists:
            mine = [f[1:] for f in forms if self.test and f[0] == self.MARK[self.split]] or [f for f in forms if f[0] not in "~^"]
            self.lists[id(forms)] = forms, mine
        return self.lists[id(forms)][1]

    def phrase(self, forms, wrap=True):
        q = self.rng.choice(self.forms(forms))
        if self.test:
            return q
        while True:
            new = varied(self.rng, q) if wrap and self.chance(0.5) else q
            if not is_held(new):
                return new
            q = self.rng.choice(self.forms(forms))

    def value(self, pool):
        """One value of this split; a pool too small to have held-out values belongs to both.

        Training also sees invented names and places, so that names are copied and not guessed."""
        if not self.test and (pool is W.NAMES or pool is W.CITIES) and self.chance(0.35):
            return made_word(self, 8).capitalize()
        while True:
            v = self.rng.choice(pool)
            if is_set_aside(v) == self.unseen or (self.unseen and not any(is_set_aside(p) for p in pool)):
                return v

    def number(self, lo, hi):
        return self.rng.randint(lo, hi)

    def chance(self, p):
        return self.rng.random() < p

    def style(self, text):
        """Small changes that people make and that do not change the meaning."""
        r, plain = self.rng, text
        if self.chance(0.12) and text[-1] in ".?!":
            text = text[:-1]
        if self.chance(0.15) and len(text) > 1 and text[1].islower():
            text = text[0].lower() + text[1:]
        if self.chance(0.06) and text[:1].isupper() and " " in text:
            text = r.choice(["Hey, ", "Hi! ", "Hello, ", "OK. ", "Well, ", "Next: ", "Now: ", "Question: "]) + text
        if self.chance(0.04):
            text = text + r.choice([" Thanks!", " Thank you.", " Please."]) if text[-1] in ".?!" else text
        return text if self.test or not is_held(text) else plain


    def question(self, text):
        """style, and what only training sees: all small letters, a slip of the pen."""
        text = self.style(text)
        if not self.test:
            if self.chance(0.08):
                text = text.lower()
            if self.chance(0.03):
                text = misspelled(self.rng, text)
        return text


SYLLABLES = [c + v for c in "b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr sh ch th".split() for v in "a e i o u ai ea oo".split()]
ENDS = ["", "", "n", "r", "s", "t", "l", "d", "m", "ck", "ng", "x", "p", "y"]
PIECES = []     # lower-case tokens of the vocabulary, filled by the trainer so that each one's spelling is taught


def made_word(g, longest):
    """A word nobody uses: from syllables, or from pieces of the vocabulary."""
    while True:
        dice = g.rng.random()
        if dice < 0.15:
            w = "".join(g.rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(g.number(2, 6)))
        elif PIECES and dice < 0.6:
            w = "".join(g.rng.choice(PIECES) for _ in range(g.rng.choice([1, 1, 2])))
        else:
            w = "".join(g.rng.choice(SYLLABLES) for _ in range(g.rng.choice([1, 2, 2]))) + g.rng.choice(ENDS)
        if 2 <= len(w) <= longest and is_set_aside(w) == g.unseen:
            return w


def word(g, longest=9):
    """A word of this split: in tests always a common one."""
    if not g.test and g.chance(0.55):
        return made_word(g, longest)
    while True:
        w = g.value(W.WORDS if g.chance(0.85) else [n.lower() for n in W.NAMES + W.CITIES])
        if len(w) <= longest:
            return w


def word_list(g, lo, hi, longest=9):
    return [word(g, longest) for _ in range(g.number(lo, hi))]


def any_words(g, n):
    return " ".join(g.rng.choice(W.WORDS) for _ in range(n))


def quoted(g, text):
    return g.rng.choice(["{}", "{}", '"{}"', "'{}'"]).format(text)


# ---- knowledge ----

def _ask(g, questions):
    return g.question(g.phrase(questions))


def _asked(g, answers):
    """A question that this split has, and its answer."""
    while True:
        answer, questions = g.rng.choice(answers)
        if not g.test or any(q[0] == g.MARK[g.split] for q in questions):
            return [("user", _ask(g, questions)), ("assistant", answer)]


def inference(g):
    answer, names, questions = g.rng.choice(CONCEPTS)
    while True:
        if g.chance(0.5):
            q = g.phrase(QUESTION_FORMS).replace("{x}", g.rng.choice(names))
            q = g.question(q[0].upper() + q[1:])
        else:
            q = _ask(g, questions)
        if g.test or not is_held(q):
            return [("user", q), ("assistant", answer)]


def sluice(g):
    return _asked(g, FACTS)


def identity(g):
    return _asked(g, IDENTITY)


def smalltalk(g):
    return _asked(g, SMALLTALK)


# ---- changing text ----



def case(g):
    text = " ".join(word_list(g, 1, 2, 6))
    if g.chance(0.6):
        if g.chance(0.2):
            text = text.capitalize()
        return [("user", g.phrase(P["UPPER"]).replace("{x}", quoted(g, text))), ("assistant", text.upper(), "spell")]
    shown = text.upper() if g.chance(0.8) else text.title()
    return [("user", g.phrase(P["LOWER"]).replace("{x}", quoted(g, shown))), ("assistant", text.lower(), "spell")]




def spell(g):
    w = word(g, 7)
    return [("user", g.phrase(P["SPELL"]).replace("{x}", quoted(g, w))), ("assistant", "-".join(w), "spell")]


def reverse(g):
    w = word(g, 4)
    return [("user", g.phrase(P["REVERSE"]).replace("{x}", quoted(g, w))), ("assistant", w[::-1], "spell")]


NUMBER_WORDS = "zero one two three four five six seven eight nine ten".split()


def repeat(g):
    if g.chance(0.6):
        text = " ".join(word_list(g, 1, 4, 9))
        if g.chance(0.3):
            text = text.capitalize()
        if g.chance(0.2):
            text += " " + str(g.number(0, 9999))
        if g.chance(0.3):
            text += g.rng.choice(".!?")
        return [("user", g.phrase(P["REPEAT"]).replace("{x}", text)), ("assistant", text)]
    w, n = word(g, 9), g.number(2, 4)
    q = g.phrase(P["REPEAT_N"]).replace("{x}", quoted(g, w)).replace("{n}", g.rng.choice([str(n), NUMBER_WORDS[n]]))
    return [("user", q[0].upper() + q[1:]), ("assistant", " ".join([w] * n))]




def count_words(g):
    n = g.number(1, 5)
    text = any_words(g, n) if g.test or g.chance(0.8) else " ".join(word(g) for _ in range(n))
    if g.chance(0.3):
        text = text.capitalize() + "."
    q = g.phrase(P["COUNT_WORDS"]).replace("{x}", g.rng.choice(["{}", "{}", '"{}"']).format(text))
    return [("user", q), ("assistant", f"{n} word{'s' * (n != 1)}.")]


SERIES = [", ".join(W.DAYS) + ".", ", ".join(W.MONTHS) + ".", "a b c d e f g h i j k l m n o p q r s t u v w x y z"]


def series(g):
    if g.chance(0.3):
        i = g.number(0, 2)
        return [("user", g.style(g.phrase(P[f"SERIES {i}"]))), ("assistant", SERIES[i])]
    a = g.number(0, 90) if g.chance(0.4) else g.number(0, 3)
    b = a + (g.number(2, 12) if g.test or g.chance(0.7) else g.number(9, 12))
    q = g.phrase(P["COUNT_UP"]).replace("{a}", str(a)).replace("{b}", str(b))
    return [("user", g.style(q)), ("assistant", ", ".join(map(str, range(a, b + 1))))]


# ---- arithmetic ----



def arithmetic(g):
    """Sums and differences up to 12, and the table up to 10: learned by heart, so only the phrasings are held out."""
    kind, hi = g.number(0, 2), g.rng.choice([9, 10, 12])
    a, b = g.number(0, hi), g.number(0, hi)
    if kind == 0:
        forms, op, c = P["ADD"], "+", a + b
    elif kind == 1:
        a, b = max(a, b), min(a, b)
        forms, op, c = P["SUB"], "-", a - b
    else:
        a, b = min(a, 10), min(b, 10)
        forms, op, c = P["MUL"], "*", a * b
    q = g.phrase(forms).replace("{a}", str(a)).replace("{b}", str(b))
    return [("user", g.style(q)), ("assistant", f"{a} {op} {b} = {c}")]


# ---- extraction ----

PERSON = [k[7:] for k in P if k.startswith("PERSON ")]
EVENTS = "party meeting concert exam wedding match dinner lesson market festival picnic workshop".split()


def extract(g):
    kind = g.rng.choice(PERSON)
    keys = kind.split()
    v = {"name": g.value(W.NAMES), "age": g.number(1, 99), "city": g.value(W.CITIES), "job": g.value(W.JOBS), "product": g.value(W.GOODS), "price": g.number(1, 999),
         "quantity": g.number(2, 60), "event": g.value(EVENTS), "day": g.rng.choice(W.DAYS)}
    text = g.phrase(P["PERSON " + kind], wrap=False)
    for k in keys:
        text = text.replace("{" + k + "}", str(v[k]))
    g.rng.shuffle(keys)
    if len(keys) == 3 and g.chance(0.25):
        keys = keys[:2]
    if g.chance(0.7):
        keys = [k for k in kind.split() if k in keys]
    listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    q = g.phrase(P["EXTRACT"]).replace("{f}", g.rng.choice(["", "", "the "]) + listed).replace("{t}", text)
    return [("user", q[0].upper() + q[1:]), ("assistant", json.dumps({k: v[k] for k in keys}))]


# ---- tools ----

def _schema(name, description, params, required=None):
    props = {k: ({"type": t, "description": d} if d else {"type": t}) for k, t, d in params}
    return {"type": "function", "function": {"name": name, "description": description,
            "parameters": {"type": "object", "properties": props, "required": [k for k, _, _ in params] if required is None else required}}}


ROOMS = "kitchen bedroom bathroom garage garden hall office cellar".split()
COMPANIES = "Apple Google Amazon Siemens Toyota Nestle Volvo Sony Intel Nokia Philips Bayer Shell Ford Tesla Boeing Nike Adidas Samsung Renault Fiat Bosch".split()
CURRENCIES = "dollars euros pounds yen francs crowns".split()

CITY_KEYS = [("city", "The city"), ("city", "Name of the city"), ("city", ""), ("location", "The city"), ("location", "City name"), ("location", "City or place"), ("location", "The city, e.g. Berlin"), ("place", "The place"), ("town", "The town")]


def _tool_weather(g):
    key, d = g.rng.choice(CITY_KEYS)
    c = g.value(W.CITIES)
    extra = g.chance(0.2)
    params = [(key, "string", d)] + ([("unit", "string", "celsius or fahrenheit")] if extra else [])
    name = g.rng.choice(["get_weather", "get_weather", "get_weather", "get_current_weather", "weather", "current_weather", "fetch_weather"])
    t = _schema(name, g.rng.choice(["Get the weather", "Get the weather of a city", "Get the current weather", "Weather for a place", "Get current weather in a given location"]), params, [key])
    q, args = g.phrase(P["WEATHER_Q"]).replace("{c}", c), {key: c}
    if extra and g.chance(0.6):
        u = g.rng.choice(["celsius", "fahrenheit"])
        q, args = q + g.rng.choice([" In {}, please.", " Use {}.", " Answer in {}."]).format(u), {key: c, "unit": u}
    deg, sky = g.number(-10, 40), g.rng.choice("sunny cloudy rainy windy snowy foggy clear stormy".split())
    tk, sk = g.rng.choice(["temperature", "temp", "temp_c", "degrees"]), g.rng.choice(["condition", "conditions", "weather", "sky", "description"])
    r = g.rng.choice([json.dumps({tk: deg, sk: sky}), json.dumps({key: c, tk: deg, sk: sky}), json.dumps({sk: sky, tk: deg}), f"{sky}, {deg} degrees", f"{deg} degrees and {sky}"])
    return t, q, args, r, f"It is {deg} degrees and {sky} in {c}."


def _tool_time(g):
    key, d = g.rng.choice(CITY_KEYS)
    c = g.value(W.CITIES)
    t = _schema(g.rng.choice(["get_time", "get_time", "current_time", "get_current_time", "time_in_city"]), g.rng.choice(["Get the time", "Get the current time of a city", "Current local time", "What time it is somewhere"]), [(key, "string", d)])
    clock = f"{g.number(0, 23):02d}:{g.number(0, 59):02d}"
    r = g.rng.choice([json.dumps({"time": clock}), json.dumps({key: c, "time": clock}), clock, json.dumps({"local_time": clock})])
    return t, g.phrase(P["TIME_Q"]).replace("{c}", c), {key: c}, r, f"It is {clock} in {c}."


def _two_numbers(g, names, descriptions, forms, compute):
    keys = g.rng.choice([("a", "b"), ("a", "b"), ("x", "y"), ("first", "second"), ("left", "right")])
    kind = g.rng.choice(["integer", "number"])
    hi = g.rng.choice([20, 100, 1000, 9999])
    a, b = g.number(0, hi), g.number(0, hi)
    t = _schema(g.rng.choice(names), g.rng.choice(descriptions), [(keys[0], kind, ""), (keys[1], kind, "")])
    c = compute(a, b)
    r = g.rng.choice([json.dumps({"result": c}), str(c), json.dumps({"sum" if compute(2, 3) == 5 else "product": c}), json.dumps({"value": c})])
    return t, g.phrase(forms).replace("{a}", str(a)).replace("{b}", str(b)), {keys[0]: a, keys[1]: b}, r, f"The result is {c}."


def _tool_add(g):
    return _two_numbers(g, ["add", "add", "add_numbers", "sum", "calculate_sum"], ["Add two numbers", "Adds two numbers", "The sum of two numbers"], P["ADD_Q"], lambda a, b: a + b)


def _tool_multiply(g):
    return _two_numbers(g, ["multiply", "multiply", "multiply_numbers", "times", "product"], ["Multiply two numbers", "Multiplies two numbers", "The product of two numbers"], P["MUL_Q"], lambda a, b: a * b)


def _tool_search(g):
    x = g.rng.choice([lambda: g.value(W.TOPICS), lambda: " ".join(word_list(g, 1, 3)), lambda: g.value(W.FAMOUS), lambda: g.value(W.CITIES)])()
    key = g.rng.choice(["query", "query", "q", "text", "keywords"])
    t = _schema(g.rng.choice(["search", "web_search", "search_web", "lookup", "find"]), g.rng.choice(["Search the web", "Search for information", "Look something up", "Web search"]), [(key, "string", g.rng.choice(["", "What to search for", "Search text"]))])
    s = " ".join(word_list(g, 2, 5)).capitalize() + "."
    r = g.rng.choice([json.dumps({"result": s}), s, json.dumps({"results": [s]}), json.dumps({"text": s})])
    return t, g.phrase(P["SEARCH_Q"]).replace("{x}", x), {key: x}, r, "I found this: " + s


def _tool_mail(g):
    n, x = g.value(W.NAMES), " ".join(word_list(g, 1, 5))
    kn, kx = g.rng.choice(["to", "recipient", "name"]), g.rng.choice(["text", "message", "body"])
    t = _schema(g.rng.choice(["send_email", "send_message", "send_mail", "message"]), g.rng.choice(["Send a message", "Send an email to somebody", "Sends a mail"]), [(kn, "string", g.rng.choice(["", "Who gets it"])), (kx, "string", "")])
    return t, g.phrase(P["MAIL_Q"]).replace("{n}", n).replace("{x}", x), {kn: n, kx: x}, g.rng.choice([json.dumps({"status": "sent"}), "sent", "ok", json.dumps({"ok": True}), json.dumps({"success": True})]), "Done."


def _tool_timer(g):
    a, key = g.number(1, 90), g.rng.choice(["minutes", "minutes", "duration", "length"])
    t = _schema(g.rng.choice(["set_timer", "start_timer", "timer"]), g.rng.choice(["Set a timer", "Start a timer", "Set a timer in minutes"]), [(key, "integer", g.rng.choice(["", "Minutes"]))])
    return t, g.phrase(P["TIMER_Q"]).replace("{a}", str(a)), {key: a}, g.rng.choice([json.dumps({"status": "started"}), "ok", json.dumps({"ok": True}), "done"]), "Done."


def _tool_light(g):
    s, r, ks = g.rng.choice(["on", "off"]), g.value(ROOMS), g.rng.choice(["state", "value", "power"])
    t = _schema(g.rng.choice(["set_light", "switch_light", "light"]), g.rng.choice(["Switch a light", "Turn a light on or off"]), [("room", "string", ""), (ks, "string", "on or off")])
    return t, g.phrase(P["LIGHT_Q"]).replace("{s}", s).replace("{r}", r), {"room": r, ks: s}, g.rng.choice([json.dumps({"status": "ok"}), "ok", json.dumps({"ok": True}), "done"]), "Done."


def _tool_stock(g):
    x, key, p = g.value(COMPANIES), g.rng.choice(["company", "name", "symbol"]), g.number(5, 900)
    t = _schema(g.rng.choice(["get_stock_price", "stock_price", "stock"]), g.rng.choice(["Get a stock price", "Price of a share"]), [(key, "string", "")])
    return t, g.phrase(P["STOCK_Q"]).replace("{x}", x), {key: x}, g.rng.choice([json.dumps({"price": p}), json.dumps({key: x, "price": p}), str(p)]), f"The price of {x} is {p}."


def _tool_translate(g):
    x, l = word(g), g.value(W.LANGUAGES)
    kl = g.rng.choice(["language", "target", "to"])
    t = _schema(g.rng.choice(["translate", "translate_text"]), g.rng.choice(["Translate a text", "Translate to another language"]), [("text", "string", ""), (kl, "string", "")])
    res = word(g)
    return t, g.phrase(P["TRANSLATE_Q"]).replace("{x}", x).replace("{l}", l), {"text": x, kl: l}, g.rng.choice([json.dumps({"translation": res}), res, json.dumps({"result": res})]), f"{x} is {res} in {l}."


def _tool_read(g):
    x = word(g) + g.rng.choice([".txt", ".md", ".c", ".json", ".py", ".csv"])
    key = g.rng.choice(["path", "file", "filename"])
    t = _schema(g.rng.choice(["read_file", "open_file", "cat"]), g.rng.choice(["Read a file", "Show a file", "Read a text file"]), [(key, "string", g.rng.choice(["", "Path of the file"]))])
    s = " ".join(word_list(g, 2, 5))
    return t, g.phrase(P["READ_Q"]).replace("{x}", x), {key: x}, g.rng.choice([s, json.dumps({"content": s}), json.dumps({"text": s})]), "The file says: " + s


def _tool_convert(g):
    a, x, y = g.number(1, 999), *g.rng.sample(CURRENCIES, 2)
    t = _schema(g.rng.choice(["convert", "convert_currency", "exchange"]), g.rng.choice(["Convert money", "Convert an amount of money"]), [("amount", "number", ""), ("from", "string", ""), ("to", "string", "")])
    c = g.number(1, 2000)
    return t, g.phrase(P["CONVERT_Q"]).replace("{a}", str(a)).replace("{x}", x).replace("{y}", y), {"amount": a, "from": x, "to": y}, g.rng.choice([json.dumps({"result": c}), str(c), json.dumps({"amount": c})]), f"{a} {x} are {c} {y}."


TOOLS = [_tool_weather, _tool_weather, _tool_weather, _tool_time, _tool_time, _tool_add, _tool_add, _tool_multiply, _tool_search, _tool_search, _tool_mail, _tool_timer, _tool_light, _tool_stock,
         _tool_translate, _tool_read, _tool_convert]


def _call(name, args):
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": args}) + "\n</tool_call>"


def _with_other_tools(g, mine, kind):
    """The tool that is needed among up to two that are not, sometimes with the extras that clients add."""
    tools, kinds = [mine], {kind}
    for _ in range(g.rng.choice([0, 0, 0, 1, 1, 2])):
        other = g.rng.choice(TOOLS)
        if other not in kinds:
            kinds.add(other)
            tools.append(other(g)[0])
    g.rng.shuffle(tools)
    if g.chance(0.15):
        for t in tools:
            t["function"]["parameters"]["additionalProperties"] = False
    if g.chance(0.1):
        for t in tools:
            t["function"]["strict"] = True
    return tools


def tools(g):
    """A question, the call, and often the result and the answer."""
    kind = g.rng.choice(TOOLS)
    t, q, args, result, answer = kind(g)
    turns = [("tools", _with_other_tools(g, t, kind)), ("user", g.style(q)), ("assistant", _call(t["function"]["name"], args))]
    if g.chance(0.5) or g.test:
        turns += [("tool", result), ("assistant", answer)]
    return turns


def tools_unused(g):
    """Tools are there, but the question does not need them."""
    kind = g.rng.choice(TOOLS)
    t = kind(g)[0]
    turns = g.rng.choice([smalltalk, identity, inference, sluice, smalltalk])(g)
    return [("tools", _with_other_tools(g, t, kind))] + turns


# ---- several turns, system prompts ----

MEMORY = {
    "name": (lambda g: g.value(W.NAMES), "Nice to meet you, {v}!", "Your name is {v}.", "You have not told me your name."),
    "city": (lambda g: g.value(W.CITIES), "I will remember that you live in {v}.", "You live in {v}.", "You have not told me where you live."),
    "color": (lambda g: g.value(W.COLORS), "I will remember that your favorite color is {v}.", "Your favorite color is {v}.", "You have not told me your favorite color."),
    "number": (lambda g: g.number(1, 999), "I will remember the number {v}.", "Your number is {v}.", "You have not told me a number."),
    "pet": (lambda g: g.value(W.PETS), "{v} is a nice name for a dog.", "Your dog is called {v}.", "You have not told me your dog's name."),
    "age": (lambda g: g.number(5, 99), "I will remember that you are {v}.", "You are {v} years old.", "You have not told me your age."),
}


def memory(g):
    kinds = g.rng.sample(list(MEMORY), g.rng.choice([1, 1, 2, 2, 3]))
    known, turns = {}, []
    for k in kinds:
        pick, reply, _, _ = MEMORY[k]
        v = known[k] = str(pick(g))
        turns += [("user", g.phrase(P["TELL " + k]).replace("{v}", v)), ("assistant", reply.replace("{v}", v))]
        if g.chance(0.35):
            turns += g.rng.choice(SHORT_TASKS)(g)
    ask = g.rng.sample(kinds, g.number(1, len(kinds)))
    if g.chance(0.3):
        ask.append(g.rng.choice([k for k in MEMORY]))
    for k in ask:
        _, _, answer, unknown = MEMORY[k]
        turns += [("user", g.question(g.phrase(P["ASK " + k]))), ("assistant", answer.replace("{v}", known[k]) if k in known else unknown)]
    return turns




def _with(form, v):
    """The value in its phrasing; one that ends with a mark ends the sentence."""
    return (form[:-1] if v[-1] in ".!" and form.endswith("{v}.") else form).replace("{v}", v)


def system(g):
    kind = g.rng.choice([0, 0, 1, 1, 2, 3, 4, 5, 6, 6])
    plain = lambda: g.rng.choice([smalltalk, smalltalk, identity])(g)
    if kind == 0:
        v = g.value(W.NAMES)
        return [("system", g.phrase(P["NAMED"]).replace("{v}", v)), ("user", g.question(g.phrase(P["WHO"]))), ("assistant", f"My name is {v}.")]
    if kind == 1:
        v = g.rng.choice([lambda: word(g), lambda: word(g).capitalize() + ".", lambda: " ".join(word_list(g, 2, 3))])()
        return [("system", _with(g.phrase(P["ONLY"]), v)), plain()[0] if g.chance(0.8) else ("user", g.style(_ood(g))), ("assistant", v)]
    if kind in (2, 3):
        turns = smalltalk(g)
        forms, change = (P["SHOUT"], str.upper) if kind == 2 else (P["QUIET"], str.lower)
        return [("system", g.phrase(forms))] + [t if t[0] == "user" else ("assistant", change(t[1]), "spell") for t in turns]
    if kind in (4, 5):
        v = g.rng.choice([lambda: word(g), lambda: word(g).capitalize() + "!", lambda: " ".join(word_list(g, 2, 2)).capitalize() + "."])()
        forms, change = (P["ENDING"], lambda a: a + " " + v) if kind == 4 else (P["OPENING"], lambda a: v + " " + a)
        return [("system", _with(g.phrase(forms), v))] + [t if t[0] == "user" else ("assistant", change(t[1])) for t in plain()]
    v = word(g)
    return [("system", g.phrase(P["SECRET"]).replace("{v}", v)), ("user", g.question(g.phrase(P["SECRET_Q"]))), ("assistant", f"The secret word is {v}.")]


# ---- everything else ----



def _ood(g):
    r = g.rng
    q = g.phrase(P["OOD"]) if g.test or g.chance(0.85) else g.phrase(QUESTION_FORMS).replace("{x}", r.choice(["{t}", "{t}", "{w}", "a {w}", "the {w}", "{p}", "{g}", "{w} {z}", "{c}"]))
    big = lambda: str(g.number(1000, 99999) if g.chance(0.6) else g.number(100, 999))
    fill = {"p": lambda: g.value(W.FAMOUS), "c": lambda: g.value(W.COUNTRIES), "t": lambda: g.value(W.TOPICS), "u": lambda: g.value(W.TOPICS), "d": lambda: g.value(W.DISHES), "l": lambda: g.value(W.LANGUAGES),
            "w": lambda: g.value(W.WORDS), "z": lambda: g.value(W.WORDS), "y": lambda: str(g.number(1900, 2030)), "v": lambda: g.value(W.CITIES), "g": lambda: g.value(W.GOODS), "k": lambda: r.choice("cold warm big small red old new wet dark".split()),
            "n": big, "m": big, "q": lambda: g.value(W.NAMES)}
    for k, f in fill.items():
        if "{" + k + "}" in q:
            q = q.replace("{" + k + "}", f())
    return q[0].upper() + q[1:] if g.chance(0.9) else q


def other(g):
    q = g.question(_ood(g))
    if not g.test and g.chance(0.06):
        q = "".join(g.rng.choice("abcdefghijklmnopqrstuvwxyz  ?.0123456789") for _ in range(g.number(3, 24))).strip() or "?"
    return [("user", q), ("assistant", FALLBACK)]


SHORT_TASKS = [inference, sluice, smalltalk, identity, arithmetic, arithmetic, repeat, count_words, other, case, extract]

# The share of training conversations; the families that are hard to learn get more.
FAMILIES = {
    "inference": (inference, 10), "sluice": (sluice, 14), "identity": (identity, 4), "smalltalk": (smalltalk, 5),
    "case": (case, 9), "spell": (spell, 9), "reverse": (reverse, 8), "repeat": (repeat, 13), "count_words": (count_words, 10),
    "series": (series, 4), "arithmetic": (arithmetic, 11), "extract": (extract, 9),
    "tools": (tools, 7), "tools_unused": (tools_unused, 2), "memory": (memory, 5), "system": (system, 11), "other": (other, 7),
}



def conversation(g, family):
    """One conversation of a family; some carry a system prompt that changes nothing."""
    turns = FAMILIES[family][0](g)
    if turns[0][0] != "system" and g.chance(0.2):
        turns = [("system", g.phrase(P["SYSTEMS"]))] + turns
    return turns


CHAINED = [f for f in FAMILIES if f not in ("tools", "tools_unused", "memory", "system")]


def long_conversation(g, n_turns):
    """Many unrelated tasks in one chat, with a fact to remember at the start: teaches long contexts."""
    turns = [("system", g.phrase(P["SYSTEMS"]))] if g.chance(0.3) else []
    kind = g.rng.choice(list(MEMORY))
    pick, reply, answer, unknown = MEMORY[kind]
    v = str(pick(g)) if g.chance(0.8) else None
    if v:
        turns += [("user", g.phrase(P["TELL " + kind]).replace("{v}", v)), ("assistant", reply.replace("{v}", v))]
    names, weights = zip(*[(f, FAMILIES[f][1]) for f in CHAINED])
    for i in range(n_turns):
        turns += FAMILIES[g.rng.choices(names, weights)[0]][0](g)
        if g.chance(0.12):
            turns += [("user", g.phrase(P["ASK " + kind])), ("assistant", answer.replace("{v}", v) if v else unknown)]
    return turns


def pick_family(rng):
    names, weights = zip(*[(f, w) for f, (_, w) in FAMILIES.items()])
    return rng.choices(names, weights)[0]


if __name__ == "__main__":
    import sys
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for split in ("train", "dev", "test"):
        for f in FAMILIES:
            for t in conversation(Gen(rng, split), f):
                print(split, f, *t, sep=" | ")
