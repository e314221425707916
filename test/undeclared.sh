#!/bin/sh
# Measures what judging a query costs: CPU time of the gate for each auto-commit query, undeclared and declared, in turns, in front of
# servers that answer at once: one alone, and a cluster of one leader and two followers, where a read that nobody declared gets its user's
# bookmark too. Prints medians and their ratio; the bar is 1.10. On a quiet machine, four minutes:
#   make && sh test/undeclared.sh [PROGRAM [SECONDS [ROUNDS [CLUSTERS]]]]      CLUSTERS: "alone cluster", or one of them
set -eu
program=${1:-bin/boltgate} seconds=${2:-5} rounds=${3:-9} clusters=${4:-alone cluster}
dir=$(mktemp -d)
gate=127.0.0.1:27788
started=
trap 'kill $started 2>/dev/null || true; rm -rf "$dir"' EXIT
member() { # name, port, role, peer
	"$program" bench serve --bolt 127.0.0.1:"$2" --http "" --role "$3" --peer "$4" >"$dir/$1" &
	started="$started $!"
	echo "    - {name: $1, bolt: \"127.0.0.1:$2\"}" >>"$dir/members"
}
start() { # alone or cluster
	rm -f "$dir/members"
	generation=standalone
	if [ "$1" = cluster ]; then
		generation=autonomous
		member s1 27781 leader 127.0.0.1:27782
		member s2 27782 follower 127.0.0.1:27781
		member s3 27783 follower 127.0.0.1:27781
	else
		member s1 27781 "" ""
	fi
	cat >"$dir/gate.yaml" <<EOF
frontends: [{name: main, bind: "$gate"}]
cluster:
  generation: $generation
  check: {user: neo4j, password: x}
  discover: {cluster: false}
  members:
$(cat "$dir/members")
admin: {bind: "127.0.0.1:27789"}
log: {level: warn}
EOF
	"$program" run -c "$dir/gate.yaml" &
	run=$!
	started="$started $run"
	sleep 3 # the gate's first checks of its members
}
stop() {
	kill $started
	wait $started 2>/dev/null || true
	started=
}
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
for kind in $clusters; do
	start "$kind"
	for query in 'RETURN 1' "$typical"; do
		rm -f "$dir/declared" "$dir/undeclared"
		for _ in $(seq "$rounds"); do
			measure declared --access read
			measure undeclared
		done
		declared=$(median declared) undeclared=$(median undeclared)
		printf '%s, %s: declared %s us, undeclared %s us, ratio %s\n' "$kind" "$(printf %s "$query" | head -c 20 | tr '\n' ' ')" "$declared" "$undeclared" \
			"$(awk "BEGIN { printf \"%.3f\", $undeclared / $declared }")"
	done
	stop
done
