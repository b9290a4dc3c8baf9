#!/usr/bin/env bash
# One search on two hosts, as two network namespaces with a cable between them: what happens when a worker is killed and
# the chief is started again? Needs root, iproute2 and seis-tf in PATH; takes its namespaces and processes away at the end.
#
#   two_hosts.sh MODEL DATASET FOLDER [OPTIONS OF seis-tf tune]
#
#   host A 10.77.0.1: chief, worker a        host B 10.77.0.2: worker b (killed half-way), later worker c
#
# First the same search is run by one process. Ends with status 0 if both have scored the same trials with the same
# scores; FOLDER/alone and FOLDER/hosts are the searches, FOLDER/*.log what the processes said.
set -euo pipefail
if [ "$(id -u)" -ne 0 ] || ! command -v seis-tf >/dev/null || ! command -v ip >/dev/null; then
  echo "two_hosts.sh: expected root, with ip and seis-tf in PATH" >&2
  exit 2
fi
model=$1 dataset=$2 folder=$3
shift 3
trials=12
common=(tune "$model" "$dataset" --trials "$trials" --epochs 20 --together 1 --seed 7 "$@")
a=seistf-a-$$ b=seistf-b-$$ cable=st$$
declare -A running=()

clean_up() {
  for name in "${!running[@]}"; do kill -9 "${running[$name]}" 2>/dev/null || true; done
  ip netns del "$a" 2>/dev/null || true
  ip netns del "$b" 2>/dev/null || true
}
trap clean_up EXIT

start() {  # NAME HOST ARGUMENTS: a process on a host
  local name=$1 host=$2
  shift 2
  ip netns exec "$host" seis-tf "${common[@]}" --out "$folder/hosts" --oracle 10.77.0.1:9000 --timeout-s 40 "$@" \
    >>"$folder/$name.log" 2>&1 &
  running[$name]=$!
  echo "$(date +%T) $name started on host ${host#seistf-}"
}

lose() {  # NAME: no goodbye
  kill -9 "${running[$1]}"
  wait "${running[$1]}" 2>/dev/null || true
  unset "running[$1]"
  echo "$(date +%T) $1 killed, $(scored) trials scored"
}

scored() { (grep -ls '"COMPLETED"' "$folder"/hosts/oracle/trial_*/trial.json || true) | wc -l; }

until_scored() {  # COUNT
  for _ in $(seq 600); do
    if [ "$(scored)" -ge "$1" ]; then return; fi
    sleep 1
  done
  echo "expected $1 trials after 10 minutes, received $(scored)" >&2
  exit 1
}

mkdir -p "$folder"
seis-tf "${common[@]}" --out "$folder/alone" >"$folder/alone.log" 2>&1
echo "$(date +%T) alone: $trials trials"

ip netns add "$a"
ip netns add "$b"
ip link add "$cable" netns "$a" type veth peer name "$cable" netns "$b"
ip -n "$a" addr add 10.77.0.1/24 dev "$cable"
ip -n "$b" addr add 10.77.0.2/24 dev "$cable"
for host in "$a" "$b"; do
  ip -n "$host" link set lo up
  ip -n "$host" link set "$cable" up
done

start chief "$a" --role chief
start a "$a" --role worker --worker-id a
start b "$b" --role worker --worker-id b
until_scored 4
lose b
until_scored 6
lose chief
start chief "$a" --role chief
start c "$b" --role worker --worker-id c
for name in chief a c; do
  wait "${running[$name]}" || { echo "$name: expected status 0, received $?; see $folder/$name.log" >&2; exit 1; }
  unset "running[$name]"
  echo "$(date +%T) $name ended with status 0, $(scored) trials scored"
done

python3 - "$folder" <<'PYTHON'
import csv, sys

alone, hosts = (
    {row["trial"]: row for row in csv.DictReader(open(f"{sys.argv[1]}/{name}/trials.csv"))} for name in ("alone", "hosts")
)
other = sorted(t for t in alone.keys() | hosts.keys() if alone.get(t) != hosts.get(t))
if other:
    sys.exit(f"expected the same trials and scores, received others for {other}")
print(f"the same {len(alone)} trials with the same scores, to the last digit")
PYTHON
