#!/usr/bin/env bash
# Installs clang-tidy from PyPI's wheel (pypi.sh) and prints the program's path: 120 MB of disk. One version everywhere, since another
# one finds other things.
set -euo pipefail
source "$(dirname "$0")/pypi.sh"

install_wheels clang-tidy-22.1.0 'clang_tidy/data/bin/clang-tidy --version' clang-tidy==22.1.0

tidy=$target/clang_tidy/data/bin/clang-tidy
[[ -x $tidy ]] || fail "$target has no clang-tidy. Remove it and try again"
echo "$tidy"
