#!/usr/bin/env bash
# Installs nvcc from PyPI's wheels (pypi.sh) and prints the folder that belongs on PATH: 450 MB of disk, no GPU.
#   PATH=$(scripts/install-nvcc.sh):$PATH
set -euo pipefail
source "$(dirname "$0")/pypi.sh"

packages=(
  nvidia-cuda-nvcc==13.0.88
  nvidia-nvvm==13.0.88    # cicc, which nvcc calls
  nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85
)
# lib64: where CMake looks for the runtime
install_wheels nvcc-13.0.88 'ln -s lib nvidia/cu13/lib64 && nvidia/cu13/bin/nvcc --version' "${packages[@]}"

bin=$target/nvidia/cu13/bin
[[ -x $bin/nvcc ]] || fail "$bin has no nvcc. Remove $target and try again"
echo "$bin"
