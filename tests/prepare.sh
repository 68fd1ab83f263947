#!/bin/sh
# Makes sure that the tools are there that only the tests need, and that user namespaces can be made. What is missing is
# installed where this machine allows it (apt-get, and root or sudo without a password); elsewhere it says what to do, and
# fails.
set -eu

# Writes the Debian packages that are missing, each for the tool that a test would look for.
missing() {
    command -v javac >/dev/null || echo default-jdk-headless
    [ -e /usr/share/java/zookeeper.jar ] || echo zookeeper
    [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
    [ -e /usr/share/java/slf4j-nop.jar ] || echo libslf4j-java
    command -v python3 >/dev/null || echo python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || echo faketime
    { command -v setpriv && command -v unshare && command -v chrt; } >/dev/null || echo util-linux
    # For the examples in other languages.
    command -v npm >/dev/null || echo npm
    command -v make >/dev/null || echo make
    command -v clang-19 >/dev/null || echo clang-19
    command -v ld.lld-19 >/dev/null || echo lld-19
    ls /usr/lib/llvm-19/lib/clang/19/lib/*/*builtins* 2>/dev/null | grep -q wasm32 || echo libclang-rt-19-dev-wasm32
    [ -e /usr/lib/wasm32-wasi/libc.a ] || echo wasi-libc
}

# A disk of a test's own, and a file of another user, are made in a user namespace.
namespaces() {
    unshare --map-root-user --mount true 2>/dev/null && return
    cat >&2 <<'END'
the tests need user namespaces, and this machine doesn't let them be made (`unshare --map-root-user --mount true` fails):
- as root, whichever of these settings there is: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
  sysctl -w kernel.unprivileged_userns_clone=1; sysctl -w user.max_user_namespaces=10000
- for a container: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined
END
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# One line, for messages and arguments.
packages=$(missing | tr '\n' ' ')
packages=${packages% }
if [ -z "$packages" ]; then
    namespaces
    exit 0
fi

echo "the tests need packages that are missing: $packages"
if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
    as_root apt-get update -qq
    # Split on purpose: one argument a package.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages
fi

packages=$(missing | tr '\n' ' ')
packages=${packages% }
if [ -n "$packages" ]; then
    echo "please install: $packages (on Debian or Ubuntu, as root: apt-get install --no-install-recommends $packages)" >&2
    exit 1
fi
namespaces
