#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and the address sanitizer (clang 14 or newer) and runs one of them:
#
#   fuzz/libfuzzer.sh TARGET [LIBFUZZER OPTION ...]       such as: fuzz/libfuzzer.sh npz -max_total_time=60
#
# New inputs that reach new code are kept in build/libfuzzer/corpus/TARGET, inputs that fail in build/libfuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:?the name of a target is missing; fuzz/targets.h lists them}"
shift
build=build/libfuzzer
if [ ! -f "$build/build.ninja" ]; then
  cmake -S fuzz/libfuzzer -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="${CXX:-clang++}" >&2
fi
cmake --build "$build" >&2
mkdir -p "$build/corpus/$target"
export LORAPTOR_FUZZ_TARGET="$target" LORAPTOR_DATA="$PWD/data/tokenizers"
# LibTorch and sentencepiece keep what they load to the end.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=0:${ASAN_OPTIONS:-}"
exec "$build/libfuzzer_run" -artifact_prefix="$build/" -rss_limit_mb=4096 -timeout=10 -max_len=65536 "$@" \
  "$build/corpus/$target" "fuzz/seeds/$target"
