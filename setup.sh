#!/usr/bin/env bash
# Installs what Loraptor needs on Debian 12: system packages, the LibTorch wheel, the tokenizer vocabularies.
#
#   ./setup.sh            CPU build
#   ./setup.sh --cuda     also the CUDA libraries that the GPU build links against (3 GB more)
#
# Everything that is not a Debian package lands in ./.venv (Python and LibTorch) and ./data (vocabularies).
# Running it again only does what is missing.
set -euo pipefail
cd "$(dirname "$0")"

TORCH="torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"
PYTHON_PACKAGES="numpy==1.26.4 opencv-python-headless==4.10.0.84"
PACKAGES="g++ cmake ninja-build ccache mold pkg-config python3-venv clang-format
  libtomlplusplus-dev nlohmann-json3-dev libfmt-dev libspdlog-dev libxxhash-dev libssl-dev zlib1g-dev
  libpcre2-dev libutf8proc-dev libsentencepiece-dev libopencv-core-dev libopencv-imgproc-dev
  libjpeg62-turbo-dev libpng-dev libwebp-dev libavif-dev libjxl-dev libzip-dev libgtest-dev"

with_cuda=0
for word in "$@"; do
  case "$word" in
    --cuda) with_cuda=1 ;;
    *) echo "setup.sh: unknown option '$word'; it takes --cuda or nothing" >&2; exit 2 ;;
  esac
done

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }

# ---- Debian packages -------------------------------------------------------------------------------------------------
missing=""
for package in $PACKAGES; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  say "installing Debian packages:$missing"
  $sudo apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# ---- Python environment with LibTorch --------------------------------------------------------------------------------
if [ ! -x .venv/bin/python ]; then
  say "creating .venv"
  /usr/bin/python3 -m venv .venv
fi
site="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
if [ ! -f .venv/loraptor-torch ] || [ "$(cat .venv/loraptor-torch)" != "$TORCH $PYTHON_PACKAGES" ]; then
  say "downloading LibTorch (about 0.6 GB) into .venv"
  # shellcheck disable=SC2086
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps $TORCH $PYTHON_PACKAGES
  printf '%s' "$TORCH $PYTHON_PACKAGES" > .venv/loraptor-torch
fi
if [ "$with_cuda" = 1 ]; then
  say "downloading the CUDA libraries of LibTorch (about 3 GB) into .venv"
  .venv/bin/pip install --quiet --disable-pip-version-check torch==2.11.0
fi
[ -f "$site/torch/lib/libtorch_cpu.so" ] || { echo "setup.sh: $site/torch/lib/libtorch_cpu.so is missing; remove .venv and run again" >&2; exit 1; }
ln -sfn "$(realpath --relative-to=.venv "$site/torch")" .venv/torch

# ---- tokenizer vocabularies ------------------------------------------------------------------------------------------
.venv/bin/python tools/fetch_tokenizers.py data/tokenizers

say "done. Next: ./demo.sh (train a LoRA) or ./test.sh (run the tests)"
