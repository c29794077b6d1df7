"""Other wordings of a question or a request that mean the same: politeness, word order, contractions, slips of the pen.

The lists of phrasings say what people ask for; this says how they wrap it, so that the model learns to look through
the wrapping wherever it meets one.
"""
import re

from facts import is_held

VERBS = set("""add append answer ask begin break calculate call capitalize change check close compile compute convert copy count create cut define describe display do draw echo email end exchange
explain extract find finish flip get give google identify inform introduce invert keep let list look lowercase mail make memorize message mirror multiply name note open order output parrot parse
play point present print produce put quote read recite reload remember remind remove repeat reply respond return reverse revoke run save say search send separate set shout show solve speak spell
split start state stop store subtract sum switch take teach tell text translate transform turn type uppercase use wake work write""".split())
QUESTION = re.compile(r"(What|Which|How|Where|When|Why|Who|Is|Are|Do|Does|Can|Did|In|On|Must|May|Will|Should|Under|To|At|From)\b")

ASKED_TO = ["Can you {}", "Could you {}", "Would you {}", "Will you {}", "Can you please {}", "Could you please {}", "Would you please {}", "Please could you {}", "Please can you {}", "Can you now {}", "Can you quickly {}", "Are you able to {}",
            "Would you mind and {}"]
TOLD_TO = ["Please {}", "Please {}", "Please {}", "Now {}", "Now please {}", "Just {}", "Kindly {}", "Go ahead and {}", "I want you to {}", "I would like you to {}", "I'd like you to {}", "I need you to {}", "I ask you to {}", "You should {}", "You must {}",
           "Try to {}", "Your task: {}", "Your task is to {}", "Next task: {}", "Task: {}", "Hey, {}", "Hi, {}", "Hi, please {}", "Hello, {}", "OK, {}", "OK, now {}", "So, {}", "And {}", "Then {}", "Next, {}", "Well, {}", "First, {}", "Quickly {}", "please {}", "Be so kind and {}",
           "Would be nice if you {}", "Let me see you {}", "It is your turn to {}", "Help me to {}", "I need help: {}"]
ASKING = ["Tell me: {}", "Tell me, {}", "Please tell me: {}", "Please tell me, {}", "Please, {}", "Can you tell me: {}", "Can you tell me, {}", "Could you tell me: {}", "Could you tell me, {}", "Can you say {}", "Do you know {}", "Do you know: {}", "Do you know, {}", "I wonder: {}", "I wonder, {}",
          "I wonder {}", "I want to know: {}", "I want to know {}", "I would like to know {}", "I'd like to know: {}", "I need to know: {}", "I need to know {}", "I ask you: {}", "I am asking: {}", "My question: {}", "My question is {}", "My question is: {}", "So {}", "So, {}", "And {}", "And, {}", "But {}",
          "Well, {}", "OK, {}", "OK, so {}", "Okay, {}", "Hey, {}", "Hi, {}", "Hi! {}", "Hi there, {}", "Hello, {}", "Hello! {}", "Good day, {}", "Sorry, {}", "Sorry, but {}", "Excuse me, {}", "Pardon, {}", "One question: {}", "Quick question: {}", "Short question: {}", "A question: {}", "Another question: {}",
          "Question: {}", "Next question: {}", "Last question: {}", "Maybe you know: {}", "Just tell me: {}", "Please say {}", "Help me: {}", "I forgot: {}", "Remind me: {}", "Say, {}", "Please explain: {}", "Explain: {}", "Now, {}", "Now: {}", "Then {}", "In short: {}", "Briefly: {}", "For me: {}", "please: {}",
          "I have a question: {}", "I have a question. {}", "I do not know: {}", "I am not sure: {}", "Just a question: {}", "By the way, {}", "Let me ask: {}", "Can I ask: {}", "May I ask: {}", "May I ask {}", "Somebody asked: {}"]
HOW = ["How do I {}?", "How can I {}?", "How can I {}?", "How to {}?", "how to {}", "How would I {}?", "How should I {}?", "How could I {}?", "How do you {}?", "How can one {}?", "How does one {}?", "How do we {}?", "How can we {}?", "How can you {}?", "How must I {}?", "How may I {}?", "How might I {}?",
       "What do I do to {}?", "What must I do to {}?", "What should I do to {}?", "What do I have to do to {}?", "What can I do to {}?", "What do I need to {}?", "What do I need to do to {}?", "What do I type to {}?", "What is the way to {}?", "What's the way to {}?", "What is the best way to {}?", "Which way is there to {}?",
       "What is needed to {}?", "Is there a way to {}?", "Is it possible to {}?", "Can I {}?", "Could I {}?", "I want to {}.", "I want to {}. How?", "I want to {}. What do I do?", "I want to {}, how do I do that?", "I would like to {}.", "I'd like to {}.", "I need to {}.", "I need to {}. How?", "I have to {}.", "I am trying to {}.", "I try to {}.",
       "I do not know how to {}.", "I don't know how to {}.", "Tell me how to {}.", "Tell me how I can {}.", "Tell me how I {}.", "Please tell me how to {}.", "Can you tell me how to {}?", "Could you tell me how to {}?", "Explain how to {}.", "Explain how I can {}.", "Please explain how to {}.", "Can you explain how to {}?", "Show me how to {}.",
       "Please show me how to {}.", "Can you show me how to {}?", "Say how to {}.", "Help me to {}.", "Help me {}.", "Can you help me to {}?", "Do you know how to {}?", "Do you know how I can {}?", "I wonder how to {}.", "I want to know how to {}.", "I would like to know how to {}.", "Instructions to {}?", "Teach me how to {}.", "Teach me to {}.",
       "Steps to {}", "Which command do I use to {}?", "Give me a way to {}.", "We want to {}.", "We need to {}. How?", "My boss wants to {}. How?", "How do I {} please", "How do I {} here?", "How do I now {}?", "how do i {}", "how can i {}"]
WORDS = [("What is ", "What's "), ("What is ", "what's "), ("I am ", "I'm "), ("do not ", "don't "), ("does not ", "doesn't "), ("How is ", "How's "), ("Which ", "What "), ("What ", "Which "), ("cannot", "can't"), ("is not ", "isn't "), ("Where is ", "Where's "), ("Who is ", "Who's "), ("Tell me ", "Say "),
         ("Give me ", "Tell me "), ("Tell me ", "Give me "), ("Show me ", "Give me "), ("do I ", "can I "), ("can I ", "do I "), ("Can I ", "May I "), ("is ", "was "), ("What does ", "What would "), ("What happens ", "What will happen "), ("happens if", "happens when"), ("happens when", "happens if"), ("What if ", "What happens if "),
         ("What happens if ", "And if "), ("Is there a ", "Do you have a "), ("Are there ", "Do you have "), ("my ", "the "), ("the ", "my "), (" a ", " the "), (" the ", " a "), (" for?", " good for?"), (" good for?", " for?"), ("Which is ", "What is "), ("Where do I find ", "Where is "), ("Where is ", "Where can I find "), ("Do I need ", "Must I have "),
         ("Do I need ", "Do I have to have "), ("Do I need ", "Should I have "), ("Can I use ", "Does Sluice work with "), ("Tell me about ", "Talk about "), ("Explain ", "Describe "), ("Describe ", "Explain "), ("How does ", "How exactly does "), ("What does ", "What exactly does "), ("What is ", "What exactly is ")]
ENDS = [" please", ", please", ", please?", " Please.", " Thanks.", " Thanks!", " thanks", " Thank you.", " Thank you!", " now?", ", thanks", " ...", "??", "?", "!", "", " :)", " Can you help?", " I am new here."]


def _lower(q):
    return q[0].lower() + q[1:]


def varied(rng, q):
    """One wording of q, or q itself; templates keep their {values}.  What it returns may be one that is held out."""
    first = re.split(r"[ :,]", q, maxsplit=1)[0].lower()
    how = re.fullmatch(r"How (?:do|can) I ([^?]+)\?", q)
    if how and "{x}" not in q and rng.random() < 0.75:
        return rng.choice(HOW).format(how[1])
    if rng.random() < 0.3:
        fits = [(a, b) for a, b in WORDS if a in q and "{" not in q] or [w for w in WORDS[:7] if w[0] in q]
        if fits:
            a, b = rng.choice(fits)
            q = q.replace(a, b, 1)
            if is_held(q):
                return q
    if QUESTION.match(q):
        dice = rng.random()
        if dice < 0.6:
            q = rng.choice(ASKING).replace("{}", _lower(q))
        elif q.endswith("?") and dice < 0.85:
            q = q[:-1] + rng.choice(ENDS)
    elif first in VERBS:
        dice = rng.random()
        if dice < 0.35:
            q = rng.choice(ASKED_TO).replace("{}", _lower(q))
            if q.endswith(".") and not q.endswith(": {x}."):
                q = q[:-1] + "?"
        elif dice < 0.85:
            q = rng.choice(TOLD_TO).replace("{}", _lower(q))
        elif q.endswith(".") and "{t}" not in q:
            q = q[:-1] + rng.choice(ENDS[:7])
    return q


def misspelled(rng, q):
    """q with one slip in a longer word: two letters change places, one is missing, or one is doubled."""
    words = q.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 4 and w.isalpha()]
    if not long:
        return q
    i = rng.choice(long)
    w, k = words[i], rng.randint(1, len(words[i]) - 3)
    words[i] = rng.choice([w[:k] + w[k + 1] + w[k] + w[k + 2:], w[:k] + w[k + 1:], w[:k] + w[k] + w[k:]])
    return " ".join(words)
