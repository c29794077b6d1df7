"""What the demo model knows by heart, and how people ask for it: reads knowledge.txt and phrasings.txt.

CONCEPTS: (answer, [names of the thing], [whole questions]); the names also go into the general question forms of
QUESTION_FORMS.  FACTS, IDENTITY, SMALLTALK: (answer, [whole questions]).  PHRASINGS: name of a list -> its lines.
Lines that begin with "~" or "^" are kept out of the training text and only used to score the model; is_held finds
them again however a training question was put together.
"""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))


def _read(name):
    """(section, its lines) in order."""
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n").replace("\\n", "\n")
            if line.startswith("[") and line.endswith("]"):
                lines = []
                yield line[1:-1], lines
            elif line and line[0] != "#":
                lines.append(line)


def _answers(kind):
    out = []
    for section, lines in list(_read("knowledge.txt")):
        if section == kind:
            answer = next(x[2:] for x in lines if x[0] == "=")
            names = [x[2:] for x in lines if x[0] == "@"]
            questions = [x for x in lines if x[0] not in "=@"]
            out.append((answer, names, questions) if names else (answer, questions))
    return out


def plain(question):
    """What is left when case, punctuation and the values of a template do not count."""
    return re.sub(r"[^a-z0-9{}/_+*-]+", " ", re.sub(r"\{\w+\}", "{}", question.lower())).strip()


QUESTION_FORMS = next(lines for section, lines in list(_read("knowledge.txt")) if section == "forms")
CONCEPTS, FACTS, IDENTITY, SMALLTALK = (_answers(kind) for kind in ("concept", "fact", "identity", "smalltalk"))
PHRASINGS = dict(list(_read("phrasings.txt")))
HELD = {plain(line[1:]) for name in ("knowledge.txt", "phrasings.txt") for _, lines in list(_read(name)) for line in lines if line[0] in "~^"}

FALLBACK = "I am a small demo model and do not know that. Ask me about Sluice or inference, or give me a short text task."


WRAPPING = re.compile(r"^(?:hey|hi|hi there|hello|ok|okay|so|and|but|well|now|then|next|sorry|excuse me|(?:a |one |quick |next )?question) | (?:please|thanks|thank you|now|here|can you help|i am new here)$")


def is_held(question):
    """Whether it is kept out of training, also when a greeting or a thank-you is put around it."""
    p = plain(question)
    return p in HELD or WRAPPING.sub("", p) in HELD
