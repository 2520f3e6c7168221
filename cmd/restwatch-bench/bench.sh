#!/usr/bin/env bash
# Builds what the measurements need into a folder, and makes them.
#
#   bench.sh FOLDER              all tables of docs/benchmarks.md but the next, about 25 minutes
#   bench.sh FOLDER TABLE        one of them: paced, memory, fast, resident, large, scale or steps
#   bench.sh FOLDER peers        the comparison with Telegraf, and with Redpanda Connect if CONNECT is the
#                                path of its program: its own release, or any build with the components
#                                http_client and nats_jetstream and the pure ones. About 10 minutes.
#                                TELEGRAF may be the path of one that need not be built. Absolute paths.
#   bench.sh FOLDER profile …    restwatch-bench with a restwatch that can be profiled, such as
#                                BENCH_CPU_PROFILE=/tmp/p bench.sh FOLDER profile large
#                                and then, twice, kill -USR1 of that process (see profiled.go.txt)
set -euo pipefail
folder=${1:?bench.sh FOLDER [TABLE | peers | profile …]}
what=${2:-all}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
bin=$(cd "$folder" && pwd)
cd "$here/../.."

go build -o "$bin/restwatch" ./cmd/restwatch
go build -o "$bin/restwatch-bench" ./cmd/restwatch-bench
go build -o "$bin/nats-server" github.com/nats-io/nats-server/v2
bench() { local command=$1; shift; "$bin/restwatch-bench" "$command" -restwatch "$bin/restwatch" -nats-server "$bin/nats-server" "$@"; }

heading() { printf '\n## %s\n\n' "$1"; }

paced() {
  heading 'Paced, one poll a second and VDN, 200 VDNs'
  bench compare -rounds 5
}

# memory has the server's files in memory, so that no disk is in the way.
memory() {
  heading 'The same with the store in memory'
  local shm
  shm=$(mktemp -d /dev/shm/restwatch-bench.XXXXXX)
  bench compare -changed 1,10 -dir "$shm"
  rm -rf "$shm"
}

fast() {
  heading 'As fast as it goes, 2,000 VDNs'
  bench compare -vdns 2000 -every 0 -changed 10
}

resident() {
  heading 'Memory, 1,000 VDNs of 200 agents every 5 s'
  bench compare -vdns 1000 -agents 200 -every 5s -changed 10 -rounds 1
}

large() {
  heading 'Embedded server'
  bench large
  bench large -vdns 50 -restart=false
  bench large -vdns 1000 -agents 200 -restart=false
}

scale() {
  heading 'Replicas'
  bench scale
}

steps() {
  heading 'Steps'
  printf '```\n'
  go test -run '^$' -bench . ./diff ./poller ./poller/cms ./poller/tick ./publisher | grep -E '^(Benchmark|pkg|FAIL)'
  printf '```\n'
}

all() { paced; memory; fast; resident; large; scale; steps; }

# peer builds one in a module of its own: nothing of it is part of ours.
peer() {
  local name=$1 module="$bin/$1-module"
  shift
  mkdir -p "$module"
  cp "$here/peers/$name/main.go.txt" "$module/main.go"
  (
    cd "$module"
    [ -f go.mod ] || go mod init "$name"
    go get "$@"
    nice -n 19 go build -o "$bin/$name" .
  )
}

peers() {
  local t=github.com/influxdata/telegraf
  if [ -z "${TELEGRAF:-}" ]; then
    peer telegraf "$t/agent@v1.37.2" "$t/plugins/inputs/http" "$t/plugins/outputs/nats" "$t/plugins/parsers/json_v2" \
      "$t/plugins/processors/dedup" "$t/plugins/serializers/json"
  fi
  bench compare -telegraf "${TELEGRAF:-$bin/telegraf}" -connect "${CONNECT:-}" -every 0 -changed 10
}

profile() {
  printf '{"Replace":{"%s":"%s"}}' "$PWD/cmd/restwatch/profiled.go" "$here/profiled.go.txt" >"$bin/overlay.json"
  go build -overlay "$bin/overlay.json" -o "$bin/restwatch" ./cmd/restwatch
  bench "$@"
}

case $what in
all | paced | memory | fast | resident | large | scale | steps | peers) "$what" ;;
profile) shift 2; profile "$@" ;;
*) echo "bench.sh: $what: want a table, peers or profile" >&2; exit 2 ;;
esac
