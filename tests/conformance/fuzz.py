"""What Schemathesis needs to know of the API: its scalars, ids that exist, and which errors are answers.

Loaded by SCHEMATHESIS_HOOKS. FUZZ_IDS is a file with the ids of each kind, as JSON, FUZZ_OWN the id of who asks; FUZZ_REPORT is the
file that the counts go to.
"""

import atexit
import json
import os
import random
from collections import Counter

import graphql
import schemathesis
from graphql.utilities import TypeInfo
from hypothesis import strategies as st
from schemathesis.graphql import nodes

# The words of the contract but INTERNAL.
EXPECTED = {
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "BAD_USER_INPUT",
    "CONFLICT",
    "FAILED_PRECONDITION",
    "UPSTREAM_ERROR",
    "RATE_LIMITED",
}
# How often an id is one that exists. Where it would be the end of what others need, seldom.
REAL, SELDOM = 0.7, 0.02
# Texts that mean something here, by the argument or field that takes them; else next to nothing gets past the first check.
PLAUSIBLE = {
    "name": ["front", "shop", "production", "staging", "web", "PATH_TO"],
    "environment": ["production", "staging"],
    "deployTo": ["production"],
    "project": ["acme/shop"],
    "path": ["acme/shop", "/"],
    "ref": ["main"],
    "branch": ["main"],
    "image": ["conformance/base", "nginx"],
    "tag": ["1", "alpine"],
    "container": ["web"],
    "mountPath": ["/data"],
    "compose": ["services: {web: {image: nginx}}"],
    "after": ["", "WyIwIl0", "AAAA"],
    "email": ["admin@localhost", "new@example.com"],
    "host": ["docker.io", "tcp://127.0.0.1:1"],
}
# How often such a one is taken.
KNOWN = 0.5
# How often it is of the kind that the field takes.
MEANT = 0.8
IDS = json.load(open(os.environ["FUZZ_IDS"]))
# Who asks. The tool keeps ids that it was answered with, and asks with those too.
OWN = os.environ["FUZZ_OWN"]
SCHEMA = graphql.build_schema(open(os.environ["FUZZ_SCHEMA"]).read())
# Another one for each run of the tool, and the same for the same run.
CHOICE = random.Random(os.environ.get("FUZZ_SEED", "kiops"))
COUNTS = Counter()


def anything():
    plain = st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=20)
    names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
    return st.recursive(
        plain.map(value_node),
        lambda inner: st.lists(inner, max_size=3).map(lambda items: graphql.ListValueNode(values=tuple(items)))
        | st.dictionaries(names, inner, max_size=3).map(object_node),
        max_leaves=6,
    )


def value_node(value):
    if value is None:
        return nodes.Null
    if isinstance(value, bool):
        return nodes.Boolean(value)
    return nodes.Int(value) if isinstance(value, int) else nodes.String(value)


def object_node(fields):
    named = [graphql.ObjectFieldNode(name=graphql.NameNode(value=name), value=value) for name, value in fields.items()]
    return graphql.ObjectValueNode(fields=tuple(named))


times = st.datetimes().map(lambda time: time.isoformat() + "Z") | st.sampled_from(
    ["", "now", "2026-13-01T00:00:00Z", "9999-12-31T23:59:60Z", "-0001-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99"]
)
schemathesis.graphql.scalar("DateTime", times.map(nodes.String))
schemathesis.graphql.scalar("JSON", anything())


class Meaning(graphql.Visitor):
    """Puts ids that exist where an id is asked for, mostly those of the kind that is meant, and texts that mean something."""

    def __init__(self, info, field):
        super().__init__()
        self.info, self.field = info, field
        self.ends = field.startswith(("remove", "delete", "revoke", "setUserRole"))
        self.chance = SELDOM if self.ends else REAL

    def enter(self, node, _key, parent, *_):
        if not isinstance(node, (graphql.StringValueNode, graphql.IntValueNode)):
            return None
        # Whoever removes or lowers themselves has nothing to ask with any more.
        if self.ends and node.value == OWN:
            return graphql.StringValueNode(value="")
        wanted = self.info.get_input_type()
        wanted = graphql.get_named_type(wanted).name if wanted else ""
        name = parent.name.value if isinstance(parent, (graphql.ArgumentNode, graphql.ObjectFieldNode)) else ""
        if wanted == "String" and name in PLAUSIBLE and CHOICE.random() < KNOWN:
            return graphql.StringValueNode(value=CHOICE.choice(PLAUSIBLE[name]))
        if wanted != "ID" or CHOICE.random() > self.chance:
            return None
        # serviceId is a Service's; the id that cancelPipeline takes is a Pipeline's.
        of = name[:-2].lower() if name.endswith("Id") else self.field.lower().replace("approval", "deployment")
        meant = [ids for kind, ids in IDS.items() if kind.lower() in of]
        ids = meant[0] if meant and CHOICE.random() < MEANT else CHOICE.choice(list(IDS.values()))
        return graphql.StringValueNode(value=CHOICE.choice(ids))


@schemathesis.hook
def before_call(context, case, kwargs):
    if not isinstance(case.body, str):
        return
    try:
        document = graphql.parse(case.body)
    except graphql.GraphQLError:
        COUNTS["not GraphQL"] += 1
        return
    info = TypeInfo(SCHEMA)
    changed = graphql.visit(document, graphql.TypeInfoVisitor(info, Meaning(info, case.operation.label.split(".")[-1])))
    case.body = graphql.print_ast(changed)


@schemathesis.check
def expected(ctx, response, case):
    COUNTS["examples"] += 1
    COUNTS[f"status {response.status_code}"] += 1
    assert response.status_code < 500, f"status {response.status_code}: {response.text[:2000]}"
    answer = response.json()
    assert answer.get("data") is not None or answer.get("errors"), f"neither data nor errors: {answer}"
    if not answer.get("errors"):
        COUNTS["without errors"] += 1
    for error in answer.get("errors") or []:
        code = (error.get("extensions") or {}).get("code")
        COUNTS[code] += 1
        assert code in EXPECTED, f"{code} is no answer: {json.dumps(error)[:2000]}"
        # The token is good: elsewhere than at a login this would mean that nothing was tried any more.
        if case.operation.label != "Mutation.login":
            assert code != "UNAUTHENTICATED", f"the token is gone: {json.dumps(error)}"


@atexit.register
def report():
    with open(os.environ["FUZZ_REPORT"], "w") as file:
        json.dump(COUNTS, file)
