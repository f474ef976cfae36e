#!/usr/bin/env bash
# Installs nvcc from PyPI's wheels, once, outside the checkout, and prints the folder that belongs on PATH.
#   PATH=$(scripts/install-nvcc.sh):$PATH
# The cache is ${XDG_CACHE_HOME:-~/.cache}/skrr. It needs python3 with venv, and 450 MB of disk. No GPU, no root.
set -euo pipefail

packages=(
  nvidia-cuda-nvcc==13.0.88
  nvidia-nvvm==13.0.88    # cicc, which nvcc calls
  nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85
)

fail() {
  echo "install-nvcc: $*" >&2
  exit 1
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/skrr
target=$cache/nvcc-13.0.88
bin=$target/nvidia/cu13/bin

# The folder gets its name only when it is whole: one that is there can be used.
if [[ ! -d $target ]]; then
  command -v python3 >/dev/null || fail "python3 was not found. It downloads nvcc from PyPI"
  mkdir -p "$cache" || fail "$cache cannot be made. Set XDG_CACHE_HOME to a folder that can be written"
  making=$(mktemp -d "$cache/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  python3 -m venv "$making/venv" >&2 || fail "python3 has no venv (Debian: apt-get install python3-venv)"
  "$making/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$making/nvcc" "${packages[@]}" >&2 || fail "pip could not install ${packages[*]}"
  ln -s lib "$making/nvcc/nvidia/cu13/lib64" # where CMake looks for the runtime
  "$making/nvcc/nvidia/cu13/bin/nvcc" --version >&2 || fail "the nvcc that was installed does not run on this machine"
  # Another run may have been faster; then its folder is the one.
  mv -T "$making/nvcc" "$target" 2>/dev/null || [[ -d $target ]] || fail "$target cannot be made"
fi

[[ -x $bin/nvcc ]] || fail "$bin has no nvcc. Remove $target and try again"
echo "$bin"
