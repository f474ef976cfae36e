#!/usr/bin/env bash
# Installs clang-tidy from PyPI's wheel, once, outside the checkout, and prints the program's path. One version everywhere: another one
# finds other things. The cache is ${XDG_CACHE_HOME:-~/.cache}/skrr. It needs python3 with venv, and 120 MB of disk. No root.
set -euo pipefail

version=22.1.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/skrr
target=$cache/clang-tidy-$version

fail() {
  echo "install-clang-tidy: $*" >&2
  exit 1
}

# The folder gets its name only when it is whole: one that is there can be used.
if [[ ! -d $target ]]; then
  command -v python3 >/dev/null || fail "python3 was not found. It downloads clang-tidy from PyPI"
  mkdir -p "$cache" || fail "$cache cannot be made. Set XDG_CACHE_HOME to a folder that can be written"
  making=$(mktemp -d "$cache/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  python3 -m venv "$making/venv" >&2 || fail "python3 has no venv (Debian: apt-get install python3-venv)"
  "$making/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$making/tidy" "clang-tidy==$version" >&2 || fail "pip could not install clang-tidy $version"
  "$making/tidy/clang_tidy/data/bin/clang-tidy" --version >&2 || fail "the clang-tidy that was installed does not run on this machine"
  # Another run may have been faster; then its folder is the one.
  mv -T "$making/tidy" "$target" 2>/dev/null || [[ -d $target ]] || fail "$target cannot be made"
fi

[[ -x $target/clang_tidy/data/bin/clang-tidy ]] || fail "$target has no clang-tidy. Remove it and try again"
echo "$target/clang_tidy/data/bin/clang-tidy"
