"""The doubt program for the Python driver, 1.7 and 6; package drivers says what such a program does."""

import argparse
import json

from neo4j import GraphDatabase

parser = argparse.ArgumentParser()
for name in ("uri", "user", "password", "mark", "work", "close", "timeout"):
    parser.add_argument("-" + name)
parser.add_argument("-count", type=int, default=1)
args = parser.parse_args()

try:
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), max_transaction_retry_time=10)
except TypeError:  # 1.7
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), encrypted=False, max_retry_time=10)
except Exception:
    driver = GraphDatabase.driver(args.uri, auth=(args.user, args.password), encrypted=False, max_retry_time=10)

TEXT = "CREATE (n:Doubt {mark: $mark})"


def consume(result):
    (result.consume if hasattr(result, "consume") else result.summary)()


def write(mark):
    attempts = 0

    def params():
        nonlocal attempts
        attempts += 1
        return {"mark": mark} if attempts > 1 else {"mark": mark, "close": args.close}

    error = ""
    try:
        with driver.session() as session:
            if args.work == "auto":
                consume(session.run(TEXT, **params()))
            else:
                managed = getattr(session, "execute_write", None) or session.write_transaction
                managed(lambda tx: consume(tx.run(TEXT, **params())))
    except Exception as e:
        error = getattr(e, "code", None) or type(e).__name__
    print(json.dumps({"mark": mark, "attempts": attempts, "error": error}), flush=True)


for i in range(args.count):
    write(args.mark if args.count == 1 else "%s/%d" % (args.mark, i + 1))
