#!/usr/bin/env bash
# The tests that break things and count: soak.sh ingest|overload|faults [SEED] [DURATION]. Figures go to SOAK_RESULTS
# (bench/results; empty: nowhere) as soak-*.json and .md. Needs what `make test-kafka` needs.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1 seed=${2:-1} duration=${3:-60s}
case $what in
  ingest) tests='^TestWhatIsReceipted' ;;
  overload) tests='^TestOverload' ;;
  faults) tests='^Test(Without|ASlow|AFull)' ;;
  *) echo "soak.sh: ingest, overload or faults, not $what" >&2; exit 2 ;;
esac
if [[ $what != overload ]]; then
  for tool in java mvn; do
    command -v $tool >/dev/null || { echo "soak.sh: no $tool on PATH; see CONTRIBUTING.md" >&2; exit 1; }
  done
fi
results=${SOAK_RESULTS-bench/results}
flags=(-soak.seed "$seed" -soak.duration "$duration")
if [[ $what != faults && -n $results ]]; then
  mkdir -p "$results"
  flags+=(-soak.results "$(realpath "$results")")
fi
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- '*.go' || echo -dirty)
WEIR_BIN=${WEIR_BIN:-$PWD/bin/weir} exec go test -tags soak -count=1 -timeout 60m -v -run "$tests" ./e2e/soak \
  "${flags[@]}" -soak.commit "$commit" -soak.command "make soak-$what SEED=$seed DURATION=$duration"
