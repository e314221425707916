"""The doubt program for the Python driver, 1.7 and 6; package drivers says what such a program does."""

import argparse
import json

from neo4j import GraphDatabase

parser = argparse.ArgumentParser()
for name in ("uri", "user", "password", "mark", "work", "close", "timeout"):
    parser.add_argument("-" + name)
args = parser.parse_args()

try:
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), max_transaction_retry_time=10)
except TypeError:  # 1.7
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), encrypted=False, max_retry_time=10)
except Exception:
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), encrypted=False, max_retry_time=10)

attempts = 0


def params():
    global attempts
    attempts += 1
    return {"mark": args.mark} if attempts > 1 else {"mark": args.mark, "close": args.close}


def consume(result):
    (result.consume if hasattr(result, "consume") else result.summary)()


error = ""
try:
    with driver.session() as session:
        if args.work == "auto":
            consume(session.run("CREATE (n)", **params()))
        else:
            write = getattr(session, "execute_write", None) or session.write_transaction
            write(lambda tx: consume(tx.run("CREATE (n)", **params())))
except Exception as e:
    error = getattr(e, "code", None) or type(e).__name__
print(json.dumps({"attempts": attempts, "error": error}))
