#!/bin/sh
# Runs the tests on every Python from 3.11 to 3.13 that is at hand, each in an environment of its own, on both loops.
# Arguments go to pytest. Stops at the first that fails.
set -eu
cd "$(dirname "$0")/../.."

# On PATH, else where pyenv keeps them: its python3.12 on PATH refuses to run unless it was chosen before.
find_python() {
    for each in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if "$each" -c '' 2>/dev/null; then echo "$each"; return; fi
    done
}

tried=
for version in 3.11 3.12 3.13; do
    python=$(find_python $version)
    if [ -z "$python" ]; then echo "== Python $version is not at hand"; continue; fi
    sh tests/support/venv.sh .venv-$version dev "$python"
    ".venv-$version/bin/python" -m tests.support.mariadb --fetch
    for loop in asyncio uvloop; do
        echo "== Python $version, $loop"
        MINIHTTP_TEST_LOOP=$loop ".venv-$version/bin/python" -m pytest -W error -q "$@"
    done
    tried="$tried $version"
done
[ -n "$tried" ] || { echo "No Python from 3.11 to 3.13 is at hand" >&2; exit 1; }
echo "== Passed on asyncio and uvloop:$tried"
