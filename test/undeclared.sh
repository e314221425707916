#!/bin/sh
# Measures what judging a query costs: CPU time of the gate for each auto-commit query, undeclared and declared, in turns, in front of a
# server that answers at once. Prints both medians and their ratio; the bar is 1.10. On a quiet machine, two minutes:
#   make && sh test/undeclared.sh [PROGRAM [SECONDS [ROUNDS]]]
set -eu
program=${1:-bin/boltgate} seconds=${2:-5} rounds=${3:-9}
dir=$(mktemp -d)
bolt=127.0.0.1:27787 gate=127.0.0.1:27788
"$program" bench serve --bolt $bolt --http "" >"$dir/serve" &
serve=$!
cat >"$dir/gate.yaml" <<EOF
frontends: [{name: main, bind: "$gate"}]
cluster:
  generation: standalone
  members: [{name: s1, bolt: "$bolt"}]
log: {level: warn}
EOF
"$program" run -c "$dir/gate.yaml" &
run=$!
trap 'kill $run $serve 2>/dev/null; rm -rf "$dir"' EXIT
sleep 2 # the gate's first check of its member
typical='MATCH (u:User {id: $userId})-[:FOLLOWS]->(f:User)-[:POSTED]->(p:Post)
WHERE p.createdAt > $since AND NOT (u)-[:BLOCKED]->(f) AND p.visibility IN ["public", "friends"]
OPTIONAL MATCH (p)<-[l:LIKED]-(:User)
RETURN p.id AS id, p.title AS title, f.name AS author, count(l) AS likes
ORDER BY likes DESC, p.createdAt DESC SKIP $skip LIMIT 25'
measure() { # file, options
	file=$1
	shift
	"$program" bench bolt://$gate --query "$query" --clients 32 --duration "${seconds}s" --watch-pid $run --json "$@" |
		sed 's/.*"watched_cpu_us_per_op":\([0-9.]*\).*/\1/' >>"$dir/$file"
}
median() { sort -n "$dir/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for query in 'RETURN 1' "$typical"; do
	rm -f "$dir/declared" "$dir/undeclared"
	for _ in $(seq "$rounds"); do
		measure declared --access read
		measure undeclared
	done
	declared=$(median declared) undeclared=$(median undeclared)
	printf '%s: declared %s us, undeclared %s us, ratio %s\n' "$(printf %s "$query" | head -c 20 | tr '\n' ' ')" "$declared" "$undeclared" \
		"$(awk "BEGIN { printf \"%.3f\", $undeclared / $declared }")"
done
