#!/usr/bin/env bash
# Fuzzes what Lambent reads out of images: fuzz.sh TARGET_DIRECTORY [TARGET...]
# Each target runs for FUZZ_SECONDS. What libFuzzer found before is kept in
# TARGET_DIRECTORY/fuzz-corpus, and an input that fails in fuzz-findings.
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(realpath -m "$1")
shift
targets=("$@")
if ((${#targets[@]} == 0)); then
    targets=(reference manifest archive layer_tar package)
fi

cargo run --locked --quiet -p lambent-images --example fuzz_corpus -- "$directory/fuzz-corpus"

# Coverage needs no nightly compiler but for the name of its option; sanitizers
# would, and find little in safe code.
(
    cd images/fuzz
    CARGO_TARGET_DIR=$directory/fuzz RUSTC_BOOTSTRAP=1 \
        cargo fuzz build --sanitizer none --fuzz-dir .
)
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$directory/fuzz-findings"
# What the targets write goes into memory; they are ended too hard to remove it.
TMPDIR=$(mktemp --directory --tmpdir=/dev/shm lambent-fuzz.XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Deep trees are removed with a descriptor for each level.
ulimit -n "$(ulimit -Hn)"
for target in "${targets[@]}"; do
    printf 'fuzzing %s\n' "$target"
    "$directory/fuzz/$host/release/$target" "$directory/fuzz-corpus/$target" \
        -artifact_prefix="$directory/fuzz-findings/$target-" \
        -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1
done
