#!/bin/sh
# Makes the virtual environment FOLDER and installs this project into it, editable, with one of its extras:
#     venv.sh FOLDER EXTRA [PYTHON]
# Works on a Debian or Ubuntu whose python3 comes without venv and pip, and without root. Where it cannot, it says in
# one line what to do. Does nothing but compare two files where the environment is up to date.
set -eu

folder=$1 extra=$2 wanted=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
stamp=$folder/.installed-$extra

fail() { echo "$*" >&2; exit 1; }
at_least_311() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
tested() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

choose_python() {
    if [ -n "$wanted" ]; then
        at_least_311 "$wanted" || fail "PYTHON=$wanted does not run, or is older than Python 3.11"
        echo "$wanted"
        return
    fi
    for test in tested at_least_311; do
        for each in python3 python3.13 python3.12 python3.11 python3.14 python3.15; do
            if "$test" "$each"; then echo "$each"; return; fi
        done
    done
    fail "No Python 3.11 or newer is on PATH: install one (Debian, Ubuntu: apt-get install python3), or: make PYTHON=/path/to/python3.11"
}

# Debian's python3 has no ensurepip, which is in python3-venv. The wheel of pip that ensurepip would use is a package too.
install_debians_pip() {
    wheel=$(ls /usr/share/python-wheels/pip-*.whl 2>/dev/null | head -n 1)
    if [ -z "$wheel" ]; then
        root=$("$python" "$here/debian.py" "$project/.cache/pip" python3-pip-whl) ||
            fail "This Python has no venv and pip of its own: install python3-venv (sudo apt-get install python3-venv)"
        wheel=$(ls "$root"/usr/share/python-wheels/pip-*.whl | head -n 1)
    fi
    "$folder/bin/python" "$wheel/pip" install --quiet --no-index "$wheel"
}

make_venv() {
    python=$(choose_python)
    echo "Making $folder with $("$python" --version)"
    rm -rf "$folder"
    if "$python" -c 'import ensurepip' 2>/dev/null && "$python" -m venv "$folder" >/dev/null 2>&1; then return; fi
    rm -rf "$folder"
    "$python" -m venv --without-pip "$folder" ||
        fail "$python cannot make a virtual environment: install python3-venv (sudo apt-get install python3-venv)"
    install_debians_pip
}

pip_install() { "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$project[$1]"; }

install() {
    log=$folder/.install.log
    if pip_install "$extra" >"$log" 2>&1; then return; fi
    # uvloop is a matter of speed: a platform for which it cannot be built gets the rest.
    others=templates,sessions,forms,websocket,reload
    if [ "$extra" = all ] && pip_install "$others" >/dev/null 2>&1; then
        echo "uvloop could not be installed: plain asyncio will be used" >&2
    else
        cat "$log" >&2
        fail "The installation failed; what is above says why. Try again with: rm -rf $folder"
    fi
}

# An environment that was moved with its clone, or whose Python is gone, still has its stamp.
usable() { [ "$("$folder/bin/python" -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$(cd "$folder" && pwd -P)" ]; }
same_python() { [ -z "$wanted" ] || [ "$("$wanted" --version 2>&1)" = "$("$folder/bin/python" --version 2>&1)" ]; }
# The path of the clone is in the stamp, because the editable installation points to it.
fresh() { grep -qxF "$project" "$1" 2>/dev/null && [ -z "$(find "$project/setup.cfg" "$project/pyproject.toml" -newer "$1")" ]; }

cd "$project"
if [ -d "$folder" ] && usable && same_python; then
    if fresh "$stamp" || fresh "$folder/.installed-dev"; then exit 0; fi
else
    make_venv
fi
echo "Installing minihttp[$extra] into $folder"
install
echo "$project" >"$stamp"
