# Sourced by setup.sh: libtorch at .deps/libtorch, from the torch wheel or the user's own.
# shellcheck shell=bash

torch_version=2.11.0

# cpu, cuda, or own:FOLDER. What was installed before stays unless TORCH or LIBTORCH asks for something else.
torch_route() {
    local before
    before=$(cut -d ' ' -f 1 "$stamps/torch" 2>/dev/null || true)
    if [ -n "${LIBTORCH:-}" ]; then
        printf 'own:%s\n' "$(realpath -m "$LIBTORCH")"
    elif [ -n "${TORCH:-}" ]; then
        printf '%s\n' "$TORCH"
    elif [ -n "$before" ]; then
        printf '%s\n' "$before"
    elif gpu_answers; then
        printf 'cuda\n'
    else
        printf 'cpu\n'
    fi
}

# A link leads to another checkout, which would lose its packages.
make_venv() {
    [ ! -L "$deps" ] || fail "$deps is a link, and what it leads to is not this set-up's to replace" \
        "run make setup in the checkout that it belongs to, or remove the link"
    logged venv "Making a Python environment for the fetched packages" python3 -m venv --clear "$venv" ||
        fail "python3 cannot make a virtual environment in $venv"
}

# install_wheel ROUTE
install_wheel() {
    local -A cost=([cpu]="544 MB to fetch, 1.3 GB on disk, under a minute" [cuda]="2.4 GB to fetch, 3.9 GB on disk, a minute or more")
    make_venv
    logged torch "Installing libtorch $torch_version, $1 (${cost[$1]})" \
        pinned_pip install "torch-$1.txt" --no-compile --no-cache-dir ||
        fail "libtorch could not be installed" "$network_cure" \
            "a libtorch $torch_version of your own will do: make setup LIBTORCH=/its/folder"
    local packages
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sfn "${packages#"$deps"/}/torch" "$deps/libtorch"
}

# link_own FOLDER
link_own() {
    [ "$(libtorch_version "$1")" = "$torch_version" ] ||
        fail "LIBTORCH=$1 does not hold libtorch $torch_version" "it names the folder that has libtorch's include/ and lib/"
    [ -x "$venv/bin/python" ] || make_venv
    ln -sfn "$1" "$deps/libtorch"
}

has_libtorch() { [ "$(libtorch_version "$deps/libtorch")" = "$torch_version" ]; }

install_libtorch() {
    local route key
    route=$(torch_route)
    case $route in
    cpu | cuda) key="$route $(checksum "$root/scripts/requirements/torch-$route.txt")" ;;
    own:*) key="$route " ;;
    *) fail "TORCH=$route is unknown" "TORCH=cpu or TORCH=cuda" ;;
    esac
    if ! is_done torch "$key" || ! has_libtorch; then
        mkdir -p "$deps"
        case $route in
        own:*) link_own "${route#own:}" ;;
        *) install_wheel "$route" ;;
        esac
    fi
    has_libtorch ||
        fail "libtorch $torch_version is needed, and $(realpath "$deps/libtorch") does not hold it" \
            "make clean-deps, then make setup"
    mark_done torch "$key"
}
