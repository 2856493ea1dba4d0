"""Tiny worlds, small enough to list all their stories."""

BASE = """
list name:
    (3) Ann  they=she
    Anna     they=she
    Bo       they=he

list thing:
    (2) bell  stuff=tin
    bells     stuff=tin    s=bellses
    egg       stuff=round
    hour      stuff=round  a=an

list animal:
    crow   wants=tin
    (2) hen  wants=round
    owl    wants=nothing

list number:
    one    value=1
    two    value=2
    (3) three  value=3

cast:
    hero: name
    friend: name, not hero
    thing: thing
    gift: thing, stuff != thing.stuff
    tempted: animal, wants = thing.stuff
    steady: animal, wants != thing.stuff
    many: number
    few: number
    left: number
    holder: name
    mood:
"""

STORIES = {
    # Words that begin with other words, in every order of casting.
    "prefixes": """
story:
    {hero} had {a thing}.
    {hero} and {friend} had {a thing}.
    An {thing}? {A thing}!
    Bells rang.
    Bell{tail}

tail:
    's out.
    -less{gone}
    ringers.

gone:
    .
     days.
""",
    # Optional tails, within a word's reach of the end and of each other.
    "tails": """
story:
    It rained< again|>< and< again|>|>.
    It rained<, again|>< hard|>:< So there| Or not>!
    (2) It<| still> rains<: {hero} is<n't|> out|>.
""",
    # Conditions on roles, traits, numbers, and on who is cast at all.
    "conditions": """
story:
    {many thing}: {told} {after}
    (2) {A thing}, {tempted}: {told} {after}

told:
    [not thing] nothing
    [thing and many and many > 1] {s thing}
    [many and many < 2] one {thing}
    [thing and not many] the {thing}
    (3) anything

after:
    [thing = 'bell'] rang.
    (4) [thing.stuff = 'round' and thing != 'egg'] ticked.
    [thing != 'bell'] {friend} <laughed|[friend = 'Bo'] slept>.
    (2) [thing.stuff = tempted.wants] {They tempted} knew.
    so.
""",
    # Numbers that are computed, printed as words, and bent to one or many.
    "numbers": """
story:
    {many thing}.{left := many} {less} Now {left thing}.
    {^few} and {few}.
    {^many thing}, then {many thing}.

less:
    [many = few] {few}.
    [many > 1]{few := 'one'} One less.{left := many - 1}
    [many < 3] {^few} more.{left := many}
    None.
""",
    # Conditions inside a line, which may hold the signs < and >.
    "inside": """
story:
    {many thing}< or so|[many > 1] or less|(2) [many < 3 and thing = 'egg'] or <no|so>>.
    {few}<, {a thing}|[few < 3 #count] more|>.
""",
    # Roles that exclude each other, before and after they are cast, with weights.
    "rivals": """
story:
    {friend} {meets} {hero}.
    {hero} {meets} {friend}.
    (5) {S thing}: {steady} and {tempted} <met|saw> {a thing}.
    {thing}, {gift}<, {tempted}|>, {steady}.

meets:
    (2) met
    [friend = 'Anna'] met with
    saw
""",
    # Who has it now: roles that are given to others, and what is said of them.
    "holders": """
story:
    {hero} had {the thing}.{holder := hero}{+had hero thing} {on} {who}

on:
    {friend} took it.{holder := friend}{+took friend thing}{mood := 'sorry'}
    {hero} kept it.{mood := 'glad'}
    {friend} did not.{mood := 'glad'}{+saw friend}

who:
    [mood = 'sorry'] {^holder} was {mood}, and {hero} cried.
    [mood != 'sorry' and holder = hero] {They hero} <was {mood}|slept>.
""",
    # One text told in two ways: its probability is the sum.
    "twice": """
story:
    {hero} had {a thing}.
    (2) {hero} <had|lost> {A thing}.
    Ann had <a|an> bell.
    {friend} had a <bell|egg>.
""",
    # Lines, marks, capitals, and words that lean on each other.
    "signs": """
story:
    "{^thing}s!" said {hero}<.|, {They hero}.|...>
    Dear {hero},\\n{thing}<\\n\\nP.S.|> {s thing}-ringer's.
    A.<.|>.<!|> {A hero}{thing}.
    {themself hero}, {Their hero}\\n\\n{them hero}<\\n|>
""",
}

# In these a story goes on where a shorter one ends.
LONGER = {
    "longer": """
story:
    {hero} slept{more}

more:
    <|.>
     well< enough|>.< {friend} did not.|>
""",
    "nothing": """
story:
    <|Ann|Anna|Ann had {a thing}>
""",
}
