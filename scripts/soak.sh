#!/usr/bin/env bash
# The tests that break things and count: soak.sh ingest|overload|faults|pipeline|push [SEED] [DURATION]. Figures go to
# SOAK_RESULTS (bench/results; empty: nowhere) as soak-*.json and .md. BROKER=embedded or kafka runs one half of
# pipeline or push, which go on where they were killed (SOAK_RESULTS/*.work). Needs what `make test-kafka` needs, push
# Node and the built sdk/ts, too.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1 seed=${2:-1} duration=${3:-60s}
case $what in
  ingest) tests='^TestWhatIsReceipted' ;;
  overload) tests='^TestOverload' ;;
  faults) tests='^Test(Without|ASlow|AFull)' ;;
  pipeline)
    case ${BROKER:-both} in
      embedded) tests='^TestThePipelineOnTheEmbedded' ;;
      kafka) tests='^TestThePipelineOnThree' ;;
      both) tests='^Test(ThePipelineOn|PlansOf)' ;;
      *) echo "soak.sh: BROKER is embedded, kafka or both, not $BROKER" >&2; exit 2 ;;
    esac ;;
  push)
    case ${BROKER:-both} in
      embedded) tests='^TestViewersOfTheEmbedded' ;;
      kafka) tests='^TestViewersOfThree' ;;
      both) tests='^TestViewersOf' ;;
      *) echo "soak.sh: BROKER is embedded, kafka or both, not $BROKER" >&2; exit 2 ;;
    esac ;;
  *) echo "soak.sh: ingest, overload, faults, pipeline or push, not $what" >&2; exit 2 ;;
esac
if [[ $what == push && ! -f sdk/ts/dist/index.js ]]; then
  echo "soak.sh: sdk/ts is not built: run make soak-push" >&2; exit 1
fi
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
[[ -z ${FEATURES+x} ]] || flags+=(-soak.features "$FEATURES")
[[ -z ${RATE+x} ]] || flags+=(-soak.rate "$RATE")
commit=$(git rev-parse --short=12 HEAD)$(git diff --quiet HEAD -- '*.go' '*.ts' '*.mjs' || echo -dirty)
WEIR_BIN=${WEIR_BIN:-$PWD/bin/weir} exec go test -tags soak -count=1 -timeout 180m -v -run "$tests" ./e2e/soak \
  "${flags[@]}" -soak.commit "$commit" -soak.command "${BROKER:+BROKER=$BROKER }make soak-$what SEED=$seed DURATION=$duration"
