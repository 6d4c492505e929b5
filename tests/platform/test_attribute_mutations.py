"""Each line of the ladder is guarded: with it broken, the ladder's own tests fail.

They run in a process of their own, again and again, each time on the module's source with one piece of it changed.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from colonnade.webhooks import attribute, clues

SOURCES = [Path(each.__file__).read_text() for each in (clues, attribute)]
"""What the ladder reads, and what it decides."""
TESTS = Path(__file__).with_name("test_attribute.py")
# Reads pairs of sources by name from standard input; writes how the tests ended on each to standard error.
RUN = f"""
import json, sys, pytest

class Mutate:
    def __init__(self, sources):
        self.sources = sources

    def pytest_sessionstart(self):
        from colonnade.webhooks import attribute, clues
        for source, module in zip(self.sources, (clues, attribute)):
            exec(compile(source, module.__file__, "exec"), module.__dict__)
        for name in [name for name in sys.modules if name.endswith("test_attribute")]:
            del sys.modules[name]

arguments = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", {str(TESTS)!r}]
ended = {{name: pytest.main(arguments, plugins=[Mutate(texts)]) for name, texts in json.load(sys.stdin).items()}}
json.dump(ended, sys.stderr)
"""

MUTANTS: dict[str, tuple[str, str]] = {
    "account: not read": ('{Clue("account", "account", account)} if account else set()', "set()"),
    "account: of the object itself": ('"acct": ("account", "account", "account"),', ""),
    "account: of a capability": ('frozenset({"capability", "person"})', 'frozenset({"person"})'),
    "account: of a person": ('frozenset({"capability", "person"})', 'frozenset({"capability"})'),
    "subscription: of itself": ('"sub": ("subscription", "object", "subscription"),', ""),
    "configuration: of itself": ('"bpc": ("configuration", "object", "billing_portal.configuration"),', ""),
    "customer: of itself": ('"cus": ("customer", "object", "customer"),', ""),
    "subscription: by another `object`": (
        '("subscription", "object", "subscription")',
        '("subscription", "object", "sub")',
    ),
    "configuration: by another `object`": ('"billing_portal.configuration"', '"configuration"'),
    "customer: by another `object`": ('("customer", "object", "customer")', '("customer", "object", "cus")'),
    "customer: of a detached payment method": ('_id((previous or {}).get("customer"))', "None"),
    "thin: the related object": ("own = _id(thing) or related", "own = _id(thing)"),
    "itself: whatever its `object` says": ('thing.get("object", name) == name', "True"),
    "catalogue: not read": ("found.update(_of_catalogue(thing))", "pass"),
    "catalogue: on an account too": ("    if not account:\n        found.update", "    if True:\n        found.update"),
    "catalogue: not by the product": ('for value in (thing, thing.get("product"))', "for value in (thing,)"),
    "catalogue: any of several sellers": ("len(sellers) == 1", "sellers"),
    "names without their account": ("qualified(account, clue.key)", "clue.key"),
    "order: weakest first": ("return _PLACES[clue.rung]", "return -_PLACES[clue.rung]"),
    "references: only ids": ('        value = value.get("id")\n', "        value = None\n"),
    "endpoint: accounts at the platform's": ('if endpoint == "platform" and account:', "if False:"),
    "endpoint: no account at Connect's": ('if endpoint == "connect" and not account:', "if False:"),
    "an unknown account is passed over": ("    if unknown:", "    if False:"),
    "an unknown account always waits": ("if known.creating and not named else", "if True else"),
    "an unknown account never waits": ("if known.creating and not named else", "if False else"),
    "a conflict is passed over": ("if other != tenant:", "if False:"),
    "nobody's waits": ('        if any(clue.kind == "plan" for clue, _ in tenants):', "        if False:"),
    "no evidence": ('"tenant": known.names.get(known.named_by(clue) or 0)', '"tenant": None'),
}
PATHS = {f"{rung}: at {path}": path for rung, _, paths in clues._PATHS for path in paths}


def broken(old: str, new: str) -> list[str]:
    assert sum(source.count(old) for source in SOURCES) == 1, old
    return [source.replace(old, new) for source in SOURCES]


def misspelt(path: str) -> list[str]:
    """The sources, reading another path. A path that is also a rung's name comes after that."""
    read, decided = SOURCES
    table, begins, rest = read.partition("_OWN_ID")
    head, found, tail = table.rpartition(f'"{path}"')
    assert found, path
    return [f'{head}"no.{path}"{tail}{begins}{rest}', decided]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_is_broken_in_the_ladder_makes_its_tests_red() -> None:
    mutants = {name: broken(*change) for name, change in MUTANTS.items()}
    mutants |= {name: misspelt(path) for name, path in PATHS.items()}
    sources = {"whole": SOURCES} | mutants
    command = [sys.executable, "-W", "ignore", "-c", RUN]
    found = subprocess.run(command, input=json.dumps(sources), capture_output=True, text=True, check=True)
    ended = json.loads(found.stderr.splitlines()[-1])
    assert ended == {"whole": 0} | dict.fromkeys(mutants, 1)
