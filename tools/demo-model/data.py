"""Conversations for the demo model, made from a seed.

Each task family is one function: it gets a `Gen` (random numbers, and the split) and returns a conversation.  Two
things are kept out of training and used only for scoring: phrasings that begin with "~", and values (names, cities,
words) that `is_held` sets aside by their checksum.  `Gen` gives a training function only what it may see, so a
family cannot leak its test.  Split "phrasing" has unseen phrasings with known values, "test" has both unseen.

A conversation is a list of turns; a turn is (role, text).  "spell" in a turn's third field means that the answer is
taught letter by letter: that is how a model whose tokens are pieces of words learns upper case and reversal.
"""
import json
import random
import zlib

import words as W
from facts import CONCEPTS, FACTS, FALLBACK, IDENTITY, QUESTION_FORMS, SMALLTALK


def is_held(value, share=8):
    return zlib.crc32(str(value).encode()) % share == 0


class Gen:
    def __init__(self, rng, split):
        self.rng, self.test, self.unseen = rng, split != "train", split == "test"

    def phrase(self, forms):
        """One phrasing of this split.  Lists without any "~" belong to both."""
        held = [f[1:] for f in forms if f[0] == "~"]
        seen = [f for f in forms if f[0] != "~"]
        return self.rng.choice(held if self.test and held else seen)

    def value(self, pool):
        """One value of this split; a pool too small to have held-out values belongs to both.

        Training also sees invented names and places, so that names are copied and not guessed."""
        if not self.test and (pool is W.NAMES or pool is W.CITIES) and self.chance(0.35):
            return made_word(self, 8).capitalize()
        while True:
            v = self.rng.choice(pool)
            if is_held(v) == self.unseen or (self.unseen and not any(is_held(p) for p in pool)):
                return v

    def number(self, lo, hi):
        return self.rng.randint(lo, hi)

    def chance(self, p):
        return self.rng.random() < p

    def style(self, text):
        """Small changes that people make and that do not change the meaning."""
        r = self.rng
        if self.chance(0.12) and text[-1] in ".?!":
            text = text[:-1]
        if self.chance(0.15) and len(text) > 1 and text[1].islower():
            text = text[0].lower() + text[1:]
        if self.chance(0.06) and text[:1].isupper() and " " in text:
            text = r.choice(["Please: ", "Hey, ", "Hi! ", "Hello, ", "OK. ", "Well, ", "Next: ", "Now: ", "Question: "]) + text
        if self.chance(0.04):
            text = text + r.choice([" Thanks!", " Thank you.", " Please."]) if text[-1] in ".?!" else text
        return text


SYLLABLES = [c + v for c in "b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr sh ch th".split() for v in "a e i o u ai ea oo".split()]
ENDS = ["", "", "n", "r", "s", "t", "l", "d", "m", "ck", "ng", "x", "p", "y"]
PIECES = []     # lower-case tokens of the vocabulary, filled by the trainer so that each one's spelling is taught


def made_word(g, longest):
    """A word nobody uses: from syllables, or from pieces of the vocabulary."""
    while True:
        if PIECES and g.chance(0.6):
            w = "".join(g.rng.choice(PIECES) for _ in range(g.rng.choice([1, 1, 2])))
        else:
            w = "".join(g.rng.choice(SYLLABLES) for _ in range(g.rng.choice([1, 2, 2]))) + g.rng.choice(ENDS)
        if 2 <= len(w) <= longest and is_held(w) == g.unseen:
            return w


def word(g, longest=9):
    """A word of this split: in tests always a common one."""
    if not g.test and g.chance(0.35):
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
    return g.style(g.phrase(questions))


def _concept(g, concept):
    answer, names, questions = concept
    if g.chance(0.6):
        q = g.phrase(QUESTION_FORMS).replace("{x}", g.rng.choice(names))
        q = g.style(q[0].upper() + q[1:])
    else:
        q = _ask(g, questions)
    return [("user", q), ("assistant", answer)]


def inference(g):
    return _concept(g, g.rng.choice(CONCEPTS))


def sluice(g):
    answer, questions = g.rng.choice(FACTS)
    if g.test and not any(q[0] == "~" for q in questions):
        return sluice(g)
    return [("user", _ask(g, questions)), ("assistant", answer)]


def identity(g):
    answer, questions = g.rng.choice(IDENTITY)
    return [("user", _ask(g, questions)), ("assistant", answer)]


def smalltalk(g):
    answer, questions = g.rng.choice(SMALLTALK)
    return [("user", _ask(g, questions)), ("assistant", answer)]


# ---- changing text ----

UPPER = ["Write {x} in upper case.", "Upper case: {x}", "Make {x} upper case.", "Put {x} in capital letters.", "Convert {x} to upper case.", "Turn {x} into upper case.",
         "{x} in upper case", "Capitalize every letter: {x}", "Uppercase {x}.", "Uppercase this: {x}", "Write this in capitals: {x}", "Say {x} in capital letters.", "What is {x} in upper case?",
         "Give me {x} in upper case.", "Can you write {x} in capital letters?", "Change to upper case: {x}", "to upper case: {x}", "Shout this: {x}", "Make this upper case: {x}", "I need {x} in capitals.",
         "Please uppercase the text {x}.", "Use only capital letters: {x}", "~Please write {x} in capitals.", "~Convert this text to upper case: {x}", "~Show me {x} in upper case.", "~Change {x} to capital letters."]
LOWER = ["Write {x} in lower case.", "Lower case: {x}", "Make {x} lower case.", "Put {x} in small letters.", "Convert {x} to lower case.", "Turn {x} into lower case.", "{x} in lower case",
         "Lowercase {x}.", "Lowercase this: {x}", "Write this in small letters: {x}", "What is {x} in lower case?", "Give me {x} in lower case.", "Change to lower case: {x}", "to lower case: {x}",
         "Make this lower case: {x}", "Can you write {x} in small letters?", "No capitals please: {x}", "Use only small letters: {x}", "~Please write {x} in small letters.", "~Convert this text to lower case: {x}",
         "~Show me {x} in lower case.", "~Change {x} to small letters."]


def case(g):
    text = " ".join(word_list(g, 1, 2, 6))
    if g.chance(0.6):
        if g.chance(0.2):
            text = text.capitalize()
        return [("user", g.phrase(UPPER).replace("{x}", quoted(g, text))), ("assistant", text.upper(), "spell")]
    shown = text.upper() if g.chance(0.8) else text.title()
    return [("user", g.phrase(LOWER).replace("{x}", quoted(g, shown))), ("assistant", text.lower(), "spell")]


SPELL = ["Spell {x}.", "Spell the word {x}.", "How do you spell {x}?", "Spell out {x}.", "Write {x} letter by letter.", "Which letters are in {x}?", "Please spell {x}.", "What are the letters of {x}?",
         "Can you spell {x}?", "Spell {x} for me.", "The letters of {x}, please.", "~Could you spell {x}?", "~Spell {x} letter by letter.", "~How is {x} spelled?"]
REVERSE = ["Reverse the word {x}.", "Reverse {x}.", "Write {x} backwards.", "Spell {x} backwards.", "What is {x} backwards?", "Turn {x} around.", "{x} backwards", "reverse: {x}", "Reverse the letters of {x}.",
           "Say {x} backwards.", "Write the word {x} in reverse.", "What is {x} in reverse?", "Read {x} from the end.", "Can you reverse {x}?", "Flip the letters of {x}.", "Please reverse {x}.",
           "~Please write {x} backwards.", "~Give me {x} in reverse.", "~Could you reverse the word {x}?", "~What is the reverse of {x}?"]


def spell(g):
    w = word(g, 7)
    return [("user", g.phrase(SPELL).replace("{x}", quoted(g, w))), ("assistant", "-".join(w), "spell")]


def reverse(g):
    w = word(g, 4)
    return [("user", g.phrase(REVERSE).replace("{x}", quoted(g, w))), ("assistant", w[::-1], "spell")]


REPEAT = ["Repeat after me: {x}", "Repeat: {x}", "Say {x}", "Say: {x}", "Echo {x}", "echo: {x}", "Repeat this: {x}", "Write {x}", "Copy this text: {x}", "Say exactly this: {x}", "Repeat the following: {x}", "Print {x}",
          "Answer with {x}", "Say the words {x}", "Just say {x}", "Reply with {x}", "Output {x}", "Type {x}", "~Please repeat: {x}", "~Repeat these words: {x}", "~Copy this: {x}", "~Please say: {x}"]
REPEAT_N = ["Say {x} {n} times.", "Repeat {x} {n} times.", "Write {x} {n} times.", "Print {x} {n} times.", "{n} times {x}, please.", "Give me {x} {n} times.", "I want {x} {n} times.", "Echo {x} {n} times.",
            "~Please say {x} {n} times.", "~Output {x} {n} times.", "~Can you repeat {x} {n} times?"]
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
        return [("user", g.phrase(REPEAT).replace("{x}", text)), ("assistant", text)]
    w, n = word(g, 9), g.number(2, 4)
    q = g.phrase(REPEAT_N).replace("{x}", quoted(g, w)).replace("{n}", g.rng.choice([str(n), NUMBER_WORDS[n]]))
    return [("user", q[0].upper() + q[1:]), ("assistant", " ".join([w] * n))]


COUNT_WORDS = ["How many words are in: {x}", "Count the words: {x}", "How many words: {x}", "Count the words in {x}", "Number of words: {x}", "How many words does this have: {x}", "Tell me how many words these are: {x}",
               "Word count: {x}", "How many words do you see: {x}", "How many words are there: {x}", "How many words did I write: {x}",
               "~Please count the words: {x}", "~How many words are there in this text: {x}", "~Count these words: {x}", "~What is the number of words: {x}"]


def count_words(g):
    n = g.number(1, 5)
    text = any_words(g, n)
    if g.chance(0.3):
        text = text.capitalize() + "."
    q = g.phrase(COUNT_WORDS).replace("{x}", g.rng.choice(["{}", "{}", '"{}"']).format(text))
    return [("user", q), ("assistant", f"{n} word{'s' * (n != 1)}.")]


COUNT_UP = ["Count from {a} to {b}.", "Count from {a} up to {b}.", "List the numbers from {a} to {b}.", "Give me the numbers from {a} to {b}.", "Write the numbers {a} to {b}.", "Numbers from {a} to {b}, please.", "count {a} to {b}",
            "Say all numbers from {a} to {b}.", "~Please count from {a} to {b}.", "~Show the numbers from {a} to {b}.", "~Can you count from {a} to {b}?"]
SERIES = [(", ".join(W.DAYS) + ".", ["Name the days of the week.", "List the days of the week.", "Which days does a week have?", "What are the days of the week?", "Say the weekdays.", "days of the week", "Tell me the days of the week.",
                                     "~Give me the days of the week.", "~Can you list the days of the week?"]),
          (", ".join(W.MONTHS) + ".", ["Name the months.", "List the months of the year.", "What are the months of the year?", "Which months are there?", "Say all months.", "months of the year", "Tell me the twelve months.",
                                       "~Give me the months of the year.", "~Can you list the months?"]),
          ("a b c d e f g h i j k l m n o p q r s t u v w x y z", ["Say the alphabet.", "Write the alphabet.", "List all letters.", "What is the alphabet?", "alphabet", "Give me the letters of the alphabet.", "Tell me the alphabet.",
                                                                    "~Please write the alphabet.", "~Can you say the alphabet?"])]


def series(g):
    if g.chance(0.3):
        answer, forms = g.rng.choice(SERIES)
        return [("user", g.style(g.phrase(forms))), ("assistant", answer)]
    a = g.number(0, 90) if g.chance(0.4) else g.number(0, 3)
    b = a + g.number(2, 12)
    q = g.phrase(COUNT_UP).replace("{a}", str(a)).replace("{b}", str(b))
    return [("user", g.style(q)), ("assistant", ", ".join(map(str, range(a, b + 1))))]


# ---- arithmetic ----

ADD = ["What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=", "Add {a} and {b}.", "What is {a} plus {b}?", "{a} plus {b}", "How much is {a} + {b}?", "Calculate {a} + {b}.", "Compute {a} + {b}.", "What's {a}+{b}?",
       "The sum of {a} and {b}?", "What is the sum of {a} and {b}?", "Sum {a} and {b}", "Please add {a} and {b}.", "How much is {a} plus {b}?", "Tell me {a} + {b}.", "~Can you add {a} and {b}?", "~Give me the sum of {a} and {b}.",
       "~Please calculate {a} + {b}.", "~What do you get for {a} plus {b}?"]
SUB = ["What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "{a}-{b}=", "Subtract {b} from {a}.", "What is {a} minus {b}?", "{a} minus {b}", "How much is {a} - {b}?", "Calculate {a} - {b}.", "Compute {a} - {b}.", "What's {a}-{b}?",
       "What is the difference of {a} and {b}?", "Take {b} away from {a}.", "How much is {a} minus {b}?", "Tell me {a} - {b}.", "~Can you subtract {b} from {a}?", "~Please calculate {a} - {b}.", "~What do you get for {a} minus {b}?"]
MUL = ["What is {a} * {b}?", "{a} * {b}", "{a}*{b}", "{a} * {b} = ?", "{a} x {b}", "Multiply {a} by {b}.", "What is {a} times {b}?", "{a} times {b}", "How much is {a} * {b}?", "Calculate {a} * {b}.", "Compute {a} * {b}.", "Multiply {a} and {b}.",
       "What is the product of {a} and {b}?", "How much is {a} times {b}?", "Tell me {a} * {b}.", "What is {a} x {b}?", "~Can you multiply {a} by {b}?", "~Please calculate {a} * {b}.", "~What do you get for {a} times {b}?"]


def arithmetic(g):
    """Sums and differences up to 12, and the table up to 10: learned by heart, so only the phrasings are held out."""
    kind, hi = g.number(0, 2), g.rng.choice([9, 10, 12])
    a, b = g.number(0, hi), g.number(0, hi)
    if kind == 0:
        forms, op, c = ADD, "+", a + b
    elif kind == 1:
        a, b = max(a, b), min(a, b)
        forms, op, c = SUB, "-", a - b
    else:
        a, b = min(a, 10), min(b, 10)
        forms, op, c = MUL, "*", a * b
    q = g.phrase(forms).replace("{a}", str(a)).replace("{b}", str(b))
    return [("user", g.style(q)), ("assistant", f"{a} {op} {b} = {c}")]


# ---- extraction ----

PERSON = {
    "name age city": ["{name} is {age} years old and lives in {city}.", "{name}, {age}, lives in {city}.", "My name is {name}, I am {age} and I live in {city}.", "{name} from {city} is {age} years old.", "In {city} lives {name}, aged {age}.",
                      "I am {name}. I live in {city} and I am {age} years old.", "{name} ({age}) comes from {city}.", "Name: {name}, age: {age}, city: {city}", "{age} year old {name} lives in {city}.",
                      "~{name} lives in {city} and is {age} years old.", "~I am {name}, {age} years old, from {city}.", "~{name} is {age} and comes from {city}."],
    "name age": ["{name} is {age} years old.", "{name}, {age}", "My name is {name} and I am {age}.", "I am {name} and I am {age} years old.", "{name} turned {age} today.", "{name} is {age}.", "{name} (age {age})", "~My name is {name}, I am {age} years old.", "~{name} has turned {age}."],
    "name city": ["{name} lives in {city}.", "{name} is from {city}.", "My name is {name} and I live in {city}.", "{name} comes from {city}.", "I am {name} from {city}.", "{name} moved to {city}.", "~{name} has a house in {city}.", "~I am {name} and I come from {city}."],
    "name job": ["{name} works as a {job}.", "{name} is a {job}.", "My name is {name} and I am a {job}.", "{name}, {job}", "I am {name}, the {job}.", "The {job} is called {name}.", "~{name} has a job as a {job}.", "~I am {name} and I work as a {job}."],
    "name job city": ["{name} works as a {job} in {city}.", "{name} is a {job} from {city}.", "My name is {name}, I am a {job} and I live in {city}.", "In {city}, {name} works as a {job}.", "The {job} {name} lives in {city}.",
                      "~{name} lives in {city} and works as a {job}.", "~I am {name}, a {job} from {city}."],
    "product price": ["The {product} costs {price} dollars.", "A {product} for {price} dollars.", "You can buy the {product} for {price} dollars.", "Price of the {product}: {price} dollars", "I paid {price} dollars for the {product}.", "{product}: ${price}",
                      "~The price of the {product} is {price} dollars.", "~I bought a {product} for {price} dollars."],
    "product quantity": ["Please send me {quantity} {product}s.", "I want {quantity} {product}s.", "Order {quantity} {product}s.", "We need {quantity} {product}s.", "I would like to buy {quantity} {product}s.", "{quantity} {product}s, please.",
                         "~I would like {quantity} {product}s.", "~Please order {quantity} {product}s for us."],
    "event day": ["The {event} is on {day}.", "We have a {event} on {day}.", "Come to the {event} on {day}.", "{day} is the {event}.", "The {event} takes place on {day}.", "~On {day} there is a {event}.", "~The {event} will be on {day}."],
}
EXTRACT = ["Extract {f} as JSON: {t}", "Extract {f} as JSON. {t}", "Give me {f} as JSON: {t}", "JSON with {f}: {t}", "Turn this into JSON with {f}: {t}", "{t} Extract {f} as JSON.", "{t} Give me {f} as JSON.", "Find {f} and answer in JSON: {t}",
           "Write {f} as a JSON object: {t}", "Get {f} from this text as JSON: {t}", "Read {f} from the text and return JSON.\n{t}", "Text: {t}\nExtract {f} as JSON.", "Return a JSON object with {f}. {t}", "Make JSON with the keys {f}: {t}",
           "Convert to JSON ({f}): {t}", "From this sentence, extract {f} as JSON: {t}",
           "~Please extract {f} as JSON: {t}", "~Return {f} as JSON: {t}", "~Text: {t}\nGive me {f} as JSON.", "~Answer with a JSON object with {f}: {t}"]
EVENTS = "party meeting concert exam wedding match dinner lesson market festival picnic workshop".split()


def extract(g):
    kind = g.rng.choice(list(PERSON))
    keys = kind.split()
    v = {"name": g.value(W.NAMES), "age": g.number(1, 99), "city": g.value(W.CITIES), "job": g.value(W.JOBS), "product": g.value(W.GOODS), "price": g.number(1, 999),
         "quantity": g.number(2, 60), "event": g.value(EVENTS), "day": g.rng.choice(W.DAYS)}
    text = g.phrase(PERSON[kind])
    for k in keys:
        text = text.replace("{" + k + "}", str(v[k]))
    g.rng.shuffle(keys)
    if len(keys) == 3 and g.chance(0.25):
        keys = keys[:2]
    if g.chance(0.7):
        keys = [k for k in kind.split() if k in keys]
    listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    q = g.phrase(EXTRACT).replace("{f}", g.rng.choice(["", "", "the "]) + listed).replace("{t}", text)
    return [("user", q[0].upper() + q[1:]), ("assistant", json.dumps({k: v[k] for k in keys}))]


# ---- tools ----

def _schema(name, description, params, required=None):
    props = {k: ({"type": t, "description": d} if d else {"type": t}) for k, t, d in params}
    return {"type": "function", "function": {"name": name, "description": description,
            "parameters": {"type": "object", "properties": props, "required": [k for k, _, _ in params] if required is None else required}}}


WEATHER_Q = ["What is the weather in {c}?", "What's the weather in {c}?", "How is the weather in {c}?", "Weather in {c}?", "weather {c}", "Tell me the weather in {c}.", "Is it raining in {c}?", "Is it sunny in {c}?", "How warm is it in {c}?", "Do I need an umbrella in {c}?",
             "What is the weather like in {c}?", "I am going to {c}. What is the weather there?", "How cold is it in {c}?", "Check the weather in {c}.", "What is the temperature in {c}?", "What's the weather like in {c} today?", "How is the weather in {c} right now?",
             "~Can you tell me the weather in {c}?", "~How is the weather today in {c}?", "~Please check the weather for {c}.", "~What is the weather like today in {c}?"]
TIME_Q = ["What time is it in {c}?", "What is the time in {c}?", "Tell me the time in {c}.", "Time in {c}?", "How late is it in {c}?", "What's the time in {c}?", "Current time in {c}?", "What is the current time in {c}?", "I need the time in {c}.", "Do you know the time in {c}?",
          "~Can you tell me the time in {c}?", "~What time is it now in {c}?", "~Please tell me the time in {c}."]
ADD_Q = ["Add {a} and {b}.", "What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "Sum {a} and {b}.", "Use the tool to add {a} and {b}.", "Calculate {a} + {b}.", "How much is {a} plus {b}?", "What is the sum of {a} and {b}?", "~Can you add {a} and {b}?", "~Please add {a} and {b}."]
MUL_Q = ["Multiply {a} by {b}.", "What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "Calculate {a} * {b}.", "How much is {a} times {b}?", "Use the tool to multiply {a} and {b}.", "~Can you multiply {a} and {b}?", "~Please multiply {a} by {b}."]
SEARCH_Q = ["Search for {x}.", "Search the web for {x}.", "Find information about {x}.", "Look up {x}.", "Please search for {x}.", "Find something about {x}.", "search {x}", "Can you look up {x}?", "I want to know more about {x}.", "~Can you search for {x}?", "~Look for {x}.", "~Please look up {x}."]
MAIL_Q = ["Send an email to {n} saying {x}.", "Write to {n}: {x}", "Email {n}: {x}", "Send {n} the message {x}.", "Send a message to {n}: {x}", "Message {n}: {x}", "Tell {n} by mail: {x}", "Send {n} a message: {x}", "~Please send a message to {n}: {x}", "~Send {n} an email: {x}"]
TIMER_Q = ["Set a timer for {a} minutes.", "Timer for {a} minutes.", "Start a timer of {a} minutes.", "Wake me in {a} minutes.", "Remind me in {a} minutes.", "Set the timer to {a} minutes.", "{a} minutes timer please.", "~Please set a timer for {a} minutes.", "~Start a {a} minute timer."]
LIGHT_Q = ["Turn {s} the light in the {r}.", "Turn the {r} light {s}.", "Switch {s} the light in the {r}.", "Light {s} in the {r}.", "Switch the {r} light {s}.", "Please turn {s} the light in the {r}.", "~Can you switch {s} the {r} light?", "~Please switch the light {s} in the {r}."]
STOCK_Q = ["What is the stock price of {x}?", "Stock price of {x}?", "How is the {x} stock?", "Price of {x} shares?", "Show the stock price of {x}.", "How much is one share of {x}?", "~Can you get the stock price of {x}?", "~What does a share of {x} cost?"]
TRANSLATE_Q = ["Translate {x} to {l}.", "Translate {x} into {l}.", "How do you say {x} in {l}?", "What is {x} in {l}?", "Say {x} in {l}.", "~Please translate {x} to {l}.", "~Can you translate {x} into {l}?"]
READ_Q = ["Read the file {x}.", "Open {x}.", "Show me the file {x}.", "What is in {x}?", "Read {x}", "Show the contents of {x}.", "cat {x}", "~Please read the file {x}.", "~Can you open the file {x}?"]
CONVERT_Q = ["Convert {a} {x} to {y}.", "How much is {a} {x} in {y}?", "{a} {x} in {y}", "Change {a} {x} to {y}.", "What are {a} {x} in {y}?", "~Please convert {a} {x} to {y}.", "~How many {y} are {a} {x}?"]
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
    q, args = g.phrase(WEATHER_Q).replace("{c}", c), {key: c}
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
    return t, g.phrase(TIME_Q).replace("{c}", c), {key: c}, r, f"It is {clock} in {c}."


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
    return _two_numbers(g, ["add", "add", "add_numbers", "sum", "calculate_sum"], ["Add two numbers", "Adds two numbers", "The sum of two numbers"], ADD_Q, lambda a, b: a + b)


def _tool_multiply(g):
    return _two_numbers(g, ["multiply", "multiply", "multiply_numbers", "times", "product"], ["Multiply two numbers", "Multiplies two numbers", "The product of two numbers"], MUL_Q, lambda a, b: a * b)


def _tool_search(g):
    x = g.rng.choice([lambda: g.value(W.TOPICS), lambda: " ".join(word_list(g, 1, 3)), lambda: g.value(W.FAMOUS), lambda: g.value(W.CITIES)])()
    key = g.rng.choice(["query", "query", "q", "text", "keywords"])
    t = _schema(g.rng.choice(["search", "web_search", "search_web", "lookup", "find"]), g.rng.choice(["Search the web", "Search for information", "Look something up", "Web search"]), [(key, "string", g.rng.choice(["", "What to search for", "Search text"]))])
    s = " ".join(word_list(g, 2, 5)).capitalize() + "."
    r = g.rng.choice([json.dumps({"result": s}), s, json.dumps({"results": [s]}), json.dumps({"text": s})])
    return t, g.phrase(SEARCH_Q).replace("{x}", x), {key: x}, r, "I found this: " + s


def _tool_mail(g):
    n, x = g.value(W.NAMES), " ".join(word_list(g, 1, 5))
    kn, kx = g.rng.choice(["to", "recipient", "name"]), g.rng.choice(["text", "message", "body"])
    t = _schema(g.rng.choice(["send_email", "send_message", "send_mail", "message"]), g.rng.choice(["Send a message", "Send an email to somebody", "Sends a mail"]), [(kn, "string", g.rng.choice(["", "Who gets it"])), (kx, "string", "")])
    return t, g.phrase(MAIL_Q).replace("{n}", n).replace("{x}", x), {kn: n, kx: x}, g.rng.choice([json.dumps({"status": "sent"}), "sent", "ok", json.dumps({"ok": True}), json.dumps({"success": True})]), "Done."


def _tool_timer(g):
    a, key = g.number(1, 90), g.rng.choice(["minutes", "minutes", "duration", "length"])
    t = _schema(g.rng.choice(["set_timer", "start_timer", "timer"]), g.rng.choice(["Set a timer", "Start a timer", "Set a timer in minutes"]), [(key, "integer", g.rng.choice(["", "Minutes"]))])
    return t, g.phrase(TIMER_Q).replace("{a}", str(a)), {key: a}, g.rng.choice([json.dumps({"status": "started"}), "ok", json.dumps({"ok": True}), "done"]), "Done."


def _tool_light(g):
    s, r, ks = g.rng.choice(["on", "off"]), g.value(ROOMS), g.rng.choice(["state", "value", "power"])
    t = _schema(g.rng.choice(["set_light", "switch_light", "light"]), g.rng.choice(["Switch a light", "Turn a light on or off"]), [("room", "string", ""), (ks, "string", "on or off")])
    return t, g.phrase(LIGHT_Q).replace("{s}", s).replace("{r}", r), {"room": r, ks: s}, g.rng.choice([json.dumps({"status": "ok"}), "ok", json.dumps({"ok": True}), "done"]), "Done."


def _tool_stock(g):
    x, key, p = g.value(COMPANIES), g.rng.choice(["company", "name", "symbol"]), g.number(5, 900)
    t = _schema(g.rng.choice(["get_stock_price", "stock_price", "stock"]), g.rng.choice(["Get a stock price", "Price of a share"]), [(key, "string", "")])
    return t, g.phrase(STOCK_Q).replace("{x}", x), {key: x}, g.rng.choice([json.dumps({"price": p}), json.dumps({key: x, "price": p}), str(p)]), f"The price of {x} is {p}."


def _tool_translate(g):
    x, l = word(g), g.value(W.LANGUAGES)
    kl = g.rng.choice(["language", "target", "to"])
    t = _schema(g.rng.choice(["translate", "translate_text"]), g.rng.choice(["Translate a text", "Translate to another language"]), [("text", "string", ""), (kl, "string", "")])
    res = word(g)
    return t, g.phrase(TRANSLATE_Q).replace("{x}", x).replace("{l}", l), {"text": x, kl: l}, g.rng.choice([json.dumps({"translation": res}), res, json.dumps({"result": res})]), f"{x} is {res} in {l}."


def _tool_read(g):
    x = word(g) + g.rng.choice([".txt", ".md", ".c", ".json", ".py", ".csv"])
    key = g.rng.choice(["path", "file", "filename"])
    t = _schema(g.rng.choice(["read_file", "open_file", "cat"]), g.rng.choice(["Read a file", "Show a file", "Read a text file"]), [(key, "string", g.rng.choice(["", "Path of the file"]))])
    s = " ".join(word_list(g, 2, 5))
    return t, g.phrase(READ_Q).replace("{x}", x), {key: x}, g.rng.choice([s, json.dumps({"content": s}), json.dumps({"text": s})]), "The file says: " + s


def _tool_convert(g):
    a, x, y = g.number(1, 999), *g.rng.sample(CURRENCIES, 2)
    t = _schema(g.rng.choice(["convert", "convert_currency", "exchange"]), g.rng.choice(["Convert money", "Convert an amount of money"]), [("amount", "number", ""), ("from", "string", ""), ("to", "string", "")])
    c = g.number(1, 2000)
    return t, g.phrase(CONVERT_Q).replace("{a}", str(a)).replace("{x}", x).replace("{y}", y), {"amount": a, "from": x, "to": y}, g.rng.choice([json.dumps({"result": c}), str(c), json.dumps({"amount": c})]), f"{a} {x} are {c} {y}."


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
    "name": (lambda g: g.value(W.NAMES), ["My name is {v}.", "I am {v}.", "Call me {v}.", "Hello, my name is {v}.", "Hi, I am {v}.", "Hi, I'm {v}.", "I'm {v}.", "You can call me {v}.", "My name's {v}.", "~Hello, I am {v}.", "~Hi, my name is {v}.", "~Please call me {v}."],
             "Nice to meet you, {v}!", ["What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "Tell me my name.", "Can you tell me my name?", "Say my name.", "~Do you know my name?", "~What was my name?", "~Do you still know my name?"], "Your name is {v}.",
             "You have not told me your name."),
    "city": (lambda g: g.value(W.CITIES), ["I live in {v}.", "I am from {v}.", "My city is {v}.", "I come from {v}.", "My home is in {v}.", "~My home town is {v}.", "~I am living in {v}."], "I will remember that you live in {v}.",
             ["Where do I live?", "Which city do I live in?", "What is my city?", "Where am I from?", "Do you remember where I live?", "~Do you know where I live?", "~In which city do I live?"], "You live in {v}.", "You have not told me where you live."),
    "color": (lambda g: g.value(W.COLORS), ["My favorite color is {v}.", "I like {v} best.", "My favourite colour is {v}.", "I love the color {v}.", "~The color I like most is {v}.", "~My best color is {v}."], "I will remember that your favorite color is {v}.",
              ["What is my favorite color?", "What's my favourite colour?", "Which color do I like?", "Do you remember my favorite color?", "~Do you know my favorite color?", "~Which color is my favorite?"], "Your favorite color is {v}.", "You have not told me your favorite color."),
    "number": (lambda g: g.number(1, 999), ["My lucky number is {v}.", "Remember the number {v}.", "My number is {v}.", "Keep the number {v} in mind.", "~Please remember the number {v}.", "~My favorite number is {v}."], "I will remember the number {v}.",
               ["What is my number?", "What is my lucky number?", "Which number did I tell you?", "What number did I say?", "Do you remember the number?", "~Do you know my number?", "~What was the number?"], "Your number is {v}.", "You have not told me a number."),
    "pet": (lambda g: g.value(W.PETS), ["My dog is called {v}.", "I have a dog called {v}.", "My dog's name is {v}.", "I have a dog named {v}.", "~The name of my dog is {v}.", "~My dog is named {v}."], "{v} is a nice name for a dog.",
            ["What is my dog called?", "What is my dog's name?", "What is the name of my dog?", "Do you remember my dog's name?", "~Do you know the name of my dog?", "~How is my dog called?"], "Your dog is called {v}.", "You have not told me your dog's name."),
    "age": (lambda g: g.number(5, 99), ["I am {v} years old.", "My age is {v}.", "I am {v}.", "I turned {v} today.", "~I am now {v} years old.", "~I just turned {v}."], "I will remember that you are {v}.",
            ["How old am I?", "What is my age?", "Do you remember my age?", "Tell me how old I am.", "~Do you know how old I am?", "~Can you tell me my age?"], "You are {v} years old.", "You have not told me your age."),
}


def memory(g):
    kinds = g.rng.sample(list(MEMORY), g.rng.choice([1, 1, 2, 2, 3]))
    known, turns = {}, []
    for k in kinds:
        pick, tell, reply, _, _, _ = MEMORY[k]
        v = known[k] = str(pick(g))
        turns += [("user", g.phrase(tell).replace("{v}", v)), ("assistant", reply.replace("{v}", v))]
        if g.chance(0.35):
            turns += g.rng.choice(SHORT_TASKS)(g)
    ask = g.rng.sample(kinds, g.number(1, len(kinds)))
    if g.chance(0.12):
        ask.append(g.rng.choice([k for k in MEMORY]))
    for k in ask:
        _, _, _, questions, answer, unknown = MEMORY[k]
        turns += [("user", g.phrase(questions)), ("assistant", answer.replace("{v}", known[k]) if k in known else unknown)]
    return turns


NAMED = ["Your name is {v}.", "You are {v}.", "You are {v}, a helpful assistant.", "You are an assistant called {v}.", "You are called {v}.", "Your name is {v}. Be helpful.", "You are a bot named {v}.", "~You are a helpful assistant named {v}.", "~Your name is {v}, and you are helpful."]
WHO = ["What is your name?", "Who are you?", "What's your name?", "Tell me your name.", "Who am I talking to?", "Introduce yourself.", "Do you have a name?", "~Please tell me your name.", "~Say who you are.", "~What are you called?"]
ONLY = ["Always answer with {v}.", "Only say {v}.", "Answer every question with {v}.", "Whatever the user says, answer {v}.", "Reply only with {v}.", "Say {v} and nothing else.", "Your answer is always {v}.", "~Always say {v}.", "~Answer only with {v}.", "~Reply to everything with {v}."]
SHOUT = ["Answer in upper case.", "Always write in capital letters.", "Use only upper case.", "Write everything in upper case.", "Answer in capital letters.", "Respond in upper case only.", "You always shout in capital letters.", "Use capital letters.", "Please answer in UPPER CASE.",
         "~Always answer in upper case.", "~Write in capital letters only.", "~Respond in capital letters."]
QUIET = ["Answer in lower case.", "Always write in lower case.", "Use only lower case letters.", "Write everything in lower case.", "Never use capital letters.", "Respond in lower case only.", "~Always answer in lower case.", "~Write in small letters only.", "~Respond in lower case."]
ENDING = ["End every answer with {v}.", "Always end with {v}.", "Finish each answer with {v}.", "Put {v} at the end of every answer.", "Close every answer with {v}.", "~End each answer with {v}.", "~Always finish with {v}."]
OPENING = ["Begin every answer with {v}.", "Always start with {v}.", "Start each answer with {v}.", "Put {v} at the beginning of every answer.", "Open every answer with {v}.", "~Begin each answer with {v}.", "~Always begin with {v}."]
SECRET = ["The secret word is {v}.", "The password is {v}.", "The code word is {v}.", "Remember: the secret word is {v}.", "~Your secret word is {v}.", "~Know that the secret word is {v}."]
SECRET_Q = ["What is the secret word?", "What is the password?", "Tell me the secret word.", "What is the code word?", "Do you know the secret word?", "Say the secret word.", "~Can you tell me the secret word?", "~Please tell me the password."]


def system(g):
    kind = g.rng.choice([0, 0, 1, 1, 2, 3, 4, 5, 6, 6])
    plain = lambda: g.rng.choice([smalltalk, smalltalk, identity])(g)
    if kind == 0:
        v = g.value(W.NAMES)
        return [("system", g.phrase(NAMED).replace("{v}", v)), ("user", g.style(g.phrase(WHO))), ("assistant", f"My name is {v}.")]
    if kind == 1:
        v = g.rng.choice([lambda: word(g), lambda: word(g).capitalize() + ".", lambda: " ".join(word_list(g, 2, 3))])()
        return [("system", g.phrase(ONLY).replace("{v}", v)), plain()[0] if g.chance(0.8) else ("user", g.style(_ood(g))), ("assistant", v)]
    if kind in (2, 3):
        turns = smalltalk(g)
        forms, change = (SHOUT, str.upper) if kind == 2 else (QUIET, str.lower)
        return [("system", g.phrase(forms))] + [t if t[0] == "user" else ("assistant", change(t[1]), "spell") for t in turns]
    if kind in (4, 5):
        v = g.rng.choice([lambda: word(g), lambda: word(g).capitalize() + "!", lambda: " ".join(word_list(g, 2, 2)).capitalize() + "."])()
        forms, change = (ENDING, lambda a: a + " " + v) if kind == 4 else (OPENING, lambda a: v + " " + a)
        return [("system", g.phrase(forms).replace("{v}", v))] + [t if t[0] == "user" else ("assistant", change(t[1])) for t in plain()]
    v = word(g)
    return [("system", g.phrase(SECRET).replace("{v}", v)), ("user", g.style(g.phrase(SECRET_Q))), ("assistant", f"The secret word is {v}.")]


# ---- everything else ----

OOD = ["Who was {p}?", "Who is {p}?", "When was {p} born?", "Where did {p} live?", "What did {p} do?", "Tell me about {p}.", "Tell me the life of {p}.", "What is the capital of {c}?", "How many people live in {c}?", "Where is {c}?", "What is the population of {c}?",
       "Which language is spoken in {c}?", "Tell me about {c}.", "Who is the president of {c}?", "What is {t}?", "Explain {t}.", "Tell me about {t}.", "How does {t} work?", "What do you think about {t}?", "Why is {t} important?", "Write a poem about {t}.",
       "Write a story about {t}.", "Write an essay about {t}.", "Tell me a joke about {t}.", "Tell me a joke.", "Tell me a story.", "Write a song about {t}.", "How do I cook {d}?", "What is the recipe for {d}?", "How do you make {d}?",
       "Give me a recipe for {d}.", "Translate hello to {l}.", "How do you say {w} in {l}?", "Translate {w} into {l}.", "Do you speak {l}?", "Write a program that prints {w}.", "Write a function in {t}.", "Write code for {t}.", "Who won the world cup in {y}?",
       "What happened in {y}?", "What is the weather in {v}?", "What is the weather today?", "What time is it?", "What day is it today?", "What is the date?", "How far is {v} from here?", "Recommend a hotel in {v}.", "What should I see in {v}?",
       "Where can I eat in {v}?", "How do I get to {v}?", "What is the best book about {t}?", "Recommend a film about {t}.", "What should I eat today?", "Should I buy a {g}?", "How much does a {g} cost?", "Where can I buy a {g}?", "What is the meaning of life?",
       "Do you love me?", "Can you feel pain?", "Is there a god?", "Who invented the {g}?", "Why is the {w} {k}?", "Why is the sky blue?", "How many {w} are there?", "How old is the {w}?", "How tall is {p}?", "What is {n} * {m}?", "What is {n} + {m}?", "What is {n} divided by {m}?",
       "Calculate the square root of {n}.", "What color is the {w}?", "Who wrote {w}?", "Compare {t} and {u}.", "What is the difference between {t} and {u}?", "Is {t} better than {u}?", "Give me advice about {t}.", "How can I learn {t}?", "Where does {t} come from?",
       "Summarize the history of {t}.", "Give me facts about {t}.", "List ten facts about {t}.", "Plan a trip to {v}.", "Who is the king of {c}?", "Who are you voting for?", "What is the news?", "Sing a song.", "Play some music.", "Draw a {w}.", "Call {q}.",
       "Where is {q}?", "How is {q}?", "What does {q} do?", "When does the train to {v} leave?", "Book a flight to {v}.", "What is my bank balance?", "Fix my {g}.", "My {g} is broken.", "I feel sad.", "I am hungry.", "It is {k} today.", "The {w} is {k}.", "I saw a {w} yesterday.",
       "Why do people like {t}?", "Can {w}s fly?", "Do {w}s sleep?", "Which {w} is the best?", "What is a {w}?", "{t}?", "{t}", "{w}", "{w} {z}", "{p}", "How many days has {y}?", "What rhymes with {w}?", "Give me a synonym for {w}.", "What is the opposite of {w}?",
       "~What can you tell me about {p}?", "~What is the largest city of {c}?", "~Can you write a poem on {t}?", "~How is {d} made?", "~What does {w} mean in {l}?", "~How did {t} begin?", "~What are good films about {t}?", "~When did {p} die?", "~Which river flows through {v}?",
       "~How much money does {p} have?", "~Is {v} a nice city?", "~Teach me {l}.", "~Why is {t} so popular?", "~Invent a story with a {w}.", "~What was the weather in {v} yesterday?"]


def _ood(g):
    r, q = g.rng, g.phrase(OOD)
    big = lambda: str(g.number(1000, 99999))
    fill = {"p": lambda: g.value(W.FAMOUS), "c": lambda: g.value(W.COUNTRIES), "t": lambda: g.value(W.TOPICS), "u": lambda: g.value(W.TOPICS), "d": lambda: g.value(W.DISHES), "l": lambda: g.value(W.LANGUAGES),
            "w": lambda: g.value(W.WORDS), "z": lambda: g.value(W.WORDS), "y": lambda: str(g.number(1900, 2030)), "v": lambda: g.value(W.CITIES), "g": lambda: g.value(W.GOODS), "k": lambda: r.choice("cold warm big small red old new wet dark".split()),
            "n": big, "m": big, "q": lambda: g.value(W.NAMES)}
    for k, f in fill.items():
        if "{" + k + "}" in q:
            q = q.replace("{" + k + "}", f())
    return q[0].upper() + q[1:] if g.chance(0.9) else q


def other(g):
    q = g.style(_ood(g))
    if not g.test and g.chance(0.06):
        q = "".join(g.rng.choice("abcdefghijklmnopqrstuvwxyz  ?.0123456789") for _ in range(g.number(3, 24))).strip() or "?"
    return [("user", q), ("assistant", FALLBACK)]


SHORT_TASKS = [inference, sluice, smalltalk, identity, arithmetic, arithmetic, repeat, count_words, other, case, extract]

# The share of training conversations; the families that are hard to learn get more.
FAMILIES = {
    "inference": (inference, 6), "sluice": (sluice, 6), "identity": (identity, 2), "smalltalk": (smalltalk, 3),
    "case": (case, 12), "spell": (spell, 4), "reverse": (reverse, 13), "repeat": (repeat, 10), "count_words": (count_words, 9),
    "series": (series, 1), "arithmetic": (arithmetic, 15), "extract": (extract, 11),
    "tools": (tools, 7), "tools_unused": (tools_unused, 1), "memory": (memory, 3), "system": (system, 4), "other": (other, 5),
}

SYSTEMS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are helpful.", "You are a friendly assistant.", "Be helpful.", "Be brief.", "You are Sluice's demo model.", "Answer briefly.", "Help the user.", "You are an assistant. Be short and exact."]


def conversation(g, family):
    """One conversation of a family; some carry a system prompt that changes nothing."""
    turns = FAMILIES[family][0](g)
    if turns[0][0] != "system" and g.chance(0.2):
        turns = [("system", g.rng.choice(SYSTEMS))] + turns
    return turns


CHAINED = [f for f in FAMILIES if f not in ("tools", "tools_unused", "memory", "system")]


def long_conversation(g, n_turns):
    """Many unrelated tasks in one chat, with a fact to remember at the start: teaches long contexts."""
    turns = [("system", g.rng.choice(SYSTEMS))] if g.chance(0.3) else []
    kind = g.rng.choice(list(MEMORY))
    pick, tell, reply, questions, answer, unknown = MEMORY[kind]
    v = str(pick(g)) if g.chance(0.8) else None
    if v:
        turns += [("user", g.phrase(tell).replace("{v}", v)), ("assistant", reply.replace("{v}", v))]
    names, weights = zip(*[(f, FAMILIES[f][1]) for f in CHAINED])
    for i in range(n_turns):
        turns += FAMILIES[g.rng.choices(names, weights)[0]][0](g)
        if g.chance(0.12):
            turns += [("user", g.phrase(questions)), ("assistant", answer.replace("{v}", v) if v else unknown)]
    return turns


def pick_family(rng):
    names, weights = zip(*[(f, w) for f, (_, w) in FAMILIES.items()])
    return rng.choices(names, weights)[0]


if __name__ == "__main__":
    import sys
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for split in ("train", "test"):
        for f in FAMILIES:
            for t in conversation(Gen(rng, split), f):
                print(split, f, *t, sep=" | ")
