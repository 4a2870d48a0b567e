#!/usr/bin/env python3
"""Comments are sentences: plain_comments.py [ROOT] names those that begin like a riddle and leave out the main verb.

It reads the comments of every header and source. A sentence may begin with "Where", "For" or "In" if a main clause
follows ("Where the sizes allow it, a page is read in place."). One that begins with "What", "Whether", "Who" or "How"
is refused, because it can always be said with its subject first. A comment behind code may be a short noun phrase
("bytes a second"), but no question. Lines that are indented inside a comment are left alone. The check looks at
beginnings only, with a few lists of words: it finds the riddles of old, and not every unclear sentence.
"""

import pathlib
import re
import subprocess
import sys


QUESTION = re.compile(r"(What|Whatever|Whether|Who|Whoever|Whose|Why|How|Which)\b", re.IGNORECASE)
ANSWER = re.compile(r"(False|True|Null|Empty|Nothing|None)(:|,| (when|where|if|once|unless|while|until|for|in|at|of|as)\b)")
SAME = re.compile(r"The (same|rest|others?)(:|\.|,| (of|for|as|in|from|with|without|at|but|on|by|to|where|when)\b)")
# What these begin is no main clause; one must follow behind a comma.
CLAUSE = re.compile(r"(Where|When|Once|Until|While|Unless)\b")
# What these begin has no verb; one must follow.
PHRASE = re.compile(r"(Of|As|At|After|Before|Behind|Beside|Besides|By|For|From|In|Inside|On|Under|With|Within|Without)\b")
# A clause behind a comma that begins so is no main clause either.
SUBORDINATE = re.compile(r"(as|or|so that|in|for|of|by|with|without|where|when|which|who|to|else)\b")
VERB = re.compile(
    r"\b(is|are|was|were|has|have|had|do|does|did|can|cannot|could|may|might|must|shall|should|will|would|need|needs|"
    r"[a-z]{2,}(?<!s)s(?!\.\w)|[a-z]+(?<!e)ed|become|call|come|cost|encode|get|give|go|hold|"
    r"keep|know|lie|make|mean|read|return|run|see|stand|take|use|wait|work)\b|="
)
# Words that end in s and are no verbs, so that lists of nouns pass for no clause.
NOUNS = re.compile(
    r"\b(this|its|us|as|bytes|rows|columns|tokens|pages|ranks|slices|images|steps|bits|words|values|weights|sizes|sums|"
    r"heads|keys|calls|threads|requests|events|errors|tensors|links|jobs|seconds|patches|sequences|encoders|pieces|"
    r"devices|kernels|codes|elements|lines|files|names|others|operations|positions|samples|types|units|blocks|parts)\b"
)


def comments(text):
    """Yields (line, whether code stands before it, the comment's text) of each block of // lines."""
    block, first = [], 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip().startswith("//"):
            first = first if block else number
            words = line.strip()[2:]
            apart = words.startswith(("  ", " -")) or not words.strip()  # indented, an item of a list, or empty
            block.append("\0" if apart else words.strip())
            continue
        if block:
            for part in " ".join(block).split("\0"):
                if part.strip():
                    yield first, False, part.strip()
            block = []
        if behind := re.search(r"[;{},)]\s+// (.*)$", line):
            yield number, True, behind[1]


def sentences(text):
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)


def main_clause(text):
    clause = NOUNS.sub("", text)
    return VERB.search(clause) is not None


def riddle(sentence, behind_code=False):
    """Says what is wrong with the sentence; None if nothing is."""
    begin = sentence.split(" ")[0]
    if QUESTION.match(sentence):
        return f'begins with "{begin}"'
    if behind_code:
        return None
    if ANSWER.match(sentence) or SAME.match(sentence):
        return f'begins with "{begin}" and has no subject'
    if CLAUSE.match(sentence) and not sentence.startswith("Until then"):
        follows = re.split(r"[,:;] ", sentence)[1:]
        if not any(main_clause(f) and not SUBORDINATE.match(f) for f in follows):
            return f'begins with "{begin}" and has no main clause'
    elif PHRASE.match(sentence):
        head, *follows = re.split(r"[,:;] ", sentence)
        whole = not re.search(r"\b(that|which|who|where|whose|whatever|what)\b", head) and main_clause(head)
        if begin == "Of" or not whole or len(sentence.split()) < 4:
            if not any(main_clause(f) and not SUBORDINATE.match(f) for f in follows):
                return f'begins with "{begin}" and has no main verb'
    return None


def riddles(name, text):
    for line, behind_code, comment in comments(text):
        for sentence in [comment] if behind_code else sentences(comment):
            if wrong := riddle(sentence, behind_code):
                yield f"{name}:{line}: {wrong}: {sentence}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cuh", "*.cc", "*.cu"],
                            cwd=root, capture_output=True, text=True, check=True).stdout.split()
    wrong = [found for name in sorted(listed) if (root / name).is_file()
             for found in riddles(name, (root / name).read_text())]
    print("\n".join(wrong) or "every comment begins as a sentence does")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
