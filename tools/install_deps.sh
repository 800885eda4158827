#!/usr/bin/env bash
# Installs the Debian packages that carat is built from, where they are missing.
#
#   tools/install_deps.sh [build] [tests] [clang]
#
# build: compiler, CMake, libraries (enough for ./quickstart). tests: GoogleTest, clang-format, Python with venv.
# clang: the compiler with libFuzzer and its run-time, for the fuzz targets. Needs root or sudo only if something
# is missing.
set -euo pipefail

packages=()
for group in "${@:-build}"; do
  case $group in
    build)
      packages+=(g++ cmake ninja-build pkg-config libboost1.81-dev libcli11-dev libfmt-dev libssl-dev
                 libxxhash-dev libpcre2-dev libtomlplusplus-dev libutf8proc-dev libsqlite3-dev
                 libcurl4-openssl-dev ca-certificates python3 python3-venv)
      ;;
    tests) packages+=(libgtest-dev clang-format binutils) ;;
    clang) packages+=(clang libclang-rt-14-dev llvm) ;;
    *)
      echo "install_deps.sh: unknown group '$group' (build, tests, clang)" >&2
      exit 64
      ;;
  esac
done

if ! command -v dpkg-query >/dev/null; then
  echo "install_deps.sh: this is not a Debian system; install the equivalents of: ${packages[*]}" >&2
  exit 0
fi
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_deps.sh: missing ${missing[*]}; run as root, or install sudo or the packages first" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
           "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "install_deps.sh: installing ${missing[*]} failed; is there a network?" >&2
  exit 1
fi
