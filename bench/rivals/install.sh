#!/usr/bin/env bash
# Installs the rivals that are run from Python, once, outside the checkout, and prints that Python.
# llama.cpp is built from the source that llama-cpp-python has in it, for this very processor: a library that was built for
# any processor takes 1.7 times as long. Needs python3 with venv, cmake, a C++ compiler, 8 GB of disk, and half an hour on two cores.
# The cache is ${XDG_CACHE_HOME:-~/.cache}/skrr.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
wanted=$here/requirements.txt
venv=${XDG_CACHE_HOME:-$HOME/.cache}/skrr/rivals-$(sha256sum "$wanted" | cut -c1-8)
log=$venv/install.log

if [[ ! -f $venv/whole ]]; then
  mkdir -p "$venv"
  echo "install.sh: installing into $venv, see install.log there" >&2
  python3 -m venv "$venv" || { echo "install.sh: python3 has no venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
  CMAKE_ARGS="-DGGML_NATIVE=ON -DMTMD_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) "$venv/bin/pip" install \
    --disable-pip-version-check --no-binary llama-cpp-python --requirement "$wanted" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; exit 1; }
  touch "$venv/whole"
fi
echo "$venv/bin/python"
