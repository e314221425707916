#!/bin/sh
# Writes cmd/boltgate/default.pgo, by which the Go compiler lays out the data path (Profile-guided optimization in its documentation): a
# CPU profile of the gate under each kind of load that `boltgate bench` has, in front of a server that answers at once. Some 40 seconds.
set -eu
program=${1:-bin/boltgate}
dir=$(mktemp -d)
bolt=127.0.0.1:27687 http=127.0.0.1:27474 gate=127.0.0.1:27688
"$program" bench serve --bolt $bolt --http $http >"$dir/serve" &
serve=$!
trap 'kill $serve 2>/dev/null; rm -rf "$dir"' EXIT
cat >"$dir/gate.yaml" <<EOF
frontends: [{name: main, bind: "$gate"}]
cluster:
  generation: standalone
  members: [{name: s1, bolt: "$bolt", http: "$http"}]
log: {level: warn}
EOF
"$program" run -c "$dir/gate.yaml" --cpu-profile "$dir/profile" &
run=$!
sleep 2 # the gate's first check of its member
load() { "$program" bench "$@" --duration 6s >/dev/null; }
load bolt://$gate
load bolt://$gate --rate 20000
load bolt://$gate --access read
load bolt://$gate --mode explicit
load http://$gate --mode get
load http://$gate --mode post
kill -TERM $run
wait $run || true
mv "$dir/profile" cmd/boltgate/default.pgo
