#!/bin/sh
# Measures what statistics and the access log cost: CPU time of the gate for each auto-commit query, in turns, in front of a server that answers
# at once, of four gates: "off", a program without statistics (of queries, units of work, bytes: the same sources, with returns where they begin)
# and with log.slow off; "default"; "access", with a full access log in a file; and "spans", where each unit has spans, to a collector that is a
# server of the bench. Prints medians, and the median of the rounds' ratios to "off"; the bars are 1.05 for default and 1.25 for access.
#   sh test/statistics.sh [SECONDS [ROUNDS [GATES]]]        GATES: "off default access spans", or some of them
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-2} rounds=${2:-15} gates=${3:-off default access}
dir=$(mktemp -d)
started=
trap 'kill $started 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
export CGO_ENABLED=0

# without FILE PATTERN: what follows a line is left out of the function that it begins
: >"$dir/replaced"
without() { # file, line, what is returned
	name=$(echo "$1" | tr / _)
	from=$dir/$name
	[ -f "$from" ] || cp "$1" "$from"
	grep -qF "$2" "$from" || { echo "$1 has no line: $2" >&2; exit 1; }
	awk -v line="$2" -v back="return $3" '{ print } index($0, line) == 1 { print "\t" back }' "$from" >"$from.new"
	mv "$from.new" "$from"
	grep -qF "\"$1\"" "$dir/replaced" || echo "\"$1\": \"$from\"" >>"$dir/replaced"
}
without querystats/table.go 'func (t *Table) ID(' None
without proxy/querytime.go 'func (s *boltSession) queryTaken(' querystats.None
without proxy/querytime.go 'func (s *boltSession) queryDone(' ''
without proxy/stats.go 'func (f *frontStats) count(' ''
without proxy/stats.go 'func (s *boltSession) noteBytes(' ''
without pool/work.go 'func (p *memberPool) count(' ''
printf '{"Replace": {%s}}' "$(paste -sd, "$dir/replaced")" >"$dir/overlay.json"
go build -trimpath -o "$dir/boltgate" ./cmd/boltgate
go build -trimpath -overlay "$dir/overlay.json" -o "$dir/without" ./cmd/boltgate

"$dir/boltgate" bench serve --bolt 127.0.0.1:27781 --http 127.0.0.1:27782 --role "" --peer "" >"$dir/server.out" &
started="$started $!"
port=27790
for gate in $gates; do
	port=$((port + 1))
	program=$dir/boltgate log='level: info, format: json'
	case $gate in
	off) program=$dir/without log="$log, slow: 0s" ;;
	access) log="$log, access: on" ;;
	spans) log="$log, access: 100%, otlp: \"http://127.0.0.1:27782\"" ;;
	esac
	cat >"$dir/$gate.yaml" <<END
frontends: [{name: main, bind: "127.0.0.1:$port"}]
cluster: {generation: standalone, check: {user: neo4j, password: x}, members: [{name: s1, bolt: "127.0.0.1:27781"}]}
admin: {bind: "127.0.0.1:$((port + 100))"}
log: {$log}
END
	GOMAXPROCS=1 "$program" run -c "$dir/$gate.yaml" 2>"$dir/$gate.log" &
	started="$started $!"
	echo "$gate $port $!" >>"$dir/gates"
done
sleep 3 # the gates' first checks
measure() { # port, process
	"$dir/boltgate" bench "bolt://127.0.0.1:$1" --query 'RETURN 1' --access read --clients 32 --duration "${seconds}s" --watch-pid "$2" --json |
		sed 's/.*"watched_cpu_us_per_op":\([0-9.]*\).*/\1/'
}
round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	while read -r gate port process; do
		echo "$round $gate $(measure "$port" "$process")" >>"$dir/figures"
		: >"$dir/$gate.log"
	done <"$dir/gates"
done
for gate in $gates; do
	awk -v gate="$gate" '
		function median(v, n,   i, j, t) { for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t } return v[int((n + 1) / 2)] }
		$2 == "off" { off[$1] = $3 } $2 == gate { got[$1] = $3 }
		END { for (r in got) { n++; us[n] = got[r]; ratio[n] = off[r] > 0 ? got[r] / off[r] : 0 }
			printf "%-8s %6.2f us for a query, %.3f of off\n", gate, median(us, n), median(ratio, n) }' "$dir/figures"
done
