"""What the smoke programs of both Python drivers share: arguments, the line printed for each step, and the steps themselves."""

import argparse
import json
import time

COUNT = "MATCH (s:Smoke {mark: $mark}) RETURN count(s)"
CREATE = "CREATE (s:Smoke {mark: $mark})"


def arguments():
    p = argparse.ArgumentParser(prefix_chars="-")
    p.add_argument("-uri", required=True)
    p.add_argument("-user", default="neo4j")
    p.add_argument("-password", required=True)
    p.add_argument("-mark", required=True)
    p.add_argument("-timeout", default="30s")  # kept by the caller, who ends this program
    return p.parse_args()


class Steps:
    """Runs steps and prints a JSON line for each."""

    def __init__(self):
        self.ok = True

    def run(self, name, f):
        begun = time.monotonic()
        line = {"step": name, "ok": True}
        try:
            detail = f()
            if detail:
                line["detail"] = detail
        except Exception as e:
            self.ok = False
            line["ok"], line["error"] = False, "%s: %s" % (type(e).__name__, e)
        line["ms"] = int((time.monotonic() - begun) * 1000)
        print(json.dumps(line), flush=True)


def count(runner, mark):
    return runner.run(COUNT, mark=mark).single()[0]


def expect(runner, mark, want):
    got = count(runner, mark)
    if got != want:
        raise AssertionError("%d nodes, not %d" % (got, want))


def smoke(out, mark, connect, session, read_access, syntax_error, reset, nodes_created, write, read):
    """All the steps; the arguments are what the drivers do differently."""
    out.run("connect", connect)
    if not out.ok:
        return

    def read_step():
        with session(read_access) as s:
            total = 0
            for n, echo in s.run("UNWIND range(1, 1000) AS n RETURN n, $echo AS echo", echo=["a", 1, 2.5, True, None]):
                total += n
                if echo != ["a", 1, 2.5, True, None]:
                    raise AssertionError("echo came back as %r" % (echo,))
            if total != 500500:
                raise AssertionError("the sum of the rows is %d, not 500500" % total)

    def write_step():
        with session() as s:
            created = nodes_created(s.run(CREATE, mark=mark))
            if created != 1:
                raise AssertionError("%d nodes created, not 1" % created)
            expect(s, mark, 1)

    def transaction(end, inside, after):
        def step():
            with session() as s:
                tx = s.begin_transaction()
                tx.run(CREATE, mark=mark)
                expect(tx, mark, inside)
                end(tx)
                expect(s, mark, after)
        return step

    def failure():
        with session() as s:
            code = syntax_error(s)
            if not code.endswith(".SyntaxError"):
                raise AssertionError("a syntax error came back as " + code)
            expect(s, mark, 2)

    def managed():
        with session() as s:
            write(s, lambda tx: tx.run(CREATE, mark=mark).consume() and None)
            got = read(s, lambda tx: count(tx, mark))
            if got != 3:
                raise AssertionError("%d nodes, not 3" % got)

    def cleanup():
        with session() as s:
            s.run("MATCH (s:Smoke {mark: $mark}) DELETE s", mark=mark).consume()

    for name, step in (("read", read_step), ("write", write_step),
                       ("commit", transaction(lambda tx: tx.commit(), 2, 2)),
                       ("rollback", transaction(lambda tx: tx.rollback(), 3, 2)),
                       ("failure", failure), ("reset", reset), ("managed", managed), ("cleanup", cleanup)):
        out.run(name, step)
