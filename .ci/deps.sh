#!/usr/bin/env bash
# Installs what `make` needs on a Debian machine: deps.sh build|demo|test|test-vm|lint|bench|fuzz...
# Does nothing, quickly, when all is there.
set -euo pipefail

nextest_version=0.9.143
deny_version=0.20.2
fuzz_version=0.13.2

build=(gcc libc6-dev)
run=(e2fsprogs)
# mmdebstrap, pip, buildah: root trees and images of the fixtures; yaml reads the recipes
# for CI systems. The second line: what images are read from, what else writes them, and
# what maps the ids of ordinary users. The third: what trees are
# compared with, what runs or checks bundles, faults in system calls, and a second
# opinion on archives. The last compiles the native part of Node's runtime client.
fixtures=(
    mmdebstrap buildah python3 python3-pip python3-yaml
    docker-registry openssl podman skopeo uidmap xz-utils zstd
    busybox-static crun libcap2-bin runc umoci strace libarchive-tools
    g++ make cmake autoconf automake libtool pkg-config
)
# What the bench compares with, and what its images are made with.
bench=(umoci podman mmdebstrap python3 python3-pip)

# apt_install PACKAGE...: those that are missing.
apt_install() {
    local missing
    missing=$(comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
            sed -n 's/^installed //p' | sort -u))
    if [[ -n $missing ]]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        # shellcheck disable=SC2086 # one word a package
        apt-get install -qq -y --no-install-recommends $missing
    fi
}

# cargo_install NAME VERSION [OPTION]...: unless some version is there. Hardly
# optimised: these tools run for seconds, and would take minutes more to build.
cargo_install() {
    local name=$1 version=$2
    shift 2
    if ! command -v "$name" >/dev/null; then
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
            CARGO_PROFILE_RELEASE_LTO=off \
            CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install --locked "$name@$version" "$@"
    fi
}

for what in "$@"; do
    case $what in
    build)
        apt_install "${build[@]}"
        ;;
    demo)
        apt_install "${build[@]}" "${run[@]}"
        ;;
    test)
        packages=("${build[@]}" "${run[@]}" "${fixtures[@]}")
        # Node may come from elsewhere, with npm and its headers in one package.
        if ! command -v npm >/dev/null; then
            packages+=(npm)
        fi
        if [[ ! -e /usr/include/node/node_api.h ]]; then
            packages+=(libnode-dev)
        fi
        apt_install "${packages[@]}"
        cargo_install cargo-nextest "$nextest_version" \
            --no-default-features --features default-no-update
        ;;
    test-vm)
        apt_install "${build[@]}" binutils busybox-static e2fsprogs mmdebstrap qemu-system-x86
        # Downloaded and never installed, so apt has only to know it.
        if ! apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1; then
            apt-get update -qq
        fi
        ;;
    lint)
        apt_install "${build[@]}"
        cargo_install cargo-deny "$deny_version"
        ;;
    fuzz)
        # libFuzzer is C++, and is compiled with the targets.
        apt_install "${build[@]}" g++
        cargo_install cargo-fuzz "$fuzz_version"
        ;;
    bench)
        packages=("${build[@]}" "${bench[@]}")
        # Docker's own package has it too, and would be removed for Debian's.
        if ! command -v ctr >/dev/null; then
            packages+=(containerd)
        fi
        apt_install "${packages[@]}"
        ;;
    *)
        printf 'usage: deps.sh build|demo|test|test-vm|lint|bench|fuzz...\n' >&2
        exit 2
        ;;
    esac
done
