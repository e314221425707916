"""The smoke program for the Python driver 1.7 (`neo4j-driver`); package drivers says what such a program does."""

import sys

import common
from neo4j import READ_ACCESS, WRITE_ACCESS, GraphDatabase
from neobolt.exceptions import CypherError

args = common.arguments()
out = common.Steps()
driver = None


def session(mode=WRITE_ACCESS):
    return driver.session(access_mode=mode)


def connect():
    global driver
    # connection_timeout bounds the dial only: a peer that accepts and says nothing is left to the caller's deadline.
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), encrypted=False, connection_timeout=5,
                                  max_retry_time=3, connection_acquisition_timeout=10)
    with session(READ_ACCESS) as s:
        server = s.run("RETURN 1").summary().server
        return "%s over Bolt %s" % (server.version, server.protocol_version)


def syntax_error(s):
    try:
        s.run("THIS IS NOT CYPHER").consume()
    except CypherError as e:
        return e.code
    return "no error"


def reset():
    s = session()
    rows = iter(s.run("UNWIND range(1, 100000) AS n RETURN n"))
    for _ in range(10):
        next(rows)
    s.close()  # this driver reads the rest itself
    with session() as s:
        common.expect(s, args.mark, 2)


common.smoke(out, args.mark, connect=connect, session=session, read_access=READ_ACCESS, syntax_error=syntax_error, reset=reset,
             nodes_created=lambda result: result.summary().counters.nodes_created,
             write=lambda s, f: s.write_transaction(f), read=lambda s, f: s.read_transaction(f))
if driver:
    driver.close()
sys.exit(0 if out.ok else 1)
