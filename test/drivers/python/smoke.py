"""The smoke program for the Python driver 6 (`neo4j`); package drivers says what such a program does."""

import sys

import common
from neo4j import READ_ACCESS, WRITE_ACCESS, GraphDatabase
from neo4j.exceptions import Neo4jError

args = common.arguments()
out = common.Steps()
try:
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), connection_timeout=5,
                                  max_transaction_retry_time=10, connection_acquisition_timeout=10)
except Exception as e:
    sys.exit(str(e))


def session(mode=WRITE_ACCESS):
    return driver.session(default_access_mode=mode)


def connect():
    info = driver.get_server_info()
    return "%s over Bolt %s" % (info.agent, ".".join(map(str, info.protocol_version)))


def syntax_error(s):
    try:
        s.run("THIS IS NOT CYPHER").consume()
    except Neo4jError as e:
        return e.code
    return "no error"


class Unread(Exception):
    """Leaves a session without reading what is left of its result: the driver sends RESET."""


def reset():
    try:
        with session() as s:
            rows = iter(s.run("UNWIND range(1, 100000) AS n RETURN n"))
            for _ in range(10):
                next(rows)
            raise Unread
    except Unread:
        pass
    with session() as s:
        common.expect(s, args.mark, 2)


common.smoke(out, args.mark, connect=connect, session=session, read_access=READ_ACCESS, syntax_error=syntax_error, reset=reset,
             nodes_created=lambda result: result.consume().counters.nodes_created,
             write=lambda s, f: s.execute_write(f), read=lambda s, f: s.execute_read(f))
driver.close()
sys.exit(0 if out.ok else 1)
